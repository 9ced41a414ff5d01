"""The best k of each row of scores, with stable ties.

Ties go to the item with the higher ``prior`` (popularity), then to the lower code, so that the same scores give
the same list on any machine. Scores of minus infinity are never listed; NaN is treated as minus infinity.
"""

from __future__ import annotations

import numpy as np

_FEW_ROWS = 4  # up to so many rows are partitioned one by one
_BLOCK = 64  # scores that one maximum stands for
_AT_ONCE = 1 << 18  # scores of several rows that stay in the processor's cache together


def top_k(
    scores: np.ndarray,
    k: int,
    prior: np.ndarray | None = None,
    seen_offsets: np.ndarray | None = None,
    seen: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The ``k`` best codes of each row and their scores.

    Args:
        scores: (rows, catalogue + 1) float32; column 0 is padding. Overwritten where items are excluded.
        k: how many; rows with fewer candidates are filled with code 0 and score minus infinity.
        prior: (catalogue + 1,) decides ties.
        seen_offsets, seen: ragged codes per row that must not be listed.

    Returns:
        (rows, k) int64 codes and (rows, k) float32 scores, best first.
    """
    rows, width = scores.shape
    scores = np.ascontiguousarray(scores, dtype=np.float32)
    prior = np.zeros(width, dtype=np.float32) if prior is None else np.asarray(prior, dtype=np.float32)
    if seen_offsets is None or seen is None:
        seen_offsets, seen = np.zeros(rows + 1, dtype=np.int64), np.zeros(0, dtype=np.int64)
    out_items = np.zeros((rows, k), dtype=np.int64)
    out_scores = np.full((rows, k), -np.inf, dtype=np.float32)
    scores[np.repeat(np.arange(rows), np.diff(seen_offsets)), seen] = -np.inf
    scores[:, 0] = -np.inf
    np.copyto(scores, -np.inf, where=np.isnan(scores))
    if rows <= _FEW_ROWS:
        for row in range(rows):
            best = _best_of(scores[row], min(k, width), prior)
            out_items[row, : len(best)] = best
            out_scores[row, : len(best)] = scores[row, best]
        return out_items, out_scores
    step = max(1, _AT_ONCE // width)
    for first in range(0, rows, step):
        part = slice(first, first + step)
        _best_of_rows(scores[part], min(k, width), prior, out_items[part], out_scores[part])
    return out_items, out_scores


def _best_of_rows(scores: np.ndarray, k: int, prior: np.ndarray, out_items: np.ndarray, out_scores: np.ndarray) -> None:
    """As :func:`_best_of` for several rows at once.

    Scores below a bound are dropped before anything is sorted. The k-th largest of the maxima of blocks of neighbouring
    scores is such a bound: k blocks hold a score that is as large.
    """
    rows, width = scores.shape
    block = min(_BLOCK, width // (4 * k))
    peaks = scores if block < 2 else np.maximum.reduceat(scores, np.arange(0, width, block), axis=1)
    bound = np.partition(peaks, peaks.shape[1] - k, axis=1)[:, peaks.shape[1] - k]
    bound = np.maximum(bound, np.finfo(np.float32).min)  # minus infinity is never listed
    places = np.flatnonzero(scores >= bound[:, None])
    row, item = np.divmod(places, width)
    score = scores.reshape(-1)[places]
    order = np.lexsort((-prior[item], -score, row))  # stable: equal ones by their code
    row, item, score = row[order], item[order], score[order]
    rank = np.arange(len(row)) - np.searchsorted(row, np.arange(rows))[row]
    listed = rank < k
    out_items[row[listed], rank[listed]] = item[listed]
    out_scores[row[listed], rank[listed]] = score[listed]


def _best_of(scores: np.ndarray, k: int, prior: np.ndarray) -> np.ndarray:
    """Codes of one row, best first; shorter where scores are minus infinity."""
    listable = scores > -np.inf
    if np.count_nonzero(listable) < len(scores) // 8:  # most are left out: the others are sorted by themselves
        codes = np.flatnonzero(listable)
        return np.asarray(codes[np.lexsort((-prior[codes], -scores[codes]))[:k]])
    least = np.partition(scores, len(scores) - k)[len(scores) - k]
    among = np.flatnonzero(scores >= least) if least > -np.inf else np.flatnonzero(scores > -np.inf)
    order: np.ndarray = among[np.lexsort((-prior[among], -scores[among]))[:k]]  # stable: equal ones by their code
    return order
