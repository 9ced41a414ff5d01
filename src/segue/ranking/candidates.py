"""The best few of several rankings together, and what each says of them. Learning from that is left to the callers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segue.ranking.fusion import RANK_OFFSET, standardised
from segue.ranking.topk import top_k

PER_MEMBER = ("score", "reciprocal_rank", "listed")


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items that one ranking at least lists.

    Attributes:
        rows, items: (candidates,) the row and the code of each, ascending.
        signals: (candidates, members, 3) float32 of ``PER_MEMBER``: the standardised score, ``61 / (60 + rank)`` (0
            where it is not listed), and whether it is listed.
        rest: (rows, catalogue + 1) float32 the mean standardised score, to rank all others by.
    """

    rows: np.ndarray
    items: np.ndarray
    signals: np.ndarray
    rest: np.ndarray

    def without(self, offsets: np.ndarray, items: np.ndarray) -> Candidates:
        """The same but for some items of each row, told as ragged codes."""
        size = self.rest.shape[1]
        left_out = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets)) * size + items
        kept = ~np.isin(self.rows * size + self.items, left_out)
        return Candidates(self.rows[kept], self.items[kept], self.signals[kept], self.rest)


def candidates(
    scores: list[np.ndarray], top: int, prior: np.ndarray, seen_offsets: np.ndarray, seen: np.ndarray
) -> Candidates:
    """The union of each ranking's best ``top``.

    Args:
        scores: of each member (rows, catalogue + 1).
        prior: (catalogue + 1,) decides ties.
        seen_offsets, seen: ragged codes per row that take no place. One of them is a candidate where its score would
            be among the best.
    """
    places = []
    for each in scores:
        items, best = top_k(each.copy(), min(top, each.shape[1] - 1), prior, seen_offsets, seen)
        places.append(_places(each, items, best))
    union = np.zeros(scores[0].shape, dtype=bool)
    for each in places:
        union |= each > 0
    rows, items = union.nonzero()
    signals = np.zeros((len(rows), len(scores), len(PER_MEMBER)), dtype=np.float32)
    rest = np.zeros(scores[0].shape, dtype=np.float32)
    for number, (each, place) in enumerate(zip(scores, places, strict=True)):
        common = standardised(each)
        rest += common / np.float32(len(scores))
        rank = place[rows, items]
        signals[:, number, 0] = common[rows, items]
        signals[:, number, 1] = np.where(rank > 0, (RANK_OFFSET + 1) / (RANK_OFFSET + rank), 0)
        signals[:, number, 2] = rank > 0
    return Candidates(rows, items, signals, rest)


def _places(scores: np.ndarray, items: np.ndarray, best: np.ndarray) -> np.ndarray:
    """(rows, catalogue + 1) int32 rank of each score among the falling ``best`` of its row; 0 where it is below all.

    Of those that tie with the last only the ``items`` listed have a rank: of a member that says nothing of most items
    thousands do.
    """
    ranks = np.zeros(scores.shape, dtype=np.int32)
    counts = (best > -np.inf).sum(axis=1)
    for row in np.flatnonzero(counts):
        listed = best[row, : counts[row]]
        above = np.flatnonzero(scores[row, 1:] > listed[-1]) + 1  # also of items that were left out of the list
        ranks[row, above] = np.searchsorted(-listed, -scores[row, above]) + 1
        first = int(np.searchsorted(-listed, -listed[-1]))
        ranks[row, items[row, first : counts[row]]] = first + 1
    return ranks
