"""Lists whose items are less alike: maximal marginal relevance over the best candidates."""

from __future__ import annotations

import numpy as np

POOL = 100
"""Candidates, at least, that a diverse list is chosen from."""


def pool_size(k: int, diversity: float, least: int = POOL) -> int:
    """How many of the best items a list of ``k`` is chosen from: five times ``k``, and ``least`` at least."""
    return k if diversity == 0 else max(5 * k, least)


def spread(
    scores: np.ndarray, vectors: np.ndarray, k: int, diversity: float, before: np.ndarray | None = None
) -> np.ndarray:
    """Places of ``k`` candidates by maximal marginal relevance (Carbonell and Goldstein, 1998).

    Each place goes to the candidate with the largest

        (1 - diversity) * relevance - diversity * likeness

    where relevance is the score, scaled from 0 to 1 over the candidates, and likeness the largest cosine with an item
    that is listed already.

    Args:
        scores: (candidates,) best first.
        vectors: (candidates, d); a row of zeros is like nothing.
        k: how many.
        diversity: 0 to 1.
        before: (n, d) vectors of items that are listed already.
    """
    span = float(scores.max(initial=0) - scores.min(initial=0)) if len(scores) else 0.0
    relevance = (scores - scores.min()) / span if span > 0 else np.zeros(len(scores), dtype=np.float32)
    vectors = unit(vectors)
    likeness = np.full(len(scores), -np.inf, dtype=np.float32)
    if before is not None and len(before):
        likeness = (vectors @ unit(before).T).max(1)
    places = np.empty(min(k, len(scores)), dtype=np.int64)
    free = np.ones(len(scores), dtype=bool)
    for place in range(len(places)):
        alike = np.where(np.isfinite(likeness), likeness, 0)
        gain = np.where(free, (1 - diversity) * relevance - diversity * alike, -np.inf)
        places[place] = chosen = int(gain.argmax())
        free[chosen] = False
        likeness = np.maximum(likeness, vectors @ vectors[chosen])
    return places


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1; rows of zeros, or of what is not finite, are zeros."""
    vectors = np.where(np.isfinite(vectors), vectors, 0).astype(np.float32, copy=False)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1))
