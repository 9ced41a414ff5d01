"""Which patterns are worth a column: frequent in a class, telling of it, and not said by another one already.

Everything here learns from labels. Whoever measures a classifier calls it on training histories alone: chosen on all of
them, patterns of pure noise look telling. Counting patterns into features is ``features``' work.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import sparse, stats

from segue.errors import NothingFrequent
from segue.numeric import share_of
from segue.patterns.features import Patterns, occurrences
from segue.patterns.mining import Bounds, frequent
from segue.patterns.sequences import Sequences

_STEP = 0.8
_STRATA, _LEAST_ROWS = 5, 40


def candidates(
    found: Sequences,
    classes: np.ndarray,
    min_support: float,
    enough: int,
    max_length: int,
    bounds: Bounds | None = None,
) -> Patterns:
    """Frequent subsequences of each class, all together.

    A class is mined from high support down, until there are ``enough`` patterns of it or support is at
    ``min_support``: dense logs have millions of frequent triples, and what nearly everybody or nobody does tells little
    anyway (the bound of Cheng et al. on what support can tell).

    Args:
        classes: (rows,) from 0.
        min_support: least share of the users of a class.
        enough: patterns of a class after which no lower support is tried.
        bounds: how far the symbols of a pattern may lie from each other.

    Raises:
        NothingFrequent: no pattern reaches ``min_support`` in any class.
    """
    together: dict[tuple[int, ...], None] = {}
    for number in np.unique(classes):
        part = found.take(np.flatnonzero(classes == number))
        least = max(2, math.ceil(share_of(min_support, len(part))))
        bound, mined = max(len(part), least), Patterns.of([])
        while True:
            mined = Patterns(*frequent(part, bound, max_length, bounds, threads=1).flat())
            if bound == least or len(mined) >= enough:
                break
            bound = max(least, int(bound * _STEP))
        together.update(dict.fromkeys(mined.rows()))
    if not together:
        raise NothingFrequent(min_support=min_support, users=len(found))
    return Patterns.of(sorted(together, key=lambda row: (len(row), row)))


def telling(
    present: sparse.csr_array,
    classes: np.ndarray,
    keep: int,
    false_discoveries: float = 1.0,
    strata: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The patterns that tell the classes apart, each beyond what those before it told.

    Maximal marginal relevance (Cheng, Yan, Han and Hsu, ICDE 2007): relevance is the information gain of a pattern's
    presence about the class, and from it goes the largest redundancy with a pattern chosen before: the share of their
    users that they have in common (Jaccard), times the smaller of both gains. Ties go to the shorter pattern.

    A long history holds every pattern, and length often tells the class by itself: the gain is what a pattern tells
    among histories of about one length (``strata``).

    Of thousands of candidates the best of pure noise have some gain too, so those beyond a false discovery rate are
    not looked at (Benjamini and Hochberg, 1995, on the chi-square limit of the likelihood ratio: the gain times
    ``2 ln 2`` times the users, with as many degrees of freedom for each stratum). Where nothing is left the one of
    largest gain is chosen.

    Args:
        present: (users, patterns) 1 where a user has a pattern.
        classes: (users,) from 0.
        keep: how many at most.
        false_discoveries: largest expected share, among the patterns looked at, of those that tell nothing; 1 is all.
        strata: (users,) see :func:`lengths_alike`; None is one for all.

    Returns:
        Numbers of the patterns chosen, best first, and the information gain of every pattern, in bits.
    """
    strata = np.zeros(len(classes), dtype=np.int64) if strata is None else strata
    gains = information_gain(present, classes, strata)
    columns = present.tocsc()
    support = np.asarray(columns.sum(0)).ravel()
    redundancy, left = np.zeros(len(gains)), (gains > 1e-12) & _discovered(gains, classes, strata, false_discoveries)
    chosen: list[int] = []
    while len(chosen) < keep and left.any():
        marginal = np.where(left, gains - redundancy, -np.inf)
        best = int(marginal.argmax())
        if marginal[best] <= 0:
            break
        chosen.append(best)
        left[best] = False
        shared = np.asarray(columns.T @ columns[:, [best]].toarray()).ravel()
        jaccard = shared / np.maximum(support + support[best] - shared, 1)
        np.maximum(redundancy, jaccard * np.minimum(gains, gains[best]), out=redundancy)
    # Where nothing tells anything the best is as good as any.
    return np.array(chosen or [int(gains.argmax())], dtype=np.int64), gains


def information_gain(present: sparse.csr_array, classes: np.ndarray, strata: np.ndarray) -> np.ndarray:
    """(patterns,) bits that a pattern's presence tells about the class (Quinlan, 1986), within the strata."""
    gains = np.zeros(present.shape[1])
    for number in np.unique(strata):
        rows = np.flatnonzero(strata == number)
        which = sparse.csr_array((np.ones(len(rows)), (classes[rows], np.arange(len(rows)))))
        having = np.asarray((which @ present[rows]).todense())  # (classes, patterns)
        sizes: np.ndarray = np.asarray(which.sum(1)).reshape(-1, 1)
        lacking = sizes - having
        left = (having.sum(0) * _entropy(having) + lacking.sum(0) * _entropy(lacking)) / len(rows)
        gains += len(rows) / len(classes) * (_entropy(sizes) - left)
    return gains


def lengths_alike(found: Sequences) -> np.ndarray:
    """(rows,) the stratum of each history: up to five of about equal size by length, of at least 40 rows."""
    lengths = np.diff(found.offsets)
    strata = int(np.clip(len(found) // _LEAST_ROWS, 1, _STRATA))
    edges = np.unique(np.quantile(lengths, np.arange(1, strata) / strata))
    return np.searchsorted(edges, lengths, side="left")


def presence(found: Sequences, patterns: Patterns, bounds: Bounds) -> sparse.csr_array:
    """(rows, patterns) 1 where a history has a pattern."""
    count, _, _ = occurrences(found, patterns, bounds.gap_time, bounds.span_time)
    return (count > 0).astype(np.float64).tocsr()


def _discovered(gains: np.ndarray, classes: np.ndarray, strata: np.ndarray, rate: float) -> np.ndarray:
    """(patterns,) which gains are beyond chance at a false discovery rate."""
    ratio = 2 * np.log(2) * len(classes) * np.maximum(gains, 0)
    chance = stats.chi2.sf(ratio, (len(np.unique(classes)) - 1) * len(np.unique(strata)))
    ranked = np.sort(chance)
    passed = np.flatnonzero(ranked <= rate * np.arange(1, len(ranked) + 1) / len(ranked))
    return np.asarray(chance <= (ranked[passed[-1]] if len(passed) else -1.0))


def _entropy(counts: np.ndarray) -> np.ndarray:
    share = counts / np.maximum(counts.sum(0), 1)
    return np.asarray(-(share * np.log2(np.where(share > 0, share, 1))).sum(0))
