"""The trend: what is popular of late and how old an item is, weighed beside the scores of the sequence model.

    score(u, i) = a(u) * model(u, i) + w . f(i, t)          t: the moment asked about

``f`` are logs of shares of events at several half-lives and the item's age, as they stood just before t. ``a`` and
``w`` are learnt on a holdout that the model has not seen (``training.trend_fit``); counts go on with the log.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from segue.data.counts import CountsOverTime
from segue.data.histories import Histories

LEVELS = 6
"""Half-lives: the span of the log and a quarter of the one before, five times."""
_SURE = 1.0  # events that say nothing has changed: few events more or less than expected are no news
_MOMENTS = 4  # moments told apart per shortest half-life
_FLOATS = 8_000_000  # of features alive at once


def half_lives_of(stamps: np.ndarray) -> np.ndarray:
    """For a log; none where it has no span."""
    span = float(np.ptp(stamps)) if len(stamps) else 0.0
    return span / 4.0 ** np.arange(LEVELS) if span > 0 else np.zeros(0)


class TrendFeatures:
    """What is known of items at a moment, from the events strictly before it.

    Columns: the log of the item's share of all events; for each half-life, from the longest, by how much the log of its
    share among events so faded differs from the share before; the log of its age; whether it had no event yet. A change
    is that of the mean of a Poisson count with a gamma prior: it needs events to differ from 0, and is always finite.

    Moments inside the log are rounded down to a quarter of the shortest half-life, so that requests share the work;
    later ones, and unknown ones, are answered as at the end of the log.

    Args:
        histories: the events that are known, with timestamps.
        catalogue: number of items.
        half_lives: (levels,) longest first, in microseconds.
    """

    def __init__(self, histories: Histories, catalogue: int, half_lives: np.ndarray) -> None:
        assert histories.timestamps is not None
        self.half_lives = half_lives
        levels = np.concatenate([[np.inf], half_lives])
        self.counts = CountsOverTime(histories.timestamps, histories.items, catalogue, levels)

    @property
    def names(self) -> list[str]:
        """One for each column."""
        days = [f"{each / 86_400e6:.3g} days" for each in self.half_lives]
        return ["all time", *days, "age", "no event yet"]

    def moments(self, at: np.ndarray | None, rows: int) -> np.ndarray:
        """(rows,) the moments that are told apart."""
        end = self.counts.end
        if at is None:
            return np.full(rows, end, dtype=np.int64)
        step = max(1, int(self.half_lives[-1] / _MOMENTS))
        told = self.counts.told(at)
        return np.where(told >= end, end, told // step * step)

    def at(self, moments: np.ndarray, items: np.ndarray) -> np.ndarray:
        """(moments, items, columns) float32."""
        raw = self.counts.at(moments, np.concatenate([[0], items]))
        totals, counts = raw[:, :1], raw[:, 1:]
        share = (counts[..., 0] + 0.5) / (totals[..., 0] + 0.5 * self.counts.rows)
        found = np.empty((len(moments), len(items), len(self.half_lives) + 3), dtype=np.float32)
        found[..., 0] = np.log(share)
        for level in range(1, len(self.half_lives) + 1):
            change = (counts[..., level] + _SURE) / (totals[..., level] * share + _SURE)
            found[..., level] = np.log(change)
            share = share * change
        first, moment = self.counts.first[items], moments[:, None]
        known = first < moment
        age = np.where(known, moment - np.where(known, first, 0), 0)
        shortest, longest = self.half_lives[-1], self.half_lives[0]
        found[..., -2] = np.log((age + shortest) / longest)
        found[..., -1] = ~known
        return found

    def weighed(self, moments: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(moments, catalogue + 1, m): the columns of all items times (columns, m) weights; 0 for code 0."""
        items = np.arange(1, self.counts.rows)
        out = np.zeros((len(moments), self.counts.rows, weights.shape[1]), dtype=np.float32)
        step = max(1, _FLOATS // (self.counts.rows * len(weights)))
        for start in range(0, len(moments), step):
            part = slice(start, start + step)
            out[part, 1:] = self.at(moments[part], items) @ weights.astype(np.float32)
        return out


@dataclass(frozen=True)
class TrendWeights:
    """What was learnt.

    Attributes:
        half_lives: (levels,) in microseconds, longest first.
        scale: (2,) a(u) = ``scale[0] + scale[1] * trait(u)``, not below 0.
        lengths: what trait is made of: the mean log length of a history, and the longest that counts.
        beside: (columns,) weights beside a model's scores; None where they did not help.
        alone: (columns,) weights for those without a history; None where all-time popularity is better.
    """

    half_lives: np.ndarray
    scale: np.ndarray
    lengths: tuple[float, int]
    beside: np.ndarray | None
    alone: np.ndarray | None

    def traits(self, lengths: np.ndarray) -> np.ndarray:
        """(rows,) how much longer than usual each history is, on a log scale."""
        return np.asarray(np.log1p(np.minimum(lengths, self.lengths[1])) - self.lengths[0])

    def document(self) -> dict[str, Any]:
        """As JSON."""
        arrays = {name: getattr(self, name) for name in ("half_lives", "scale", "beside", "alone")}
        lists = {name: None if array is None else array.tolist() for name, array in arrays.items()}
        return {**lists, "lengths": list(self.lengths)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> TrendWeights:
        """From :meth:`document`."""

        def array(name: str) -> Any:
            return None if document[name] is None else np.array(document[name], dtype=np.float64)

        mean, longest = document["lengths"]
        return cls(array("half_lives"), array("scale"), (mean, longest), array("beside"), array("alone"))


class Trend:
    """Weights and the counts they are for."""

    def __init__(self, weights: TrendWeights, features: TrendFeatures) -> None:
        self.weights, self.features = weights, features

    @classmethod
    def over(cls, weights: TrendWeights, histories: Histories, catalogue: int) -> Trend:
        """The weights with the counts of these events."""
        return cls(weights, TrendFeatures(histories, catalogue, weights.half_lives))

    def add(self, scores: np.ndarray, histories: Histories) -> np.ndarray:
        """A model's (rows, catalogue + 1) scores with the trend in them; the array is overwritten."""
        weights = self.weights
        if weights.beside is None:
            return scores
        scale = np.maximum(weights.scale[0] + weights.scale[1] * weights.traits(histories.lengths), 0)
        scores *= scale.astype(np.float32)[:, None]
        return self._added(scores, histories.at, weights.beside, self._beside_at_end)

    def alone(self, histories: Histories) -> np.ndarray | None:
        """(rows, catalogue + 1) scores for requests without a history; None leaves them to popularity."""
        if self.weights.alone is None:
            return None
        scores = np.zeros((len(histories), self.features.counts.rows), dtype=np.float32)
        return self._added(scores, histories.at, self.weights.alone, self._alone_at_end)

    def _added(self, scores: np.ndarray, at: np.ndarray | None, weights: np.ndarray, at_end: np.ndarray) -> np.ndarray:
        moments = self.features.moments(at, len(scores))
        late = moments >= self.features.counts.end
        if late.all():
            scores += at_end
            return scores
        scores[late] += at_end
        found, group = np.unique(moments[~late], return_inverse=True)
        scores[~late] += self.features.weighed(found, weights[:, None])[group, :, 0]
        return scores

    @cached_property
    def _beside_at_end(self) -> np.ndarray:
        return self._at_end(self.weights.beside)

    @cached_property
    def _alone_at_end(self) -> np.ndarray:
        return self._at_end(self.weights.alone)

    def _at_end(self, weights: np.ndarray | None) -> np.ndarray:
        """(catalogue + 1,): what every request after the log has added."""
        assert weights is not None
        end = np.array([self.features.counts.end])
        return np.asarray(self.features.weighed(end, weights[:, None])[0, :, 0])
