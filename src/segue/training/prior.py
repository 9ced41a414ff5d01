"""The prior of habits: what people went on to take after what a history ends with, beside the scores of the model.

    score(u, i) = a * model(u, i) + sum over k of w[k] * log(1 + said(u, i) / level[k])

``said`` is what habits say for an item, 0 for most; several levels let its temperature be learnt as a weight of each.
``a`` and ``w`` are learnt on a holdout that neither the model nor the habits have seen, as the trend's are, and used
where both ranking and likelihood gain on the half of the people they were not learnt from. How habits are counted is
left to ``patterns``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from segue.data.histories import Histories
from segue.ranking.metrics import Hits, ndcg
from segue.ranking.topk import top_k
from segue.training.held import FLOATS, REQUESTS, Held, Learnt, Rule, Scores, blocks, choices_of, halves_of

K = 10
_LEVELS = (0.5, 0.9, 0.99)  # quantiles of what habits say

Said = Callable[[Histories], sparse.csr_matrix]
"""Histories, none of them empty, to (rows, catalogue + 1) with what habits say for each item; 0 where they do not."""


@dataclass(frozen=True)
class PriorWeights:
    """What was learnt.

    Attributes:
        levels: (levels,) above 0, ascending.
        scale: of the model's scores.
        weights: (levels,) of the habits.
    """

    levels: np.ndarray
    scale: float
    weights: np.ndarray

    def add(self, scores: np.ndarray, said: sparse.csr_matrix) -> np.ndarray:
        """A model's (rows, catalogue + 1) scores with the habits in them; the array is overwritten."""
        scores *= np.float32(self.scale)
        louder = sparse.csr_matrix(
            (_columns(said.data, self.levels) @ self.weights, said.indices, said.indptr), said.shape
        )
        scores += louder.toarray().astype(np.float32)
        return scores

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"levels": self.levels.tolist(), "scale": self.scale, "weights": self.weights.tolist()}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PriorWeights:
        """From :meth:`document`."""
        return cls(np.array(document["levels"]), float(document["scale"]), np.array(document["weights"]))


def fit_prior(held: Held, scores: Scores, said: Said) -> tuple[PriorWeights | None, dict[str, Any]]:
    """Weights and a report; no weights where the habits say nothing or do not help.

    The report says how many ``users`` taught, the weights, whether they are ``used``, and, each from the half of the
    people it was not learnt from, NDCG@10 and the mean log likelihood of an event without and with the prior.
    """
    rng = np.random.default_rng(held.seed)
    rows = np.flatnonzero(held.contexts.lengths > 0)
    if len(rows) > REQUESTS:
        rows = rng.choice(rows, REQUESTS, replace=False)
    held = held.take(rows)
    told = said(held.contexts) if len(rows) else sparse.csr_matrix((0, held.catalogue + 1))
    if not told.nnz:
        return None, {"used": False, "because": "habits say nothing of those who were held out"}
    levels = np.maximum(np.quantile(told.data, _LEVELS), np.finfo(np.float32).tiny)

    def features(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return _columns(told[:, items].toarray(), levels), np.arange(len(rows))

    room = FLOATS // (len(rows) * (len(levels) + 1))
    choices = choices_of(held, np.zeros(len(rows)), scores, features, room, rng)
    if not len(choices.targets):
        return None, {"used": False, "because": "nobody chose anything new"}
    halves, everybody = halves_of(held.people), np.ones(len(rows), dtype=bool)
    start = np.eye(choices.parameters)[0]
    number = np.arange(choices.parameters)
    rules = {"without": Rule(start, number == 0), "with": Rule(start, number != 1)}
    learnt = {name: Learnt.by(rule, choices, everybody, halves) for name, rule in rules.items()}
    crossed = [PriorWeights(levels, max(theta[0], 0.0), theta[2:]) for theta in learnt["with"].crossed]
    figures = _ranked(held, scores, told, halves, crossed)
    likelihoods = {name: each.log_likelihood for name, each in learnt.items()}
    used = figures["with"] > figures["without"] and likelihoods["with"] > likelihoods["without"]
    theta = learnt["with"].theta
    found = PriorWeights(levels, max(float(theta[0]), 0.0), theta[2:])
    report = {"used": used, "users": len(rows), "events": len(choices.targets), **found.document()}
    return found if used else None, {**report, f"ndcg@{K}": figures, "log_likelihood": likelihoods}


def _columns(said: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """(..., levels)."""
    return np.log1p(said[..., None] / levels.astype(np.float32))


def _ranked(
    held: Held, scores: Scores, told: sparse.csr_matrix, halves: np.ndarray, crossed: list[PriorWeights]
) -> dict[str, float]:
    """Mean NDCG over the whole catalogue, by weights of the other half."""
    counts = np.bincount(held.known.items, minlength=held.catalogue + 1).astype(np.float32)
    count = min(K, held.catalogue)
    lists = {name: np.zeros((len(halves), K), dtype=np.int64) for name in ("without", "with")}
    for part, block in blocks(held, scores):
        louder = block.copy()
        for half, weights in zip((False, True), crossed, strict=True):
            its = halves[part] == half
            louder[its] = weights.add(louder[its], told[part[its]])
        seen = held.contexts.take(part)
        excluded = (seen.offsets, seen.items) if held.exclude_seen else (None, None)
        for name, each in (("without", block), ("with", louder)):
            lists[name][part, :count] = top_k(each, count, counts, *excluded)[0]
    return {name: float(ndcg(Hits.of(each, held.targets), K).mean()) for name, each in lists.items()}
