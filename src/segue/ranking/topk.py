"""The best k of each row of scores, with stable ties, in one pass over the scores.

Ties go to the item with the higher ``prior`` (popularity), then to the lower code, so that the same scores give
the same list on any machine. Scores of minus infinity are never listed; NaN is treated as minus infinity.
"""

from __future__ import annotations

import sys
from functools import cache

import numpy as np

from segue.data.jit import numba

_FEW = 128  # up to this k insertion into a short list beats sorting the row


@numba.njit(cache=True, parallel=True, nogil=True)
def _insert_rows(scores, prior, seen_offsets, seen, k, out_items, out_scores):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for row in numba.prange(scores.shape[0]):
        line = scores[row]
        for place in range(seen_offsets[row], seen_offsets[row + 1]):
            line[seen[place]] = -np.inf
        filled = 0
        worst = -np.inf
        for item in range(1, line.shape[0]):
            score = line[item]
            if not score > -np.inf or (filled == k and score < worst):
                continue
            place = filled
            while place > 0:
                other = out_items[row, place - 1]
                above = out_scores[row, place - 1]
                if above > score or (above == score and prior[other] >= prior[item]):
                    break
                place -= 1
            if place == k:
                continue
            if filled < k:
                filled += 1
            for move in range(filled - 1, place, -1):
                out_items[row, move] = out_items[row, move - 1]
                out_scores[row, move] = out_scores[row, move - 1]
            out_items[row, place] = item
            out_scores[row, place] = score
            if filled == k:
                worst = out_scores[row, k - 1]


@cache
def _start_threads() -> None:
    """Start numba's threads and leave torch its own number of them.

    Where both share one OpenMP, numba's start sets the number for torch too, and with it the last bits of what torch
    computes from then on: a training would differ before and after its first validation.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    none, nothing = np.zeros((0, 1), dtype=np.float32), np.zeros(0, dtype=np.int64)
    offsets, lists, prior = np.zeros(1, dtype=np.int64), np.zeros((0, 1), dtype=np.int64), np.zeros(1, dtype=np.float32)
    _insert_rows(none, prior, offsets, nothing, 1, lists, none)
    if torch is not None:
        torch.set_num_threads(before)


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
    if k <= _FEW:
        _start_threads()
        _insert_rows(scores, prior, seen_offsets, seen, k, out_items, out_scores)
        return out_items, out_scores
    scores[np.repeat(np.arange(rows), np.diff(seen_offsets)), seen] = -np.inf
    scores[:, 0] = -np.inf
    np.copyto(scores, -np.inf, where=np.isnan(scores))
    tie_order = np.argsort(-prior, kind="stable")
    order = tie_order[np.argsort(-scores[:, tie_order], axis=1, kind="stable")[:, :k]]
    best = np.take_along_axis(scores, order, axis=1)
    found = best > -np.inf
    out_items[:, : order.shape[1]] = np.where(found, order, 0)
    out_scores[:, : order.shape[1]] = best
    return out_items, out_scores
