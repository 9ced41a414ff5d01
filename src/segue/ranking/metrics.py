"""Ranking metrics per user, from lists of codes and the targets they should hold.

``Hits`` marks once which places of the lists are targets; every metric is a few array operations on it. Definitions
follow Järvelin and Kekäläinen (2002) for NDCG with binary gains, and Manning et al., "Introduction to
Information Retrieval", ch. 8, for the rest; ``docs/evaluation.md`` has the formulas.
Averages, intervals and reports are left to ``evaluation``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from segue.data.histories import Histories
from segue.errors import MetricUnknown, nearest


@dataclass(frozen=True)
class Hits:
    """Which places of each list hold a target.

    Attributes:
        marks: (users, k) boolean.
        targets: (users,) how many distinct targets each user has.
        gains: (users, k) the gain of the target at each place, 0 elsewhere; absent where targets have no values.
        ideal: (users, k) the k largest gains of each user's targets, falling; absent with ``gains``.
        surprise: (users, k) what :func:`serendipity` counts at each place; absent where no popularity is given.
    """

    marks: np.ndarray
    targets: np.ndarray
    gains: np.ndarray | None = None
    ideal: np.ndarray | None = None
    surprise: np.ndarray | None = None

    @classmethod
    def of(cls, lists: np.ndarray, targets: Histories) -> Hits:
        """``lists``: (users, k) codes, 0 where a list is short; ``targets``: one ragged row per user."""
        width = int(max(lists.max(initial=0), targets.items.max(initial=0))) + 1
        wanted = np.unique(targets.rows() * width + targets.items)
        listed = np.arange(len(lists))[:, None] * width + lists
        place = np.minimum(np.searchsorted(wanted, listed), max(len(wanted) - 1, 0))
        marks = (wanted[place] == listed) & (lists > 0) if len(wanted) else np.zeros(lists.shape, bool)
        return cls(marks, np.bincount(wanted // width, minlength=len(lists)))

    def graded(self, lists: np.ndarray, targets: Histories) -> Hits:
        """With gains: the largest value of each target; 0 where it is absent or negative. None in, none out."""
        if targets.values is None:
            return self
        width = int(max(lists.max(initial=0), targets.items.max(initial=0))) + 1
        keys, place = np.unique(targets.rows() * width + targets.items, return_inverse=True)
        value = np.zeros(len(keys))
        np.maximum.at(value, place, np.nan_to_num(targets.values, nan=0.0))
        listed = np.minimum(
            np.searchsorted(keys, np.arange(len(lists))[:, None] * width + lists), max(len(keys) - 1, 0)
        )
        gains = np.where(self.marks, value[listed], 0.0) if len(keys) else np.zeros(lists.shape)
        rows = keys // width
        falling = np.lexsort((-value, rows))
        rank = np.arange(len(keys)) - np.searchsorted(rows, rows)
        ideal = np.zeros(lists.shape)
        inside = rank < lists.shape[1]
        ideal[rows[inside], rank[inside]] = value[falling][inside]
        return replace(self, gains=gains, ideal=ideal)

    def surprising(self, lists: np.ndarray, item_counts: np.ndarray) -> Hits:
        """With what is listed higher than by popularity; ``item_counts``: (catalogue + 1,) events that are known."""
        catalogue = max(len(item_counts) - 1, 1)
        popular = np.zeros(len(item_counts))
        popular[np.argsort(-item_counts[1:], kind="stable") + 1] = np.arange(len(item_counts) - 1)
        # Both ranks count from 0, so (N - rank) / N is (N + 1 - rank) / N of ranks from 1.
        ahead = (popular[lists] - np.arange(lists.shape[1])) / catalogue
        return replace(self, surprise=np.where(self.marks, np.maximum(ahead, 0.0), 0.0))

    def at(self, k: int) -> np.ndarray:
        """The first k places."""
        return self.marks[:, :k]


def hit_rate(hits: Hits, k: int) -> np.ndarray:
    """1 for users with a target among the first k."""
    return np.asarray(hits.at(k).any(1), dtype=np.float64)


def recall(hits: Hits, k: int) -> np.ndarray:
    """The share of a user's targets among the first k."""
    return np.asarray(hits.at(k).sum(1) / np.maximum(hits.targets, 1))


