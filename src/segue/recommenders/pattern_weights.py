"""How loudly habits speak: the weights of ``PatternRecommender``, and how they are chosen on held-out events.

Candidates are tried one weight at a time, round by round, and the one that ranks the held-out events best stays. Events
of the test have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import sparse

from segue.data.histories import Histories
from segue.data.jit import kernel
from segue.patterns.habits import Habits, Matches, count_habits, match

CANDIDATES: dict[str, tuple[float, ...]] = {
    "shrink": (2.0, 10.0, 30.0, 100.0, 300.0),
    "decay": (0.3, 0.5, 0.7, 0.8, 0.9),
    "backward": (0.0, 0.1, 0.3, 1.0),
    "damping": (0.0, 0.15, 0.3, 0.5),
    "longer": (0.0, 0.1, 0.3, 1.0, 3.0),
    "popularity": (1e-6, 0.01, 0.1),
}
SPREADS = (1.0, 0.5)
_ROUNDS = 3
_LEAST = 1e-6  # what popularity weighs at least, for items that no habit speaks for


@dataclass(frozen=True)
class Weights:
    """One number each; see ``PatternConfig`` for what they mean."""

    spread: float = 1.0
    shrink: float = 10.0
    decay: float = 0.7
    backward: float = 0.3
    damping: float = 0.0
    longer: float = 0.3
    popularity: float = _LEAST

    def document(self) -> dict[str, float]:
        """For an artefact and a report."""
        return asdict(self)


STARTS = (Weights(), Weights(damping=0.3, backward=1.0))
"""Of a log of rare items, where what a context was followed by decides, and of one where all take much the same."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """Habits forward and backward of one log, and how they are read.

    Attributes:
        forward, backward: as ``patterns.habits.count_habits`` counts them.
        shares: (size,) float64 of the events of the log.
        last, window: as in ``PatternConfig``.
    """

    forward: Habits
    backward: Habits
    shares: np.ndarray
    last: int
    window: int

    @classmethod
    def counted(cls, histories: Histories, counts: np.ndarray, spread: float, timed: bool, settings: Any) -> Evidence:
        """Count the habits of a log; ``settings`` are those of ``PatternConfig``."""
        options: dict[str, Any] = {name: getattr(settings, name) for name in ("window", "followers", "min_support")}
        options |= {"spread": spread, "timed": timed}
        forward = count_habits(histories, len(counts), max_length=settings.max_length, **options)
        backward = count_habits(histories, len(counts), backward=True, **options)
        return cls(forward, backward, counts / max(counts.sum(), 1), settings.last, settings.window)

    def matches(self, histories: Histories, spread: float) -> Matches:
        """The contexts of the newest events of each history."""
        return match(self.forward, histories, self.last, self.window, spread)

    def values(self, weights: Weights) -> sparse.csr_matrix:
        """(contexts, size) what each context says for each item, where it speaks at full voice."""
        forward = confidence(self.forward, weights)
        forward *= np.where(self.forward.contexts() < self.forward.size, 1, weights.longer).astype(np.float32)
        told = self.forward.matrix(forward)
        if weights.backward:
            # Single items are the first contexts of both.
            values = np.float32(weights.backward) * confidence(self.backward, weights)
            offsets = np.append(self.backward.offsets, np.full(len(self.forward.keys), len(values)))
            before = sparse.csr_matrix((values, self.backward.items, offsets), shape=told.shape)
            told = sparse.csr_matrix(told + before)
        return told


def confidence(habits: Habits, weights: Weights) -> np.ndarray:
    """(habits,) ``near users / (users of the context + shrink)``, damped for items that all take."""
    context = (habits.of + np.float32(weights.shrink))[habits.contexts()]
    item = np.maximum(habits.of[: habits.size], 1)[habits.items]
    damped = habits.weights / (context ** (1 - weights.damping) * item**weights.damping)
    return np.asarray(damped, dtype=np.float32)


def chosen(
    found: Mapping[float, Evidence],
    given: Mapping[str, float],
    contexts: Histories,
    targets: np.ndarray,
    seen: Histories | None,
) -> tuple[Weights, float]:
    """The weights that rank what was held out best by NDCG@10, and that figure.

    Args:
        found: the evidence of the training events, for each ``spread`` that is tried.
        given: weights that stand already.
        contexts: what was known of each user.
        targets: (users,) the code that came next.
        seen: items that are left out; None: none.
    """
    tried: dict[Weights, float] = {}

    def measured(weights: Weights) -> float:
        if weights not in tried:
            matrix = told(replace(weights, decay=1.0, popularity=1.0))
            voices = matches[weights.spread].matrix(weights.decay, matrix.shape[0])
            extra = (weights.popularity * shares).astype(np.float32)
            tried[weights] = _ndcg(voices, matrix, extra, targets, seen)
        return tried[weights]

    @lru_cache(maxsize=2)
    def told(weights: Weights) -> sparse.csr_matrix:
        return found[weights.spread].values(weights)

    def climbed(best: Weights) -> Weights:
        for _ in range(_ROUNDS):
            before = best
            for name in ("spread", *CANDIDATES):
                values = tuple(found) if name == "spread" else CANDIDATES[name]
                for value in values if name not in given else ():
                    other = replace(best, **{name: value})
                    if measured(other) > measured(best):
                        best = other
            if best == before:
                break
        return best

    shares = next(iter(found.values())).shares
    matches = {spread: each.matches(contexts, spread) for spread, each in found.items()}
    ends = [climbed(replace(start, **{"spread": next(iter(found)), **given})) for start in STARTS]
    best = max(ends, key=measured)
    return best, measured(best)


def _ndcg(
    voices: sparse.csr_matrix, told: sparse.csr_matrix, extra: np.ndarray, targets: np.ndarray, seen: Histories | None
) -> float:
    """NDCG@10 of one target for each row, among the items that any habit speaks for."""
    nothing = np.zeros(0, dtype=np.int64)
    offsets = np.zeros(len(targets) + 1, dtype=np.int64) if seen is None else seen.offsets
    items = nothing if seen is None else seen.items
    parts = (voices.indptr, voices.indices, voices.data, told.indptr, told.indices, told.data, extra)
    ahead = _places(*parts, targets, offsets, items)
    return float(np.where((ahead >= 0) & (ahead < 10), 1 / np.log2(np.maximum(ahead, 0) + 2), 0).mean())


@kernel()
def _places(rows, contexts, voices, starts, items, values, extra, targets, seen_offsets, seen):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """How many items rank above each target in ``voices @ values + extra``; -1 where nothing speaks for it."""
    size = len(extra)
    scores = np.zeros(size, dtype=np.float32)
    met = np.zeros(size, dtype=np.int64)
    touched = np.empty(size, dtype=np.int64)
    places = np.full(len(targets), -1, dtype=np.int64)
    for row in range(len(targets)):
        count = 0
        for place in range(rows[row], rows[row + 1]):
            for entry in range(starts[contexts[place]], starts[contexts[place] + 1]):
                item = items[entry]
                if met[item] != row + 1:
                    met[item] = row + 1
                    scores[item] = extra[item]
                    touched[count] = item
                    count += 1
                scores[item] += voices[place] * values[entry]
        target = targets[row]
        if met[target] != row + 1:
            continue
        for place in range(seen_offsets[row], seen_offsets[row + 1]):
            scores[seen[place]] = -np.inf
        above = 0
        for place in range(count):
            above += scores[touched[place]] > scores[target]
        places[row] = above if scores[target] > -np.inf else -1
    return places
