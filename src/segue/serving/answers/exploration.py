"""A list that sometimes shows what the model would not: to learn of uncertain items, and to be able to estimate.

Positions are filled one after the other. Each is drawn from a distribution over the items that are left, and the
probability of the item that was drawn, given those above it, is its propensity; it goes into the log with the list.
``segue estimate`` reads it there (see ``learning.estimates``). The draws are a function of the recommendation id, so a
list can be drawn again from the log. Filters, seen items and diversity come before; here nothing is ruled out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from pydantic import Field

from segue.config import Config
from segue.ranking.topk import top_k
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
    """An item with so few events in what the model was trained on, or fewer, is uncertain and a candidate of
    ``epsilon``; one that joined the catalogue since has none."""
    pool: int = Field(100, ge=1)
    """So many of the best items are drawn from."""
    salt: str = "segue"
    """Goes into the draws beside the recommendation id; no secret."""


def candidates(counts: np.ndarray, config: ExploreConfig) -> np.ndarray:
    """Which items are uncertain: a mask like ``counts``, the events per item."""
    return np.asarray(counts) <= config.few


@dataclass(frozen=True)
class Draw:
    """One list about to be drawn: what may stand in it and how likely, position by position.

    Attributes:
        items: (n,) codes, the model's list first, in its order, then the rest of the pool.
        logits: (n,) for ``plackett_luce``.
        listed, explored: (n,) whether an item is of the model's list, and of the pool.
        config: how it is drawn.
    """

    items: np.ndarray
    logits: np.ndarray
    listed: np.ndarray
    explored: np.ndarray
    config: ExploreConfig

    @classmethod
    def of(
        cls,
        codes: np.ndarray,
        scores: np.ndarray,
        pool_codes: np.ndarray,
        pool_scores: np.ndarray,
        config: ExploreConfig,
    ) -> Draw:
        """See :func:`explore`."""
        codes, pool_codes = np.asarray(codes, dtype=np.int64), np.asarray(pool_codes, dtype=np.int64)
        scores, pool_scores = np.asarray(scores, dtype=np.float64), np.asarray(pool_scores, dtype=np.float64)
        usable, pooled = (codes > 0) & np.isfinite(scores), (pool_codes > 0) & np.isfinite(pool_scores)
        codes, pool_codes = codes[usable], pool_codes[pooled]
        both = np.concatenate([codes, pool_codes])
        first = np.sort(np.unique(both, return_index=True)[1])
        items = both[first]
        logits = _logits(np.concatenate([scores[usable], pool_scores[pooled]])[first], config.temperature)
        return cls(items, logits, np.arange(len(items)) < len(codes), np.isin(items, pool_codes), config)

    def chances(self, left: np.ndarray) -> np.ndarray:
        """(n,) probabilities at the next position, where the items ``left`` (n,) remain; all 0 where the list ends."""
        if not left.any():
            return np.zeros(len(left))
        return self._luce(left) if self.config.method == "plackett_luce" else self._epsilon(left)

    def _epsilon(self, left: np.ndarray) -> np.ndarray:
        """The model's next item but for a share spread evenly over the candidates; all of it where one is missing."""
        chances = np.zeros(len(left))
        listed, explored = np.flatnonzero(left & self.listed), np.flatnonzero(left & self.explored)
        share = self.config.share if len(explored) else 0.0
        if len(listed):
            chances[listed[0]] = 1 - share
        elif self.config.share > 0:
            share = 1.0
        if len(explored):
            chances[explored] += share / len(explored)
        return chances

    def _luce(self, left: np.ndarray) -> np.ndarray:
        """Softmax over what is left."""
        chances = np.zeros(len(left))
        chances[left] = np.exp(self.logits[left] - self.logits[left].max())
        chances /= chances.sum()
        return chances


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
            :func:`candidates`), for ``plackett_luce`` what is drawn from beside the list. Those of the list may be
            among them.
        k: how many.
        config: how to draw.
        seed: the recommendation id.

    Returns:
        (n,) int64 codes and (n,) float64 propensities: the exact probability of each item at its position, given the
        items above it.
    """
    draw = Draw.of(codes, scores, pool_codes, pool_scores, config)
    left = np.ones(len(draw.items), dtype=bool)
    chosen, propensities = [], []
    for at in uniforms(f"{config.salt}\n{seed}", max(k, 1))[:k]:
        chances = draw.chances(left)
        possible = np.flatnonzero(chances > 0)
        if not len(possible):
            break
        place = possible[min(int(np.searchsorted(np.cumsum(chances[possible]), at, side="right")), len(possible) - 1)]
        left[place] = False
        chosen.append(draw.items[place])
        propensities.append(min(chances[place], 1.0))
    return np.array(chosen, dtype=np.int64), np.array(propensities, dtype=np.float64)


def likelihood(shown: np.ndarray, draw: Draw) -> np.ndarray:
    """(len(shown),) the probability of each item of a list at its position, had ``draw`` drawn it, given those above.

    An item that could not stand there has 0; the items above are then taken as they are.
    """
    left = np.ones(len(draw.items), dtype=bool)
    place_of = {int(code): place for place, code in enumerate(draw.items)}
    found = np.zeros(len(shown))
    for position, code in enumerate(shown):
        place = place_of.get(int(code))
        if place is not None:
            found[position] = draw.chances(left)[place]
            left[place] = False
    return found


class Explorer:
    """Exploration as answers call it.

    Args:
        config: settings.
    """

    def __init__(self, config: ExploreConfig) -> None:
        self.config = config

    def explore(self, served: Any, scores: np.ndarray, ranked: Any, recommendation_id: str) -> Any:
        """``ranked`` (``codes``, ``scores``, ``propensities``) anew, of the same length or longer where it was short.

        Args:
            served: the model that answers.
            scores: (catalogue + 1,), minus infinity where an item may not be listed.
            ranked: the model's list, best first.
            recommendation_id: what the draws are made of.
        """
        if not self.config.on:
            return ranked
        pool = self.pool(served, scores)
        given = (ranked.codes, scores[ranked.codes], pool, scores[pool])
        codes, propensities = explore(*given, len(ranked.codes), self.config, recommendation_id)
        return replace(ranked, codes=codes, scores=scores[codes], propensities=propensities)

    def draw(self, served: Any, scores: np.ndarray, k: int) -> Draw:
        """How a list of the best ``k`` by ``scores`` would be drawn."""
        codes = top_k(scores[None].astype(np.float32), k, served.recommender.item_counts.astype(np.float32))[0][0]
        pool = self.pool(served, scores)
        return Draw.of(codes, scores[codes], pool, scores[pool], self.config)

    def pool(self, served: Any, scores: np.ndarray) -> np.ndarray:
        """Codes of what is drawn from beside the list: the best of all, or of the candidates."""
        scores = scores.astype(np.float32)
        if self.config.method == "epsilon":
            scores[~candidates(served.recommender.item_counts, self.config)] = -np.inf
        codes: np.ndarray = top_k(scores[None], min(self.config.pool, len(scores) - 1))[0][0]
        return codes[codes > 0]


def _logits(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores in standard deviations over the temperature."""
    spread = scores.std() if len(scores) else 0.0
    return (scores - scores.max()) / (spread * temperature) if spread > 0 else np.zeros(len(scores))
