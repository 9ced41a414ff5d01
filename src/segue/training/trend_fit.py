"""Learning the trend's weights on a holdout that the model has not seen, and whether they are worth having.

Half of the people teach the weights by which the other half is ranked, and the other way round; the trend is used
where both their NDCG and their likelihood gain. The final weights are learnt from all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from segue.data.histories import Histories
from segue.ranking.metrics import Hits, ndcg
from segue.ranking.topk import top_k
from segue.training.likelihood import Choices, log_likelihood, maximise
from segue.training.trend import TrendFeatures, TrendWeights, half_lives_of

K = 10
_REQUESTS = 2_000
_TARGETS = 20  # of one person: the busiest do not decide for all
_PULL = 30.0
"""Choices' worth of pull towards the plain model. People of one holdout share its weeks, so that crossing halves of
them cannot tell what is only of these weeks: 30 was chosen on windows of MovieLens 100K, each by the one before."""
_FLOATS = 20_000_000  # of scores, and of features, kept for the search
_SCORES = 4_000_000  # floats of scores alive at once


@dataclass(frozen=True)
class Held:
    """What the weights are learnt on.

    Attributes:
        known: the events that the model was trained with, with timestamps.
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
class _Rule:
    """A way to score: which parameters may move, and from where. See ``likelihood.Choices`` for their order."""

    start: np.ndarray
    free: np.ndarray

    @classmethod
    def all(cls, parameters: int) -> dict[str, _Rule]:
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
class _Learnt:
    """Parameters learnt from all people, and for those of each half (False, True) from the other.

    ``log_likelihood`` is per choice, by the parameters of the other half.
    """

    theta: np.ndarray
    crossed: tuple[np.ndarray, np.ndarray]
    log_likelihood: float

    @classmethod
    def by(cls, rule: _Rule, choices: Choices, people: np.ndarray, halves: np.ndarray) -> _Learnt:
        """``people`` is a mask of those to learn from."""
        parts = (people & halves, people & ~halves)
        half, other = (maximise(choices, part, rule.start, rule.free, _PULL) for part in parts)
        value = log_likelihood(choices, half, parts[1])[0] + log_likelihood(choices, other, parts[0])[0]
        count = max(1, int(people[choices.targets[:, 0]].sum()))
        return cls(maximise(choices, people, rule.start, rule.free, _PULL), (half, other), float(value) / count)


def fit_trend(held: Held, scores: Scores) -> tuple[TrendWeights | None, dict[str, Any]]:
    """Weights and a report; no weights where the log has no span in time or nobody chose anything new.

    The report says how many ``users`` taught, the weights by name, whether they are ``used``, and, each from the half
    of the people it was not learnt from, NDCG@10 and the mean log likelihood of an event without and with the trend.
    """
    assert held.known.timestamps is not None
    half_lives = half_lives_of(held.known.timestamps)
    if not len(half_lives):
        return None, {"used": False, "used_alone": False, "because": "all events are of one moment"}
    rng = np.random.default_rng(held.seed)
    rows = np.arange(len(held.contexts))
    if len(rows) > _REQUESTS:
        rows = rng.choice(rows, _REQUESTS, replace=False)
    features = TrendFeatures(held.known, held.catalogue, half_lives)
    order = np.argsort(features.moments(held.contexts.at, len(held.contexts))[rows], kind="stable")
    held = held.take(rows[order])  # in time order, so that one sweep answers them all
    lengths = held.contexts.lengths
    usual = float(np.log1p(np.minimum(lengths, held.longest)).mean())
    weights = TrendWeights(half_lives, np.array([1.0, 0.0]), (usual, held.longest), None, None)
    traits = weights.traits(lengths)
    choices = _choices(held, features, traits, scores, rng)
    if not len(choices.targets):
        return None, {"used": False, "used_alone": False, "because": "nobody chose anything new"}
    halves = (held.people.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63) == 1
    warm = lengths > 0
    learnt = {
        name: _Learnt.by(rule, choices, np.ones_like(warm) if name == "alone" else warm, halves)
        for name, rule in _Rule.all(choices.parameters).items()
    }
    gains = _ranked(held, features, traits, halves, learnt, scores)
    figures = {name: float(gain[warm].mean()) if warm.any() else 0.0 for name, gain in gains.items()}
    likelihoods = {name: each.log_likelihood for name, each in learnt.items()}
    used = figures["with"] >= figures["without"] and likelihoods["with"] > likelihoods["without"]
    used_alone = float(gains["alone"].mean()) >= float(gains["popular"].mean())
    beside, alone = learnt["with"].theta, learnt["alone"].theta
    report = {
        "used": used,
        "used_alone": used_alone,
        "users": int(warm.sum()),
        "events": len(choices.targets),
        "half_lives_days": [each / 86_400e6 for each in half_lives.tolist()],
        "scale": beside[:2].tolist(),
        "weights": dict(zip(features.names, beside[2:].tolist(), strict=True)),
        "weights_alone": dict(zip(features.names, alone[2:].tolist(), strict=True)),
        f"ndcg@{K}": figures,
        "log_likelihood": likelihoods,
    }
    found = replace(
        weights, scale=beside[:2], beside=beside[2:] if used else None, alone=alone[2:] if used_alone else None
    )
    return found, report


