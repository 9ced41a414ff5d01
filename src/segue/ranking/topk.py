"""The best k of each row of scores, with stable ties, in one pass over the scores.

Ties go to the item with the higher ``prior`` (popularity), then to the lower code, so that the same scores give
the same list on any machine. Scores of minus infinity are never listed; NaN is treated as minus infinity.
"""

from __future__ import annotations

import numpy as np

_FEW = 128  # up to this k insertion into a short list beats sorting the row
_FEW_ROWS = 4  # up to so many are not worth a compiled kernel


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
    if k <= _FEW and rows > _FEW_ROWS:
        from segue.ranking.topk_kernel import insert_rows, start_threads  # not loaded by whoever answers one by one

        start_threads()
        insert_rows(scores, prior, seen_offsets, seen, k, out_items, out_scores)
        return out_items, out_scores
    scores[np.repeat(np.arange(rows), np.diff(seen_offsets)), seen] = -np.inf
    scores[:, 0] = -np.inf
    np.copyto(scores, -np.inf, where=np.isnan(scores))
    if rows <= _FEW_ROWS:
        for row in range(rows):
            best = _best_of(scores[row], min(k, width), prior)
            out_items[row, : len(best)] = best
            out_scores[row, : len(best)] = scores[row, best]
        return out_items, out_scores
    tie_order = np.argsort(-prior, kind="stable")
    order = tie_order[np.argsort(-scores[:, tie_order], axis=1, kind="stable")[:, :k]]
    best = np.take_along_axis(scores, order, axis=1)
    found = best > -np.inf
    out_items[:, : order.shape[1]] = np.where(found, order, 0)
    out_scores[:, : order.shape[1]] = best
    return out_items, out_scores


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
