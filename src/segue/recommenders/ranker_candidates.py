"""Which items a language ranker re-ranks: the best of its base, and with them what habits say comes next.

Lists are (rows, n) codes with 0 where there is none. What the ranker makes of them is its own affair.
"""

from __future__ import annotations

import numpy as np

from segue.data.histories import Histories
from segue.ranking.topk import top_k
from segue.recommenders.patterns import PatternRecommender


def joined(
    listed: np.ndarray, habits: PatternRecommender | None, count: int, histories: Histories, exclude_seen: bool
) -> np.ndarray:
    """Lists of the base with the best ``count`` items of the habits behind; those listed already leave an empty place.

    Without habits, or with a count of 0, the lists stay as they are.
    """
    if habits is None or not count or not len(histories):
        return listed
    codes, _ = habits.recommend_codes(histories, count, exclude_seen=exclude_seen, progress=False)
    known = (codes[:, :, None] == listed[:, None]).any(-1)
    return np.concatenate([listed, np.where(known, 0, codes)], axis=1)


def best_of(scores: np.ndarray, count: int, item_counts: np.ndarray, seen: Histories | None) -> np.ndarray:
    """(rows, count) codes of the best by (rows, catalogue + 1) scores, without what was seen."""
    offsets, codes = (seen.offsets, seen.items) if seen is not None else (None, None)
    return top_k(scores.copy(), count, item_counts.astype(np.float32), offsets, codes)[0]


def above_others(scores: np.ndarray, items: np.ndarray, blended: np.ndarray) -> np.ndarray:
    """Scores of the base with new ones for some items, all the others below; the array is overwritten.

    Args:
        scores: (rows, catalogue + 1).
        items: (rows, n) codes; 0 is none.
        blended: (rows, n) their new scores.
    """
    there = items > 0
    rows, places = np.nonzero(there)
    rest = scores.copy()
    rest[:, 0] = -np.inf
    rest[rows, items[rows, places]] = -np.inf
    best = rest.max(1, initial=-np.inf)
    best = np.where(np.isfinite(best), best, 0)
    worst = np.where(there, blended, np.inf).min(1, initial=np.inf)
    scores += np.where(np.isfinite(worst), worst - 1 - best, 0)[:, None].astype(np.float32)
    scores[rows, items[rows, places]] = blended[rows, places]
    return scores
