"""A list that sometimes shows what the model would not: to learn of uncertain items, and to be able to estimate.

Positions are filled one after the other. Each is drawn from a distribution over the items that are left, and the
probability of the item that was drawn, given those above it, is its propensity; it goes into the log with the list.
``segue estimate`` reads it there (see ``learning.estimates``). The draws are a function of the recommendation id, so a
list can be drawn again from the log. Filters, seen items and diversity come before; here nothing is ruled out.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic import Field

from segue.config import Config
from segue.serving.draws import uniforms


class ExploreConfig(Config):
    """Settings of exploration."""

    on: bool = False
    """Whether lists explore where the question does not say."""
    method: Literal["epsilon", "plackett_luce"] = "epsilon"
    """``epsilon``: a share of positions goes to a candidate drawn at random. ``plackett_luce``: every position is drawn
    by the scores of the pool (Plackett, 1975), the better the likelier."""
    share: float = Field(0.1, ge=0, le=1)
    """Of positions, for ``epsilon``."""
    temperature: float = Field(0.2, gt=0)
    """For ``plackett_luce``, in standard deviations of the pool's scores: towards 0 the list is the model's."""
    few: int = Field(20, ge=0)
    """An item with so few events, or fewer, is uncertain and a candidate of ``epsilon``."""
    days: float = Field(14, ge=0)
    """An item that joined the catalogue so few days ago, or fewer, is new and a candidate too."""
    pool: int = Field(100, ge=1)
    """So many of the best items are drawn from."""
    salt: str = "segue"
    """Goes into the draws beside the recommendation id; no secret."""


def candidates(counts: np.ndarray, ages: np.ndarray | None, config: ExploreConfig) -> np.ndarray:
    """Which items are uncertain or new: a mask like ``counts``.

    Args:
        counts: events per item.
        ages: days since each joined the catalogue, NaN or infinity where that is not known; None for all.
    """
    uncertain = np.asarray(counts) <= config.few
    return uncertain if ages is None else uncertain | (np.asarray(ages) <= config.days)


def explore(
    codes: np.ndarray,
    scores: np.ndarray,
    pool_codes: np.ndarray,
    pool_scores: np.ndarray,
    k: int,
    config: ExploreConfig,
    seed: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a list of up to ``k`` items.

    Args:
        codes, scores: the list as the model has it, best first; code 0 ends it.
        pool_codes, pool_scores: other items that may be listed: for ``epsilon`` the candidates that are explored (see
            :func:`candidates`), for ``plackett_luce`` what is drawn from beside the list. Those of the list may be among
            them.
        seed: the recommendation id.

    Returns:
        (n,) int64 codes and (n,) float64 propensities: the exact probability of each item at its position, given the
        items above it.
    """
    codes = np.asarray(codes, dtype=np.int64)
    codes, scores = codes[codes > 0], np.asarray(scores, dtype=np.float64)[codes > 0]
    pool_codes = np.asarray(pool_codes, dtype=np.int64)
    usable = (pool_codes > 0) & np.isfinite(pool_scores)
    pool_codes, pool_scores = pool_codes[usable], np.asarray(pool_scores, dtype=np.float64)[usable]
    both = np.concatenate([codes, pool_codes])
    items, first = np.unique(both, return_index=True)
    items, first = both[np.sort(first)], np.sort(first)  # the list first, in its order, then the rest of the pool
    listed = np.arange(len(items)) < len(codes)
    explored = np.isin(items, pool_codes)
    logits = _logits(np.concatenate([scores, pool_scores])[first], config.temperature)
    draws = uniforms(f"{config.salt}\n{seed}", max(k, 1))
    left = np.ones(len(items), dtype=bool)
    chosen, propensities = [], []
    for draw in draws[: min(k, len(items))]:
        chances = _luce(logits, left) if config.method == "plackett_luce" else _epsilon(left, listed, explored, config)
        total = chances.sum()
        if not total > 0:
            break
        place = _drawn(chances, draw * total)
        left[place] = False
        chosen.append(int(items[place]))
        propensities.append(float(chances[place] / total))
    return np.array(chosen, dtype=np.int64), np.array(propensities, dtype=np.float64)


def _epsilon(left: np.ndarray, listed: np.ndarray, explored: np.ndarray, config: ExploreConfig) -> np.ndarray:
    """The model's next item but for a share that is spread evenly over the candidates; all of it where one is missing."""
    chances = np.zeros(len(left))
    open_list, open_pool = np.flatnonzero(left & listed), np.flatnonzero(left & explored)
    share = config.share if len(open_pool) else 0.0
    if len(open_list):
        chances[open_list[0]] = 1 - share
    elif config.share > 0:
        share = 1.0
    if len(open_pool):
        chances[open_pool] += share / len(open_pool)
    return chances


def _luce(logits: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Softmax over what is left."""
    chances = np.zeros(len(left))
    chances[left] = np.exp(logits[left] - logits[left].max())
    return chances / chances.sum()


def _logits(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores in standard deviations over the temperature."""
    spread = scores.std() if len(scores) else 0.0
    return (scores - scores.max()) / (spread * temperature) if spread > 0 else np.zeros(len(scores))


def _drawn(chances: np.ndarray, at: float) -> int:
    """The place whose part of the line from 0 to the sum of chances holds ``at``."""
    place = int(np.searchsorted(np.cumsum(chances), at, side="right"))
    possible = np.flatnonzero(chances > 0)
    return place if place < len(chances) and chances[place] > 0 else int(possible[-1])
