"""Weights beside a model, learnt on a holdout that it has not seen: requests as choices, and crossed halves of people.

Half of the people teach the weights by which the other half is judged, and the other way round, so that a figure never
comes from those it was learnt on. Which features the weights are of is left to ``trend_fit`` and ``prior``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from segue.data.histories import Histories
from segue.training.likelihood import Choices, log_likelihood, maximise

REQUESTS = 2_000
_TARGETS = 20  # of one person: the busiest do not decide for all
_PULL = 30.0
"""Choices' worth of pull towards the plain model. People of one holdout share its weeks, so that crossing halves of
them cannot tell what is only of these weeks: 30 was chosen on windows of MovieLens 100K, each by the one before."""
FLOATS = 20_000_000  # of scores, and of features, kept for the search
_SCORES = 4_000_000  # floats of scores alive at once


@dataclass(frozen=True)
class Held:
    """What the weights are learnt on.

    Attributes:
        known: the events that the model was trained with.
        contexts: (requests,) histories with the moment each is asked about.
        targets: (requests,) what came.
        people: (requests,) a number for each person, which decides the half.
        catalogue: number of items.
        exclude_seen: whether items of the context are never listed.
        longest: events of a history that the model reads.
        seed: chooses the requests where there are very many, and the items that stand for others.
    """

    known: Histories
    contexts: Histories
    targets: Histories
    people: np.ndarray
    catalogue: int
    exclude_seen: bool
    longest: int
    seed: int = 0

    def take(self, rows: np.ndarray) -> Held:
        """Some of the requests."""
        contexts, targets = self.contexts.take(rows), self.targets.take(rows)
        return replace(self, contexts=contexts, targets=targets, people=self.people[rows])


Scores = Callable[[Histories], np.ndarray]
"""Histories, none of them empty, to (rows, catalogue + 1) scores of the plain model."""


@dataclass(frozen=True)
class Rule:
    """A way to score: which parameters may move, and from where. See ``likelihood.Choices`` for their order."""

    start: np.ndarray
    free: np.ndarray

    @classmethod
    def all(cls, parameters: int) -> dict[str, Rule]:
        """``without``: the model alone; ``with``: the trend beside it; ``alone``: for those without a history."""
        model, counts = np.zeros(parameters), np.zeros(parameters)
        model[0], counts[2] = 1, 1
        scales = np.arange(parameters) < 2
        return {
            "without": cls(model, scales),
            "with": cls(model, np.ones(parameters, dtype=bool)),
            "alone": cls(counts, ~scales),
        }


@dataclass(frozen=True)
class Learnt:
    """Parameters learnt from all people, and for those of each half (False, True) from the other.

    ``log_likelihood`` is per choice, by the parameters of the other half.
    """

    theta: np.ndarray
    crossed: tuple[np.ndarray, np.ndarray]
    log_likelihood: float

    @classmethod
    def by(cls, rule: Rule, choices: Choices, people: np.ndarray, halves: np.ndarray) -> Learnt:
        """``people`` is a mask of those to learn from."""
        parts = (people & halves, people & ~halves)
        half, other = (maximise(choices, part, rule.start, rule.free, _PULL) for part in parts)
        value = log_likelihood(choices, half, parts[1])[0] + log_likelihood(choices, other, parts[0])[0]
        count = max(1, int(people[choices.targets[:, 0]].sum()))
        return cls(maximise(choices, people, rule.start, rule.free, _PULL), (half, other), float(value) / count)


Features = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(columns,) codes of items to the features and groups of ``Choices``."""


def halves_of(people: np.ndarray) -> np.ndarray:
    """(requests,) mask of those whose person is in one half."""
    return np.asarray((people.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63) == 1)


def choices_of(
    held: Held, traits: np.ndarray, scores: Scores, features: Features, room: int, rng: np.random.Generator
) -> Choices:
    """The requests as a likelihood sees them: over all items, or over a sample of ``room`` that stands for them."""
    requests, targets = len(held.contexts), held.targets
    place = np.arange(len(targets.items)) - np.repeat(targets.offsets[:-1], targets.lengths)
    chosen = np.stack([targets.rows(), targets.items], axis=1)[place < _TARGETS]
    barred = np.zeros((0, 2), dtype=np.int64)
    if held.exclude_seen:
        barred = np.unique(np.stack([held.contexts.rows(), held.contexts.items], axis=1), axis=0)
        width = held.catalogue + 1
        chosen = chosen[~np.isin(chosen @ [width, 1], barred @ [width, 1])]
    items, offsets = _columns(held, chosen[:, 1], max(room, 100), rng)
    column = np.full(held.catalogue + 1, -1)
    column[items] = np.arange(len(items))
    given = np.zeros((requests, len(items)), dtype=np.float32)
    for part, block in blocks(held, scores):
        given[part] = block[:, items]
    local = barred[column[barred[:, 1]] >= 0]
    return Choices(
        given,
        traits,
        *features(items),
        offsets,
        np.stack([local[:, 0], column[local[:, 1]]], axis=1),
        np.stack([chosen[:, 0], column[chosen[:, 1]]], axis=1),
    )


def _columns(held: Held, chosen: np.ndarray, room: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Items and the log of how many each stands for: the popular ones for themselves, a few for all the others.

    Where there is no room for all, half of it goes to the items of the newest events and of all time (by their share in
    either), half to a sample of the rest. What was chosen is there too, but stands for nothing.
    """
    if held.catalogue <= room:
        return np.arange(1, held.catalogue + 1), np.zeros(held.catalogue)
    times = held.known.timestamps
    recent = slice(None) if times is None else times >= np.quantile(times, 0.9)
    width = held.catalogue + 1
    ever, late = (np.bincount(items, minlength=width) for items in (held.known.items, held.known.items[recent]))
    order = 1 + np.argsort(-(ever[1:] / max(1, ever.sum()) + late[1:] / max(1, late.sum())), kind="stable")
    head, tail = order[: room // 2], order[room // 2 :]
    sample = rng.choice(tail, room - room // 2, replace=False)
    only = np.setdiff1d(chosen, np.concatenate([head, sample]))
    stands = [np.zeros(len(head)), np.full(len(sample), np.log(len(tail) / len(sample))), np.full(len(only), -np.inf)]
    return np.concatenate([head, sample, only]), np.concatenate(stands)


def blocks(held: Held, scores: Scores) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and their scores by the plain model, 0 for those without a history."""
    size = max(1, _SCORES // (held.catalogue + 1))
    for start in range(0, len(held.contexts), size):
        part = np.arange(start, min(start + size, len(held.contexts)))
        block = np.zeros((len(part), held.catalogue + 1), dtype=np.float32)
        warm = held.contexts.lengths[part] > 0
        if warm.any():
            block[warm] = scores(held.contexts.take(part[warm]))
        yield part, block
