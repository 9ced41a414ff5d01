"""Ranking metrics per user, from lists of codes and the targets they should hold.

``Hits`` marks once which places of the lists are targets; every metric is a few array operations on it. Definitions
follow Järvelin and Kekäläinen (2002) for NDCG with binary gains, and Manning et al., "Introduction to
Information Retrieval", ch. 8, for the rest. Averages, intervals and reports are left to ``evaluation``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segue.data.histories import Histories
from segue.errors import MetricUnknown, nearest


@dataclass(frozen=True)
class Hits:
    """Which places of each list hold a target.

    Attributes:
        marks: (users, k) boolean.
        targets: (users,) how many distinct targets each user has.
    """

    marks: np.ndarray
    targets: np.ndarray

    @classmethod
    def of(cls, lists: np.ndarray, targets: Histories) -> Hits:
        """``lists``: (users, k) codes, 0 where a list is short; ``targets``: one ragged row per user."""
        width = int(max(lists.max(initial=0), targets.items.max(initial=0))) + 1
        wanted = np.unique(targets.rows() * width + targets.items)
        listed = np.arange(len(lists))[:, None] * width + lists
        place = np.minimum(np.searchsorted(wanted, listed), max(len(wanted) - 1, 0))
        marks = (wanted[place] == listed) & (lists > 0) if len(wanted) else np.zeros(lists.shape, bool)
        return cls(marks, np.bincount(wanted // width, minlength=len(lists)))

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


PER_USER: dict[str, Callable[[Hits, int], np.ndarray]] = {
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "mrr": mrr,
    "map": average_precision,
}


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
