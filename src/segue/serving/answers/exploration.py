"""A list that sometimes shows what the model would not: to learn of uncertain items, and to be able to estimate.

Positions are filled one after the other. Each is drawn from a distribution over the items that are left, and the
probability of the item that was drawn, given those above it, is its propensity; it goes into the log with the list.
``segue estimate`` reads it there (see ``learning.estimates``). The draws are a function of the recommendation id, so a
list can be drawn again from the log. Filters, seen items and diversity come before; here nothing is ruled out.
"""

from __future__ import annotations

from bisect import insort
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
    """``epsilon``: a share of positions goes to a candidate of the whole catalogue, each as likely as the others.
    ``plackett_luce``: every position is drawn by the scores of the pool (Plackett, 1975), the better the likelier."""
    share: float = Field(0.1, ge=0, le=1)
    """Of positions, for ``epsilon``."""
    temperature: float = Field(0.2, gt=0)
    """For ``plackett_luce``, in standard deviations of the pool's scores: towards 0 the list is the model's."""
    few: int = Field(20, ge=0)
    """An item with so few events in what the model was trained on, or fewer, is uncertain and a candidate of
    ``epsilon``; one that joined the catalogue since has none."""
    pool: int = Field(100, ge=1)
    """So many of the best items ``plackett_luce`` draws from."""
    salt: str = "segue"
    """Goes into the draws beside the recommendation id; no secret."""


def candidates(counts: np.ndarray, config: ExploreConfig) -> np.ndarray:
    """Which items are uncertain: a mask like ``counts``, the events per item."""
    return np.asarray(counts) <= config.few


@dataclass(frozen=True)
class Draw:
    """One list about to be drawn: what may stand in it and how likely, position by position.

    The items after the model's list are alike to ``epsilon``, so that a position costs the length of the list and not
    that of the catalogue.

    Attributes:
        items: (n,) codes, the model's list first, in its order, then the rest of the pool.
        logits: (n,) for ``plackett_luce``; empty for ``epsilon``.
        n_listed: length of the model's list.
        explored: (n_listed,) whether an item of the model's list is also of the pool.
        config: how it is drawn.
    """

    items: np.ndarray
    logits: np.ndarray
    n_listed: int
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
        scores, pool_scores = np.asarray(scores), np.asarray(pool_scores)
        usable, pooled = (codes > 0) & np.isfinite(scores), (pool_codes > 0) & np.isfinite(pool_scores)
        codes, pool_codes = codes[usable], pool_codes[pooled]
        rest = ~np.isin(pool_codes, codes)
        logits = np.zeros(0)
        if config.method == "plackett_luce":
            both = np.concatenate([scores[usable], pool_scores[pooled][rest]]).astype(np.float64)
            logits = _logits(both, config.temperature)
        items = np.concatenate([codes, pool_codes[rest]])
        return cls(items, logits, len(codes), np.isin(codes, pool_codes), config)

    @property
    def listed(self) -> np.ndarray:
        """(n,) whether an item is of the model's list."""
        return np.arange(len(self.items)) < self.n_listed

    def chances(self, left: np.ndarray) -> np.ndarray:
        """(n,) probabilities at the next position, where the items ``left`` (n,) remain; all 0 where the list ends."""
        if not left.any():
            return np.zeros(len(left))
        if self.config.method == "plackett_luce":
            return self._luce(left)
        n = self.n_listed
        listed, each = self._epsilon(left[:n], int(left[n:].sum()))
        return np.concatenate([listed, np.where(left[n:], each, 0.0)])

    def places(self, uniform: np.ndarray) -> tuple[list[int], list[float]]:
        """Draw a position for each number in [0, 1): places in ``items``, and their probabilities given those above."""
        left = np.ones(len(self.items) if self.config.method == "plackett_luce" else self.n_listed, dtype=bool)
        taken: list[int] = []  # of the rest, ascending
        n, n_rest = self.n_listed, len(self.items) - self.n_listed
        found: list[int] = []
        propensities: list[float] = []
        for at in uniform.tolist():
            each = 0.0
            if self.config.method == "plackett_luce":
                chances = self.chances(left)
            else:
                chances, each = self._epsilon(left, n_rest - len(taken))
            below = np.cumsum(chances)
            listed = float(below[-1]) if len(below) else 0.0
            if each > 0 and at >= listed:
                place = _nth_left(min(int((at - listed) / each), n_rest - len(taken) - 1), taken)
                insort(taken, place)
                place += n
            else:
                possible = np.flatnonzero(chances > 0)
                if not len(possible):
                    break
                rank = int(np.searchsorted(below[possible], at, side="right"))
                place = int(possible[min(rank, len(possible) - 1)])
                each = float(chances[place])
                left[place] = False
            found.append(place)
            propensities.append(min(each, 1.0))
        return found, propensities

    def likelihood(self, shown: np.ndarray) -> np.ndarray:
        """(len(shown),) the probability of each item of a list at its position, given those above it.

        An item that could not stand there has 0; the items above are then taken as they are.
        """
        luce = self.config.method == "plackett_luce"
        among = np.flatnonzero(np.isin(self.items, shown))
        place_of = dict(zip(self.items[among].tolist(), among.tolist(), strict=True))
        left = np.ones(len(self.items) if luce else self.n_listed, dtype=bool)
        n_rest = len(self.items) - self.n_listed
        found = np.zeros(len(shown))
        for position, code in enumerate(shown):
            place = place_of.pop(int(code), None)
            if place is None:
                continue
            if luce:
                found[position] = self.chances(left)[place]
                left[place] = False
                continue
            chances, each = self._epsilon(left, n_rest)
            found[position] = each if place >= self.n_listed else chances[place]
            if place >= self.n_listed:
                n_rest -= 1
            else:
                left[place] = False
        return np.minimum(found, 1.0)

    def by_chance(self, places: list[int]) -> np.ndarray:
        """(len(places),) whether each was drawn, and is not what the model would have put there itself.

        ``plackett_luce`` draws every position. Under ``epsilon`` the model's own is the first of its list that is left.
        """
        if self.config.method == "plackett_luce":
            return np.ones(len(places), dtype=bool)
        left = list(range(self.n_listed))
        found = []
        for place in places:
            found.append(not left or place != left[0])
            if place < self.n_listed:
                left.remove(place)
        return np.array(found, dtype=bool)

    def _epsilon(self, left: np.ndarray, n_rest: int) -> tuple[np.ndarray, float]:
        """(n_listed,) probabilities of the model's list, and that of each of the ``n_rest`` others that are left.

        The model's next item but for a share spread evenly over the candidates; all of it where one is missing.
        """
        chances = np.zeros(len(left))
        listed, explored = np.flatnonzero(left), np.flatnonzero(left & self.explored)
        n_explored = len(explored) + n_rest
        share = self.config.share if n_explored else 0.0
        if len(listed):
            chances[listed[0]] = 1 - share
        elif share > 0:
            share = 1.0
        each = share / n_explored if n_explored else 0.0
        chances[explored] += each
        return chances, each

    def _luce(self, left: np.ndarray) -> np.ndarray:
        """Softmax over what is left."""
        chances = np.zeros(len(left))
        chances[left] = np.exp(self.logits[left] - self.logits[left].max())
        chances /= chances.sum()
        return chances


