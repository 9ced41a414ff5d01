"""Why each item is listed, in words, from the history that it was ranked from and from what drew it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from segue.data.histories import Histories
from segue.recommenders import explanations
from segue.recommenders.explanations import Reason

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender
    from segue.serving.answers.exploration import ExploreConfig


def reasons(
    model: Recommender,
    histories: Histories,
    codes: np.ndarray,
    correction: np.ndarray | None = None,
    *,
    policy: ExploreConfig | None = None,
    by_chance: np.ndarray | None = None,
    propensities: np.ndarray | None = None,
) -> list[tuple[Reason, ...]]:
    """For each listed item its reasons, the most telling first.

    An item that exploration drew says so. ``plackett_luce`` draws by scores, so what the score owes to the history
    follows; ``epsilon`` draws without regard to them, and nothing else is a reason.

    Args:
        model: what ranked the items.
        histories: one row.
        codes: the items listed.
        correction: see ``explanations.reasons``.
        policy, by_chance, propensities: how exploration drew the list, which items, and how likely each was; None where
            it took no part.
    """
    if policy is None or by_chance is None or propensities is None:
        return explanations.reasons(model, histories, codes, correction)
    blind = by_chance & (policy.method == "epsilon")
    found: list[tuple[Reason, ...]] = [()] * len(codes)
    ranked = np.flatnonzero(~blind)
    for place, each in zip(
        ranked.tolist(), explanations.reasons(model, histories, codes[ranked], correction), strict=True
    ):
        found[place] = each
    for place in np.flatnonzero(by_chance).tolist():
        found[place] = (Reason(_drawn(policy, float(propensities[place])), kind="exploration"), *found[place])
    return found


def _drawn(policy: ExploreConfig, propensity: float) -> str:
    if policy.method == "epsilon":
        how = f"epsilon, share {policy.share:g}: any little-known item, whatever its score"
    else:
        how = f"plackett_luce, temperature {policy.temperature:g}: by the scores of the best {policy.pool}"
    return f"drawn by exploration ({how}) with probability {propensity:.3g} at this place"


def document(reason: Reason) -> dict[str, Any]:
    """A reason as its JSON."""
    return {
        "text": reason.text,
        "because": reason.because,
        "title": reason.title,
        "drop": reason.drop,
        "kind": reason.kind,
        "contributions": [{"part": part, "value": value} for part, value in reason.contributions],
    }
