"""``SequenceScores``: a sequence model's scores and what is weighed beside them; the same trained or exported.

What computes them, torch or ONNX, is the subclasses' own; how trend and habits are weighed is ``training``'s.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from segue import artefacts
from segue.data.histories import Histories
from segue.recommenders.base import Recommender
from segue.training.trend import Trend, TrendWeights

if TYPE_CHECKING:
    from segue.recommenders.pattern_prior import PatternPrior


class SequenceScores(Recommender):
    """A recommender whose scores are dot products, beside which the trend and habits may be weighed.

    Attributes:
        trend: what is popular of late; None where it did not help.
        prior: habits; None likewise.
    """

    trend: Trend | None = None
    prior: PatternPrior | None = None

    @property
    @abstractmethod
    def item_table(self) -> np.ndarray:
        """(catalogue + 1, d) float32 what states are held against; row 0 is padding."""

    def item_vectors(self, codes: np.ndarray) -> np.ndarray:
        """Those that states are held against."""
        found: np.ndarray = self.item_table[codes]
        return found

    @abstractmethod
    def _states(self, histories: Histories) -> np.ndarray:
        """(rows, d) float32 what is held against the item vectors; no row is empty."""

    def user_vectors(self, histories: Histories) -> np.ndarray:
        """The states of histories."""
        return self._states(self._about_target(histories))

    @abstractmethod
    def _products(self, histories: Histories) -> np.ndarray:
        """(rows, catalogue + 1) of each history's state with the vector of each item; no row is empty."""

    def similar_items(self, items: Sequence[Any], k: int = 10) -> Any:
        """As in the base, by the model alone: what goes with an item, not what is in fashion or comes after it."""
        plain = copy.copy(self)
        plain.trend = plain.prior = None
        return Recommender.similar_items(plain, items, k)

    def _score_block(self, histories: Histories) -> np.ndarray:
        return self._with_trend(self._scores_without_trend(histories), histories)

    def _score_empty(self, histories: Histories) -> np.ndarray:
        scores = None if self.trend is None else self.trend.alone(histories)
        return super()._score_empty(histories) if scores is None else scores

    def _cold_start_rule(self, histories: Histories) -> str:
        late = self.trend is not None and self.trend.weights.alone is not None
        return "what is popular of late" if late else super()._cold_start_rule(histories)

    def _score_parts(self, histories: Histories) -> dict[str, np.ndarray]:
        """The sequence model, habits and the trend: what is weighed beside the model is linear in its scores."""
        nothing = np.zeros((1, len(self.item_vocabulary) + 1), dtype=np.float32)
        habits = self._with_prior(nothing.copy(), histories)
        trend = self._with_trend(nothing.copy(), histories)
        model = self._with_prior(self._plain_scores(histories), histories) - habits
        parts = {"sequence model": self._with_trend(model, histories) - trend}
        if self.prior is not None:
            parts["habits"] = self._with_trend(habits, histories) - trend
        if self.trend is not None:
            parts["recent popularity and age"] = trend
        return {name: each[0] for name, each in parts.items()}

    def _scores_without_trend(self, histories: Histories) -> np.ndarray:
        return self._with_prior(self._plain_scores(histories), histories)

    def _with_prior(self, scores: np.ndarray, histories: Histories) -> np.ndarray:
        return scores if self.prior is None else self.prior.add(scores, histories)

    def _with_trend(self, scores: np.ndarray, histories: Histories) -> np.ndarray:
        return scores if self.trend is None else self.trend.add(scores, histories)

    def _plain_scores(self, histories: Histories) -> np.ndarray:
        """(rows, catalogue + 1) scores of the sequence model alone; no row is empty."""
        scores = self._products(histories)
        if len(self._silent):
            scores[:, self._silent] = scores.min(1, keepdims=True) - 1
        return scores

    @cached_property
    def _silent(self) -> np.ndarray:
        """Codes of items that nothing is known of, neither events nor text nor attributes: they come last."""
        return 1 + np.flatnonzero(~self.item_table[1:].any(1))

    def _forget_vectors(self) -> None:
        for name in ("_vectors", "_silent"):
            self.__dict__.pop(name, None)

    def _forget_answers(self) -> None:
        super()._forget_answers()
        self._forget_vectors()

    def _timed(self, histories: Histories) -> Histories:
        """Without timestamps where they are only an order."""
        return histories if self.clock == "time" else replace(histories, timestamps=None, at=None)

    def _trend_of(self, weights: TrendWeights | None) -> Trend | None:
        """The weights with the counts of all that is known."""
        return None if weights is None else Trend.over(weights, self.histories, len(self.item_vocabulary))

    def _save_beside(self, artefact: artefacts.Writer) -> None:
        if self.trend is not None:
            artefact.document("trend", self.trend.weights.document())
        if self.prior is not None:
            self.prior.save(artefact.within("prior"))

    def _load_beside(self, artefact: artefacts.Reader) -> None:
        self.trend = self.prior = None
        if "trend" in artefact:
            self.trend = self._trend_of(TrendWeights.from_document(artefact.document("trend")))
        if "prior-weights" in artefact:
            from segue.recommenders.pattern_prior import PatternPrior  # large, and rarely there

            self.prior = PatternPrior.restored(artefact.within("prior"), self)
