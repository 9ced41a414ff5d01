"""What a language model's answer weighs beside the base recommender's score and what is known of the item itself.

Answers and orders have weights of their own: a probability is against an item drawn by popularity, which speaks for
what is rare, whereas an order is among the best of the base.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from segue.data.histories import Histories
from segue.ranking.blend import Blend, fit_lists, fit_ratings, fit_yes_no

SIGNALS = ("language", "base", "log_popularity", "freshness")
_FREE = np.array([False, False, True, False])  # of popularity alone less may be better
_DOUBT = 5.0  # events of an item that its freshness is not believed before


def known_of_items(histories: Histories, item_counts: np.ndarray) -> np.ndarray:
    """(catalogue + 1, 2) log-popularity and freshness.

    Freshness is the logarithm of how much oftener than others an item is the newest event of a history: above 0 it is
    new or in fashion, and that shows without a clock.
    """
    ends = histories.offsets[1:][histories.lengths > 0]
    newest = np.bincount(histories.items[ends - 1], minlength=len(item_counts))
    usual = len(ends) / max(int(item_counts.sum()), 1)
    fresh = (newest + _DOUBT * usual) / ((item_counts + _DOUBT) * usual) if usual else np.ones(len(item_counts))
    return np.column_stack([np.log1p(item_counts), np.log(fresh)])


@dataclass(frozen=True)
class Weights:
    """Three sums of the signals.

    Attributes:
        alone: of the language model's answer alone: log-odds, or a rating on the scale that is learnt.
        together: the same of all signals.
        order: by which the base's best are re-ranked.
    """

    alone: Blend
    together: Blend
    order: Blend

    @classmethod
    def untaught(cls, rating: bool) -> Weights:
        """The language model speaks for itself, and lists stay as the base made them unless ratings order them."""
        language, base = np.eye(len(SIGNALS))[:2]
        return cls(Blend(language[:1], 0.0), Blend(language, 0.0), Blend(language if rating else base, 0.0))

    def learnt(self, signals: np.ndarray, truth: np.ndarray, rating: bool, alone: bool = True) -> Weights:
        """With answers learnt from (n, signals) signals and (n,) true ones; as they are where all of these are equal.

        Args:
            alone: whether those of the language model alone may be learnt too, and not left as it gives them.
        """
        if rating:
            own = fit_ratings(signals[:, :1], truth) if alone else self.alone
            return Weights(own, fit_ratings(signals, truth), self.order)
        if truth.all() or not truth.any():
            return self
        own = fit_yes_no(signals[:, :1], truth, _FREE[:1]) if alone else self.alone
        return Weights(own, fit_yes_no(signals, truth, _FREE), self.order)

    def ordered(self, signals: np.ndarray, wanted: np.ndarray) -> Weights:
        """With an order learnt from (lists, n, signals) signals and the (lists,) places of what came."""
        return Weights(self.alone, self.together, fit_lists(signals, wanted, _FREE))

    def described(self) -> dict[str, Any]:
        """For the report."""
        parts = {"probability": self.together, "order": self.order}
        return {
            name: dict(zip(SIGNALS, np.round(blend.weights, 4).tolist(), strict=True)) for name, blend in parts.items()
        }

    def document(self) -> dict[str, Any]:
        """For an artefact."""
        return {field.name: getattr(self, field.name).document() for field in fields(self)}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Weights:
        """What :meth:`document` gave."""
        return cls(**{field.name: Blend.from_document(document[field.name]) for field in fields(cls)})
