"""Interests: groups of people who share habits, and the habits that tell a group from the others.

People and the patterns they hold make a matrix, in which rare patterns weigh more; its leading directions (truncated
SVD, as in latent semantic analysis: Deerwester et al., 1990) leave out what is chance, and spherical k-means (Dhillon
and Modha, Machine Learning, 2001) groups what is left by angle, so that it does not matter how much somebody took.
Everything follows from the sequences given: who mines training events learns nothing of others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse
from scipy.sparse.linalg import svds

from segue.data.histories import Histories
from segue.patterns.habits import Habits, count_habits, match
from segue.patterns.sequences import Sequences

WINDOW = 10  # places that a pattern of several symbols may reach
_STARTS, _ROUNDS = 4, 50
_SHARPNESS = 10.0
"""Of a membership: cosines are multiplied by it before the softmax. At 10 one that is 0.2 nearer weighs 7 times."""


@dataclass(frozen=True, eq=False)
class Interests:
    """Who belongs where, and why.

    Attributes:
        members: (rows, clusters) float32 share of each interest in each row, which sum to 1; zeros where a row holds
            no pattern.
        patterns: of symbols, one list per pattern.
        held: (rows, patterns) which row holds which pattern.
        labels: of the symbols.
    """

    members: np.ndarray
    patterns: list[list[int]]
    held: sparse.csr_matrix
    labels: pl.Series

    def telling(self, count: int = 5) -> pl.DataFrame:
        """The patterns that tell each interest: ``interest``, ``users`` (rows that belong there most), ``pattern``,
        ``support`` (of those), ``users_share`` (likewise) and ``lift`` (over the share in all rows).

        Ordered by how much oftener than by chance a pattern is held: ``support - expected``, over its root.
        """
        there = self.members.any(1)
        nearest = np.where(there, self.members.argmax(1), -1)
        everywhere = np.asarray(self.held.sum(0)).ravel() / max(int(there.sum()), 1)
        rows = []
        for interest in range(self.members.shape[1]):
            users = np.flatnonzero(nearest == interest)
            support = np.asarray(self.held[users].sum(0)).ravel()
            expected = everywhere * len(users)
            score = (support - expected) / np.sqrt(np.maximum(expected, 1e-9))
            for number in np.argsort(-score, kind="stable")[:count] if len(users) else []:
                pattern = self.labels.gather(self.patterns[number]).to_list()
                share = support[number] / len(users)
                rows.append(
                    (interest, len(users), pattern, int(support[number]), share, share / max(everywhere[number], 1e-9))
                )
        kinds: dict[str, Any] = {"interest": pl.Int64, "users": pl.Int64, "pattern": pl.List(self.labels.dtype)}
        kinds |= {"support": pl.Int64, "users_share": pl.Float64, "lift": pl.Float64}
        return pl.DataFrame(rows, schema=kinds, orient="row")


def interests(
    sequences: Sequences, clusters: int = 32, *, min_support: int = 5, dimensions: int = 64, seed: int = 0
) -> Interests:
    """The interests of rows by the patterns they hold: single symbols, and two in order within ``WINDOW`` places.

    Args:
        clusters: interests, at most; fewer where there are fewer rows that hold patterns.
        min_support: rows that hold a pattern, at least.
        dimensions: directions of the SVD.
        seed: of the first centres and of the SVD.
    """
    histories = Histories(sequences.offsets, sequences.symbols.astype(np.int64))
    held, patterns = _held(histories, sequences.size, min_support)
    some = np.flatnonzero(np.diff(held.indptr) > 0)
    members = np.zeros((len(sequences), clusters), dtype=np.float32)
    if len(some):
        placed = _placed(held[some], dimensions, seed)
        centres = _centres(placed, min(clusters, len(some)), seed)
        nearness = np.full((len(some), clusters), -np.inf)
        nearness[:, : len(centres)] = _SHARPNESS * (placed @ centres.T)
        shares = np.exp(nearness - nearness.max(1, keepdims=True))
        members[some] = shares / shares.sum(1, keepdims=True)
    return Interests(members, patterns, held, sequences.labels)


def _held(histories: Histories, size: int, least: int) -> tuple[sparse.csr_matrix, list[list[int]]]:
    """(rows, patterns) 1 where a row holds a pattern, and the patterns."""
    habits: Habits = count_habits(histories, size, max_length=3, window=WINDOW, min_support=least, timed=False)
    longest = int(histories.lengths.max(initial=0))
    # A context needs a place within the window for what is to come; here nothing is.
    found = match(habits, histories, max(longest, 1), WINDOW + 1, 0.0)
    shape = (len(histories), len(habits.of))
    held = sparse.csr_matrix((np.ones(len(found.rows), dtype=np.float32), (found.rows, found.contexts)), shape=shape)
    held.data[:] = 1
    frequent = np.flatnonzero((habits.of >= least) & (np.arange(len(habits.of)) > 0))
    return sparse.csr_matrix(held[:, frequent]), [habits.codes(int(context)) for context in frequent]


def _placed(held: sparse.csr_matrix, dimensions: int, seed: int) -> np.ndarray:
    """(rows, dimensions) of length 1."""
    users = np.asarray(held.sum(0)).ravel()
    weighed = held @ sparse.diags(np.log1p(held.shape[0] / np.maximum(users, 1)))
    lengths = np.sqrt(np.asarray(weighed.multiply(weighed).sum(1)))
    weighed = sparse.csr_matrix(weighed.multiply(1 / np.maximum(lengths, 1e-12)))
    rank = min(dimensions, min(weighed.shape) - 1)
    if rank < 1:
        return np.ones((weighed.shape[0], 1))
    # A starting vector of our own: the same directions on every run.
    start = np.random.default_rng(seed).normal(size=min(weighed.shape))
    left, values, _ = svds(weighed.astype(np.float64), k=rank, v0=start)
    placed = left * values
    return np.asarray(placed / np.maximum(np.linalg.norm(placed, axis=1, keepdims=True), 1e-12))


def _centres(placed: np.ndarray, clusters: int, seed: int) -> np.ndarray:
    """(clusters, dimensions) of length 1: the best of some starts, each with far centres first (k-means++)."""
    rng = np.random.default_rng(seed)
    best, highest = placed[:clusters], -np.inf
    for _ in range(_STARTS):
        centres = _spread(placed, clusters, rng)
        nearest = np.full(len(placed), -1)
        for _ in range(_ROUNDS):
            before, nearest = nearest, (placed @ centres.T).argmax(1)
            if (before == nearest).all():
                break
            belongs = (np.ones(len(placed)), (nearest, np.arange(len(placed))))
            sums = sparse.csr_matrix(belongs, (clusters, len(placed))) @ placed
            lengths = np.linalg.norm(sums, axis=1, keepdims=True)
            centres = np.where(lengths > 1e-12, sums / np.maximum(lengths, 1e-12), centres)
        near = float((placed @ centres.T).max(1).sum())
        if near > highest:
            best, highest = centres, near
    return best


def _spread(placed: np.ndarray, clusters: int, rng: np.random.Generator) -> np.ndarray:
    chosen = [int(rng.integers(len(placed)))]
    apart = 1 - placed @ placed[chosen[0]]
    while len(chosen) < clusters:
        odds = np.maximum(apart, 0)
        total = odds.sum()
        row = int(rng.choice(len(placed), p=odds / total)) if total > 1e-12 else int(rng.integers(len(placed)))
        chosen.append(row)
        apart = np.minimum(apart, 1 - placed @ placed[row])
    return placed[chosen]
