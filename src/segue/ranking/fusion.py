"""Scores of several models brought onto one scale, so that they can be averaged: z-scores and reciprocal ranks.

Which models there are and what each weighs is left to the caller.
"""

from __future__ import annotations

import numpy as np

RANK_OFFSET = 60
"""Added to every rank, so that the first places do not decide alone (the constant of Cormack et al., 2009)."""
_FLAT = 1e-6  # scores that differ by less than this share of their size are equal but for rounding


def standardised(scores: np.ndarray) -> np.ndarray:
    """Each row with mean 0 and standard deviation 1 over the catalogue; a row of equal scores becomes zeros.

    Args:
        scores: (rows, catalogue + 1); column 0 is ignored.

    Returns:
        (rows, catalogue + 1) float32; column 0 is 0.
    """
    moved = np.zeros(scores.shape, dtype=np.float32)
    catalogue = scores[:, 1:]
    mean = catalogue.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    np.subtract(catalogue, mean, out=moved[:, 1:])
    spread = np.sqrt(np.einsum("rc,rc->r", moved, moved, dtype=np.float64) / max(catalogue.shape[1], 1))[:, None]
    flat = spread <= _FLAT * np.abs(mean)
    moved /= np.where(flat, 1, spread).astype(np.float32)
    moved[flat[:, 0]] = 0
    return moved


def reciprocal_ranks(scores: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """``1 / (60 + rank)`` of each item in its row, rank from 1 (Cormack, Clarke and Büttcher, SIGIR 2009).

    Equal scores are ordered as in every list: by ``prior``, then by code.

    Args:
        scores: (rows, catalogue + 1); column 0 is ignored.
        prior: (catalogue + 1,) popularity.

    Returns:
        (rows, catalogue + 1) float32; column 0 is 0.
    """
    popular = 1 + np.argsort(-prior[1:], kind="stable")
    best = popular[np.argsort(-scores[:, popular], axis=1, kind="stable")]
    values = (1 / (RANK_OFFSET + np.arange(1, scores.shape[1]))).astype(np.float32)
    found = np.zeros(scores.shape, dtype=np.float32)
    np.put_along_axis(found, best, np.broadcast_to(values, best.shape), axis=1)
    return found
