"""What an answer costs, estimated from the request alone, for admission: the gate corrects it by what calls take.

The coefficients are milliseconds of one core of a machine of 2026, measured with ``benchmarks.service.costs`` on an
exported model of 10,000 items and on a pattern recommender of 1,682 (the dearer of the two, term by term).
"""

from __future__ import annotations

from segue.serving.answers.questions import Question
from segue.serving.answers.settings import EXPLAINED

_BASE_MS = 1.3
_EVENT_MS = 0.0003
_ITEM_MS = 0.002
_REASONS_MS, _REASON_MS = 8.0, 0.3
_PLACE_MS = 0.0085
"""One place given by maximal marginal relevance, for each 1,000 candidates."""


def estimated_ms(question: Question, steps: int | None = None, diversity_pool: int = 100) -> float:
    """Estimated milliseconds of an answer.

    Args:
        question: as it came; a history that the service reads itself counts as empty, for it is bounded.
        steps: items of a generated sequence, each of which is a list of its own; None: one list.
        diversity_pool: the least number of candidates that diversity chooses among.
    """
    events = 0 if question.items is None else len(question.items)
    k = 1 if steps is not None else question.k
    cost = _BASE_MS + _EVENT_MS * events + _ITEM_MS * k
    if question.diversity:
        cost += _PLACE_MS * k * max(5 * k, diversity_pool) / 1_000
    cost *= steps or 1
    if question.explain:
        cost += _REASONS_MS + _REASON_MS * min(steps or k, EXPLAINED)
    return cost
