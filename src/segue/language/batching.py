"""Texts of about equal length in one batch, so that padding is rare."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def batches(lengths: Sequence[int], tokens: int) -> list[np.ndarray]:
    """Row numbers, longest first, in groups of at most ``tokens`` padded positions (or of one row)."""
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    groups, start = [], 0
    while start < len(order):
        size = max(1, tokens // max(1, int(lengths[order[start]])))
        groups.append(order[start : start + size])
        start += size
    return groups


def padded(rows: Sequence[np.ndarray], pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Token ids as one batch, padded on the right, and the mask of what is no padding; (rows, width) int64 both."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad, dtype=np.int64)
    ids[mask] = np.concatenate(rows)
    return ids, mask.astype(np.int64)