def precision(hits: Hits, k: int) -> np.ndarray:
    """The share of the first k that are targets."""
    return np.asarray(hits.at(k).sum(1) / k)


def ndcg(hits: Hits, k: int) -> np.ndarray:
    """Discounted gain of the first k over that of the ideal list."""
    discount = 1 / np.log2(np.arange(2, k + 2))
    gain = hits.at(k) @ discount[: hits.at(k).shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(discount)])[np.minimum(hits.targets, k)]
    return np.asarray(gain / np.where(ideal > 0, ideal, 1.0))


def mrr(hits: Hits, k: int) -> np.ndarray:
    """One over the place of the first target, 0 when there is none among the first k."""
    marks = hits.at(k)
    return np.asarray(np.where(marks.any(1), 1 / (marks.argmax(1) + 1), 0.0))


def average_precision(hits: Hits, k: int) -> np.ndarray:
    """Mean of the precision at each target found, over min(k, targets)."""
    marks = hits.at(k)
    precisions = np.cumsum(marks, axis=1) / np.arange(1, marks.shape[1] + 1)
    return np.asarray((precisions * marks).sum(1) / np.maximum(np.minimum(hits.targets, k), 1))


def r_precision(hits: Hits, k: int) -> np.ndarray:
    """Precision of the first R places, R being the number of the user's targets and k at most."""
    first = np.minimum(hits.targets, k)
    found = np.cumsum(hits.at(k), axis=1) if hits.at(k).shape[1] else np.zeros((len(first), 1))
    last = np.clip(np.minimum(first, found.shape[1]) - 1, 0, None)
    return np.asarray(np.take_along_axis(found, last[:, None], 1)[:, 0] / np.maximum(first, 1))


def graded_ndcg(hits: Hits, k: int) -> np.ndarray:
    """NDCG whose gains are the targets' values; 0 for users whose targets have no gain."""
    assert hits.gains is not None
    assert hits.ideal is not None
    discount = 1 / np.log2(np.arange(2, hits.gains[:, :k].shape[1] + 2))
    ideal = hits.ideal[:, :k] @ discount
    return np.asarray(hits.gains[:, :k] @ discount / np.where(ideal > 0, ideal, 1.0))


def serendipity(hits: Hits, k: int) -> np.ndarray:
    """Mean over the first k of how far a target is listed above its rank by popularity (Murakami et al., 2007)."""
    assert hits.surprise is not None
    return np.asarray(hits.surprise[:, :k].sum(1) / k)


PER_USER: dict[str, Callable[[Hits, int], np.ndarray]] = {
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "mrr": mrr,
    "map": average_precision,
    "r_precision": r_precision,
}
"""Metrics of lists and targets alone, which validation may use."""
WITH_CONTEXT: dict[str, Callable[[Hits, int], np.ndarray]] = {"graded_ndcg": graded_ndcg, "serendipity": serendipity}
"""Metrics that need the targets' values or the popularity of items too; ``evaluate`` has them where the log does."""


def parse_metric(name: str) -> tuple[str, int]:
    """``"ndcg@10"`` to ``("ndcg", 10)``; raises ``MetricUnknown``."""
    metric, _, k = str(name).partition("@")
    if metric not in PER_USER or not k.isdigit() or int(k) < 1:
        known = [f"{each}@10" for each in PER_USER]
        raise MetricUnknown(name=name, hint=nearest(str(name), known), known=", ".join(PER_USER))
    return metric, int(k)


def auc(scores: np.ndarray, labels: np.ndarray) -> float:
    """Area under the ROC curve of scored pairs; ties count half (Mann and Whitney, 1947).

    Returns NaN when only one class is present.
    """
    from scipy.stats import rankdata

    positive = np.asarray(labels, dtype=bool)
    up, down = int(positive.sum()), int((~positive).sum())
    if not up or not down:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - up * (up + 1) / 2) / (up * down))