def _nth_left(n: int, taken: list[int]) -> int:
    """The number, from 0, that is the ``n``-th of those not ``taken`` (ascending)."""
    for each in taken:
        if each > n:
            break
        n += 1
    return n


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
        pool_codes, pool_scores: other items that may be listed, each once: for ``epsilon`` the candidates that are
            explored (see :func:`candidates`), for ``plackett_luce`` what is drawn from beside the list. Those of the
            list may be among them.
        k: how many.
        config: how to draw.
        seed: the recommendation id.

    Returns:
        (n,) int64 codes and (n,) float64 propensities: the exact probability of each item at its position, given the
        items above it.
    """
    draw = Draw.of(codes, scores, pool_codes, pool_scores, config)
    places, propensities = draw.places(_uniforms(config, seed, k))
    return draw.items[places].astype(np.int64), np.array(propensities, dtype=np.float64)


def _uniforms(config: ExploreConfig, seed: str, k: int) -> np.ndarray:
    return uniforms(f"{config.salt}\n{seed}", max(k, 1))[:k]


def likelihood(shown: np.ndarray, draw: Draw) -> np.ndarray:
    """(len(shown),) see :meth:`Draw.likelihood`."""
    return draw.likelihood(shown)


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
        draw = Draw.of(ranked.codes, scores[ranked.codes], pool, scores[pool], self.config)
        places, chances = draw.places(_uniforms(self.config, recommendation_id, len(ranked.codes)))
        codes, propensities = draw.items[places], np.array(chances, dtype=np.float64)
        by_chance = draw.by_chance(places)
        return replace(ranked, codes=codes, scores=scores[codes], propensities=propensities, by_chance=by_chance)

    def draw(self, served: Any, scores: np.ndarray, k: int) -> Draw:
        """How a list of the best ``k`` by ``scores`` would be drawn."""
        codes = top_k(scores[None].astype(np.float32), k, served.recommender.item_counts.astype(np.float32))[0][0]
        pool = self.pool(served, scores)
        return Draw.of(codes, scores[codes], pool, scores[pool], self.config)

    def pool(self, served: Any, scores: np.ndarray) -> np.ndarray:
        """Codes of what is drawn from beside the list: every candidate that may be listed, or the best of all."""
        if self.config.method == "epsilon":
            # Items may have come since the scores were computed, or since the counts were.
            counts = served.recommender.item_counts[: len(scores)]
            eligible = candidates(counts, self.config) & np.isfinite(scores[: len(counts)])
            eligible[:1] = False
            return np.flatnonzero(eligible)
        codes: np.ndarray = top_k(scores[None].astype(np.float32), min(self.config.pool, len(scores) - 1))[0][0]
        return codes[codes > 0]


def _logits(scores: np.ndarray, temperature: float) -> np.ndarray:
    """Scores in standard deviations over the temperature."""
    spread = scores.std() if len(scores) else 0.0
    return (scores - scores.max()) / (spread * temperature) if spread > 0 else np.zeros(len(scores))
