"""Learning in two stages: from the training events alone, and then from those of the validation too.

Whoever learns how far to trust a recommender needs it as it was before it saw the events that decide. What is learnt
there is left to the callers.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from segue.data.dataset import Dataset
from segue.data.split import Holdout, leave_last_out
from segue.errors import SplitEmpty
from segue.recommenders.base import Recommender

if TYPE_CHECKING:
    from segue.nn.sequence import SequenceModel
    from segue.recommenders.sequence import SequenceRecommender
    from segue.training.trend import TrendWeights


def inner_validation(data: Dataset, target: str | None = None) -> tuple[Dataset, Holdout | None]:
    """Hold the last event of each user out where the caller gave nothing to validate on; None where nobody has two."""
    try:
        inner = leave_last_out(data, target)
    except SplitEmpty:
        return data, None
    context = inner.test.context
    return (context, Holdout(context, inner.test.targets, until=data)) if len(context) else (data, None)


def in_two_stages(
    model: Recommender, data: Dataset, validation: Holdout, run: Mapping[str, Any]
) -> tuple[Recommender, Recommender]:
    """Fit a recommender; gives it as it was before it learnt from the validation events, and as it is in the end.

    A sequence model is trained once for both: the first is what its search for the number of epochs found, the second
    its refit. Habits are weighed once: other weights would be another scale of scores, which a blend learnt for the
    first could not read. Both have chosen (an epoch, a few weights) by the validation events, so that the first looks a
    little better on them than on others. All others are fitted twice.
    """
    if hasattr(type(model), "before_refit"):
        early: list[Recommender] = []
        searching: Any = model
        searching.before_refit = early.append
        try:
            model.fit(data, validation, **run)
        finally:
            del searching.before_refit
        return (early or [model])[0], model
    first = copy.copy(model)
    if "refit" in type(model).Settings.model_fields:
        first.config = model.config.model_copy(update={"refit": False})
        first.fit(data, validation, **run)
    else:
        first.fit(data, **run)
    return first, model.fit(data, validation, **run)


def as_searched(
    model: SequenceRecommender, searched: SequenceModel, data: Dataset, weights: TrendWeights | None
) -> SequenceRecommender:
    """A recommender of its own with what a search has learnt from training events, while the refit is still to come."""
    from segue.training.text_tuning import detached

    early = copy.copy(model)
    early.before_refit = None
    early._forget_answers()
    early.report, early.histories, early.item_counts = dict(model.report), data.histories, data.item_counts
    early.model = copy.deepcopy(searched)
    early.language_tuned, early.log = detached(early.model, model.log)
    early.trend, early._fitted = early._trend_of(weights), True
    return early
