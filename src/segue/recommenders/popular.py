"""Popularity, of all time or of late: the floor that every other recommender must clear."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from segue import artefacts
from segue.config import Config
from segue.data.counts import CountsOverTime
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.recommenders.base import Recommender
from segue.recommenders.explanations import Reason
from segue.recommenders.growing import Growth, longer


class FixedScores(Recommender):
    """A recommender whose scores do not depend on the history."""

    _item_scores: np.ndarray
    _rule: ClassVar[str] = "fixed score"

    def _score_parts(self, histories: Histories) -> dict[str, np.ndarray]:
        return {self._rule: self._score_block(histories)[0]}

    def _event_reasons(self, histories: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
        return [()] * len(codes)  # whatever the history

    def _score_block(self, histories: Histories) -> np.ndarray:
        return np.tile(self._item_scores, (len(histories), 1))

    def _grow(self, growth: Growth) -> None:
        self._item_scores = longer(self._item_scores, growth.rows)

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("scores", {"scores": self._item_scores})

    def _load(self, artefact: artefacts.Reader) -> None:
        self._item_scores = artefact.tensors("scores")["scores"]


class Popular(FixedScores):
    """Scores an item by its number of events."""

    _rule = "popularity"

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        self._item_scores = self.item_counts.astype(np.float32)


class RecentlyPopularConfig(Config):
    """Settings of :class:`RecentlyPopular`."""

    decay: Literal["half_life", "window"] = "half_life"
    """Whether old events fade or end to count at once."""
    days: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    """Half-life or window. Auto: chosen on a validation window by NDCG@10 (shares of the log's span where timestamps
    are an order)."""


class RecentlyPopular(FixedScores):
    """Scores an item by its recent events, the baseline to beat on a split by time.

    With ``days="auto"`` the half-life (or window) is chosen on the validation holdout, or, without one, on the last
    tenth of the training events; never on test. Asked about a moment inside the log it counts the events before it;
    about later ones, and without a moment, those of the whole log.
    """

    Settings = RecentlyPopularConfig
    _rule = "recent popularity"

    def _score_empty(self, histories: Histories) -> np.ndarray:
        """By recent events too, unless a kind of action is asked for."""
        return self._score_block(histories) if histories.wanted is None else super()._score_empty(histories)

    def _cold_start_rule(self, histories: Histories) -> str:
        return "what is popular of late" if histories.wanted is None else super()._cold_start_rule(histories)

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        known = data if validation is None else validation.all
        self.days = self._choose(data, validation) if self.config.days == "auto" else float(self.config.days)
        self.report["days"] = self.days
        self._item_scores = self._scores(known, self.days)
        self._count()

    def _load(self, artefact: artefacts.Reader) -> None:
        super()._load(artefact)
        self.days = float(self.report["days"])
        self._count()

    def _grow(self, growth: Growth) -> None:
        super()._grow(growth)
        self._count()

    def _count(self) -> None:
        """Ready the counts as they stood at moments inside the log."""
        stamps, items, catalogue = self.histories.timestamps, self.histories.items, len(self.item_vocabulary)
        assert stamps is not None
        self._reach = self.days * (86_400e6 if self.clock == "time" else 1.0)
        fading = self.config.decay == "half_life"
        self._counts = CountsOverTime(stamps, items, catalogue, np.array([self._reach if fading else np.inf]))
        # A window is what had happened by its end without what had happened by its start.
        self._earlier = None if fading else CountsOverTime(stamps, items, catalogue, np.array([np.inf]))

    def _score_block(self, histories: Histories) -> np.ndarray:
        scores = super()._score_block(histories)
        if histories.at is None:
            return scores
        moments = self._counts.told(histories.at)
        early = moments < self._counts.end
        found, group = np.unique(moments[early], return_inverse=True)
        counts = self._counts.at(found)[..., 0]
        if self._earlier is not None:
            counts -= self._earlier.at(found - int(self._reach))[..., 0]
        scores[early] = counts[group]
        return scores

    def _scores(self, data: Dataset, days: float) -> np.ndarray:
        stamps = data.events["timestamp"].to_numpy().astype(np.float64)
        items = data.events["item"].to_numpy()
        age = (stamps.max() - stamps) / _ticks_per_day(data)
        weight = np.exp2(-age / days) if self.config.decay == "half_life" else (age <= days).astype(np.float64)
        scores = np.bincount(items, weights=weight, minlength=len(data.item_vocabulary) + 1)
        return scores.astype(np.float32)

    def _choose(self, data: Dataset, validation: Holdout | None) -> float:
        """The candidate whose list wins the most newest events that training does not hold."""
        if validation is None:
            cut = np.quantile(data.events["timestamp"].to_numpy(), 0.9)
            data, later = data.where(data.events["timestamp"] <= cut), data.where(data.events["timestamp"] > cut)
        else:
            later = validation.targets
        span = float(np.ptp(data.events["timestamp"].to_numpy())) / _ticks_per_day(data) if len(data) else 0.0
        if not len(later) or span <= 0:
            return 1.0
        candidates = [span * share for share in (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 10.0)]
        wanted = later.item_counts.astype(np.float64)
        gains = []
        for days in candidates:
            best = np.argsort(-self._scores(data, days), kind="stable")[:10]
            gains.append(float((wanted[best] / np.log2(np.arange(2, len(best) + 2))).sum()))
        return candidates[int(np.argmax(gains))]


def _ticks_per_day(data: Dataset) -> float:
    return 86_400e6 if data.clock == "time" else 1.0