def _choices(
    held: Held, features: TrendFeatures, traits: np.ndarray, scores: Scores, rng: np.random.Generator
) -> Choices:
    """The requests as a likelihood sees them: over all items, or over a sample that stands for them."""
    requests, targets = len(held.contexts), held.targets
    place = np.arange(len(targets.items)) - np.repeat(targets.offsets[:-1], targets.lengths)
    chosen = np.stack([targets.rows(), targets.items], axis=1)[place < _TARGETS]
    barred = np.zeros((0, 2), dtype=np.int64)
    if held.exclude_seen:
        barred = np.unique(np.stack([held.contexts.rows(), held.contexts.items], axis=1), axis=0)
        width = held.catalogue + 1
        chosen = chosen[~np.isin(chosen @ [width, 1], barred @ [width, 1])]
    moments, groups = np.unique(features.moments(held.contexts.at, requests), return_inverse=True)
    room = _FLOATS // max(requests, len(moments) * (len(features.names) + len(features.half_lives)))
    items, offsets = _columns(held, chosen[:, 1], max(room, 100), rng)
    column = np.full(held.catalogue + 1, -1)
    column[items] = np.arange(len(items))
    given = np.zeros((requests, len(items)), dtype=np.float32)
    for part, block in _blocks(held, scores):
        given[part] = block[:, items]
    local = barred[column[barred[:, 1]] >= 0]
    return Choices(
        given,
        traits,
        features.at(moments, items),
        groups,
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
    assert held.known.timestamps is not None
    recent = held.known.timestamps >= np.quantile(held.known.timestamps, 0.9)
    width = held.catalogue + 1
    ever, late = (np.bincount(items, minlength=width) for items in (held.known.items, held.known.items[recent]))
    order = 1 + np.argsort(-(ever[1:] / max(1, ever.sum()) + late[1:] / max(1, late.sum())), kind="stable")
    head, tail = order[: room // 2], order[room // 2 :]
    sample = rng.choice(tail, room - room // 2, replace=False)
    only = np.setdiff1d(chosen, np.concatenate([head, sample]))
    stands = [np.zeros(len(head)), np.full(len(sample), np.log(len(tail) / len(sample))), np.full(len(only), -np.inf)]
    return np.concatenate([head, sample, only]), np.concatenate(stands)


def _blocks(held: Held, scores: Scores) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows and their scores by the plain model, 0 for those without a history."""
    size = max(1, _SCORES // (held.catalogue + 1))
    for start in range(0, len(held.contexts), size):
        part = np.arange(start, min(start + size, len(held.contexts)))
        block = np.zeros((len(part), held.catalogue + 1), dtype=np.float32)
        warm = held.contexts.lengths[part] > 0
        if warm.any():
            block[warm] = scores(held.contexts.take(part[warm]))
        yield part, block


def _ranked(
    held: Held,
    features: TrendFeatures,
    traits: np.ndarray,
    halves: np.ndarray,
    learnt: dict[str, _Learnt],
    scores: Scores,
) -> dict[str, np.ndarray]:
    """NDCG of each request over the whole catalogue, by weights of the other half; ``popular`` is of all time."""
    counts = np.bincount(held.known.items, minlength=held.catalogue + 1).astype(np.float32)
    names = ("with", "alone")
    weights = np.stack([theta[2:] for name in names for theta in learnt[name].crossed], axis=1)
    lists = {name: np.zeros((len(halves), K), dtype=np.int64) for name in ("without", "popular", *names)}
    moments = features.moments(held.contexts.at, len(halves))
    for part, block in _blocks(held, scores):
        found, group = np.unique(moments[part], return_inverse=True)
        values = features.weighed(found, weights)
        half = halves[part].astype(int)
        scale = np.stack([theta[:2] for theta in learnt["with"].crossed])[half]
        scaled = np.maximum(scale[:, 0] + scale[:, 1] * traits[part], 0)[:, None].astype(np.float32) * block
        ranked = {
            "without": block,
            "popular": np.tile(counts, (len(part), 1)),
            "with": scaled + values[group, :, half],
            "alone": values[group, :, 2 + half],
        }
        seen = held.contexts.take(part)
        excluded = (seen.offsets, seen.items) if held.exclude_seen else (None, None)
        for name, each in ranked.items():
            lists[name][part, : min(K, held.catalogue)] = top_k(each, min(K, held.catalogue), counts, *excluded)[0]
    return {name: ndcg(Hits.of(each, held.targets), K) for name, each in lists.items()}
