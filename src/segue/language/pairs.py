"""What people's histories say about texts: which follow which, batches of them, and how well one finds the next.

Events become events on texts: items that say the same are one, items that say nothing are left out. How vectors are
learnt from the pairs is left to ``pretraining_tasks``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from segue.data.histories import Histories
from segue.numeric import share_of

Pairs = tuple[np.ndarray, np.ndarray]
"""Earlier and later texts."""
_PIECE = 8  # events that stay together in a batch: few of one person, so that a batch holds many people
_CANDIDATES = 10_000  # texts among which the next is looked for; a larger catalogue is sampled
_BLOCK = 1_000  # pairs that are ranked at a time


@dataclass(frozen=True)
class TextLog:
    """Histories of texts.

    Attributes:
        texts: distinct, none empty.
        histories: one row per user; their items are places in ``texts``.
    """

    texts: list[str]
    histories: Histories

    @classmethod
    def of(cls, texts: Sequence[str], histories: Histories) -> TextLog:
        """From the text of each item code and the histories of item codes."""
        distinct = sorted({text for text in texts if text.strip()})
        place = {text: number for number, text in enumerate(distinct)}
        code = np.array([place.get(text, -1) for text in texts], dtype=np.int64)[histories.items]
        known = Histories(histories.offsets, code).keep(code >= 0)
        return cls(distinct, known)

    def of_users(self, users: np.ndarray) -> TextLog:
        """The same texts with the histories of some users."""
        return TextLog(self.texts, self.histories.take(users))

    def pairs(self, window: int) -> Pairs:
        """Earlier and later text of all events at most ``window`` steps apart; never a text and itself."""
        return pairs_within(self.histories.rows(), self.histories.items, window)

    def held_out(self, share: float, most: int, rng: np.random.Generator) -> tuple[TextLog, TextLog, TextLog]:
        """Users to learn from, to stop by and to report on; the latter two are empty where few have any pairs."""
        rows, codes = self.histories.rows(), self.histories.items
        together = rows[1:] == rows[:-1]
        moved = np.unique(rows[1:][together & (codes[1:] != codes[:-1])])
        count = min(math.floor(share_of(share, len(moved))), most) // 2 * 2
        chosen = rng.permutation(moved)[:count]
        rest = np.setdiff1d(np.arange(len(self.histories)), chosen)
        return self.of_users(rest), self.of_users(chosen[0::2]), self.of_users(chosen[1::2])

    @cached_property
    def shares(self) -> np.ndarray:
        """(texts,) of all events."""
        counts = np.bincount(self.histories.items, minlength=len(self.texts))
        return np.asarray(counts / max(counts.sum(), 1))

    def batches(self, events: int, rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """All events once, as row numbers and texts: short pieces of histories, shuffled, about ``events`` at a time.

        Where a history is cut into pieces is drawn anew each time.
        """
        rows, codes = self.histories.rows(), self.histories.items
        place = np.arange(len(codes)) - self.histories.offsets[rows]
        phase = rng.integers(0, _PIECE, len(self.histories))
        piece = (place + phase[rows]) // _PIECE
        begins = np.flatnonzero(np.diff(rows, prepend=-1).astype(bool) | np.diff(piece, prepend=-1).astype(bool))
        lengths = np.diff(begins, append=len(codes))
        order = rng.permutation(len(begins))
        shuffled = Histories(np.concatenate([begins, [len(codes)]]), codes).take(order)
        ends = np.cumsum(lengths[order])
        cuts = np.unique(np.searchsorted(ends, np.arange(events, len(codes) + events, events), "left") + 1)
        start = 0
        for stop in np.minimum(cuts, len(order)).tolist():
            if stop > start:
                part = shuffled.take(np.arange(start, stop))
                yield part.rows(), part.items
            start = stop

    def steps(self, events: int) -> int:
        """About how many batches an epoch has."""
        return max(1, -(-len(self.histories.items) // events))


def pairs_within(rows: np.ndarray, codes: np.ndarray, window: int) -> Pairs:
    """Earlier and later code of events of one row, at most ``window`` steps apart and not the same."""
    left, right = [], []
    for step in range(1, window + 1):
        apart = (rows[step:] == rows[:-step]) & (codes[step:] != codes[:-step])
        left.append(codes[:-step][apart])
        right.append(codes[step:][apart])
    return np.concatenate(left), np.concatenate(right)


def known_pairs(pairs: Pairs, size: int) -> sparse.csr_matrix:
    """(size, size) symmetric 0/1 matrix of which texts are a pair."""
    left, right = pairs
    ones = np.ones(2 * len(left), dtype=np.float32)
    place = (np.concatenate([left, right]), np.concatenate([right, left]))
    matrix = sparse.csr_matrix((ones, place), shape=(size, size))
    matrix.data[:] = 1
    return matrix


@dataclass(frozen=True)
class NextText:
    """Held-out pairs, and the texts among which the later one of each is to be found.

    Attributes:
        candidates: places in the log's ``texts``, ascending.
        stopping, reported: pairs as places in ``candidates``: those that say when to stop, and what was gained.
    """

    candidates: np.ndarray
    stopping: Pairs
    reported: Pairs

    @classmethod
    def of(cls, stopping: TextLog, reported: TextLog, rng: np.random.Generator) -> NextText:
        """The consecutive events of two logs on the same texts; other texts are drawn where there are too many."""
        pairs = stopping.pairs(1), reported.pairs(1)
        asked = np.unique(np.concatenate([*pairs[0], *pairs[1]]))
        others = np.setdiff1d(np.arange(len(stopping.texts)), asked)
        others = rng.permutation(others)[: max(0, _CANDIDATES - len(asked))]
        candidates = np.sort(np.concatenate([asked, others]))
        first, second = (
            (np.searchsorted(candidates, left), np.searchsorted(candidates, right)) for left, right in pairs
        )
        return cls(candidates, first, second)


def found(pairs: Pairs, vectors: np.ndarray) -> dict[str, float]:
    """Recall@10 and mean reciprocal rank of the later text of each pair by cosine; ties count against it.

    Args:
        pairs: rows of ``vectors``.
        vectors: (candidates, D).
    """
    left, right = pairs
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    ranks = np.zeros(len(left))
    for start in range(0, len(ranks), _BLOCK):
        part = slice(start, start + _BLOCK)
        rows = np.arange(len(left[part]))
        cosines = unit[left[part]] @ unit.T
        cosines[rows, left[part]] = -np.inf
        wanted = cosines[rows, right[part]]
        ranks[part] = (cosines >= wanted[:, None]).sum(1)
    return {"recall@10": float((ranks <= 10).mean()), "mrr": float((1 / ranks).mean())}
