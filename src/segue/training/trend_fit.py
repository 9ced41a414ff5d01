"""Learning the trend's weights on a holdout that the model has not seen, and whether they are worth having.

Half of the people teach the weights by which the other half is ranked, and the other way round; the trend is used
where both their NDCG and their likelihood gain. The final weights are learnt from all of them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from segue.ranking.metrics import Hits, ndcg
from segue.ranking.topk import top_k
from segue.training.held import FLOATS, REQUESTS, Held, Learnt, Rule, Scores, blocks, choices_of, halves_of
from segue.training.trend import TrendFeatures, TrendWeights, half_lives_of

K = 10


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
    if len(rows) > REQUESTS:
        rows = rng.choice(rows, REQUESTS, replace=False)
    features = TrendFeatures(held.known, held.catalogue, half_lives)
    order = np.argsort(features.moments(held.contexts.at, len(held.contexts))[rows], kind="stable")
    held = held.take(rows[order])  # in time order, so that one sweep answers them all
    lengths = held.contexts.lengths
    usual = float(np.log1p(np.minimum(lengths, held.longest)).mean())
    weights = TrendWeights(half_lives, np.array([1.0, 0.0]), (usual, held.longest), None, None)
    traits = weights.traits(lengths)
    moments, groups = np.unique(features.moments(held.contexts.at, len(held.contexts)), return_inverse=True)
    room = FLOATS // max(len(held.contexts), len(moments) * (len(features.names) + len(half_lives)))
    choices = choices_of(held, traits, scores, lambda items: (features.at(moments, items), groups), room, rng)
    if not len(choices.targets):
        return None, {"used": False, "used_alone": False, "because": "nobody chose anything new"}
    halves = halves_of(held.people)
    warm = lengths > 0
    learnt = {
        name: Learnt.by(rule, choices, np.ones_like(warm) if name == "alone" else warm, halves)
        for name, rule in Rule.all(choices.parameters).items()
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


def _ranked(
    held: Held,
    features: TrendFeatures,
    traits: np.ndarray,
    halves: np.ndarray,
    learnt: dict[str, Learnt],
    scores: Scores,
) -> dict[str, np.ndarray]:
    """NDCG of each request over the whole catalogue, by weights of the other half; ``popular`` is of all time."""
    counts = np.bincount(held.known.items, minlength=held.catalogue + 1).astype(np.float32)
    names = ("with", "alone")
    weights = np.stack([theta[2:] for name in names for theta in learnt[name].crossed], axis=1)
    lists = {name: np.zeros((len(halves), K), dtype=np.int64) for name in ("without", "popular", *names)}
    moments = features.moments(held.contexts.at, len(halves))
    for part, block in blocks(held, scores):
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
