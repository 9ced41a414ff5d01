"""The compiled part of ``topk``: insertion into short lists, one row per thread.

In a module of its own because numba is large and slow to import, and whoever answers one request at a time needs none.
"""

from __future__ import annotations

import sys
from functools import cache

import numpy as np

from segue.data.jit import numba


@numba.njit(cache=True, parallel=True, nogil=True)
def insert_rows(scores, prior, seen_offsets, seen, k, out_items, out_scores):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The best ``k`` of each row into ``out_items`` and ``out_scores``; scores of seen items are overwritten."""
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
def start_threads() -> None:
    """Start numba's threads and leave torch its own number of them.

    Where both share one OpenMP, numba's start sets the number for torch too, and with it the last bits of what torch
    computes from then on: a training would differ before and after its first validation.
    """
    torch = sys.modules.get("torch")
    before = torch.get_num_threads() if torch is not None else 0
    none, nothing = np.zeros((0, 1), dtype=np.float32), np.zeros(0, dtype=np.int64)
    offsets, lists, prior = np.zeros(1, dtype=np.int64), np.zeros((0, 1), dtype=np.int64), np.zeros(1, dtype=np.float32)
    insert_rows(none, prior, offsets, nothing, 1, lists, none)
    if torch is not None:
        torch.set_num_threads(before)
