"""Weights of a scoring rule with few parameters, by the largest softmax likelihood of what people chose.

The score of an item is linear in the parameters, so the penalised likelihood has one maximum and Newton's method
finds it in a few steps. What the columns mean is left to ``training.trend``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_STEPS, _ENOUGH = 50, 1e-9
_FLAT = 1e-6  # least information of a column: one that never varies stays where it is


@dataclass(frozen=True)
class Choices:
    """Requests, the columns (items) each could choose from, and what was chosen.

    The score of column c for request r is ``(a + b * traits[r]) * given[r, c] + features[groups[r], c] @ w``; the
    parameters are ``(a, b, *w)``.

    Attributes:
        given: (requests, columns) scores of another model.
        traits: (requests,) what ``given`` may be scaled by.
        features: (groups, columns, features).
        groups: (requests,) the group whose features a request sees.
        offsets: (columns,) log of how many items a column stands for; minus infinity where it only may be a target.
        barred: (n, 2) pairs of request and column that cannot be chosen, sorted by request.
        targets: (n, 2) pairs of request and column that were chosen.
    """

    given: np.ndarray
    traits: np.ndarray
    features: np.ndarray
    groups: np.ndarray
    offsets: np.ndarray
    barred: np.ndarray
    targets: np.ndarray

    @property
    def parameters(self) -> int:
        """How many there are."""
        return 2 + int(self.features.shape[2])

    def of(self, requests: np.ndarray) -> np.ndarray:
        """Numbers of the requests marked in a mask that chose anything, by group."""
        chosen = np.bincount(self.targets[:, 0], minlength=len(self.traits)) > 0
        rows = np.flatnonzero(requests & chosen)
        return rows[np.argsort(self.groups[rows], kind="stable")]


def log_likelihood(choices: Choices, theta: np.ndarray, requests: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Sum over the choices of the requests marked, its gradient and its Hessian."""
    size = choices.parameters
    value, gradient, hessian = 0.0, np.zeros(size), np.zeros((size, size))
    rows = choices.of(requests)
    for part in np.split(rows, np.flatnonzero(np.diff(choices.groups[rows])) + 1) if len(rows) else []:
        features = choices.features[choices.groups[part[0]]].astype(np.float64)
        for block in np.array_split(part, -(-len(part) * len(features) // 4_000_000)):
            found = _block(choices, theta[:2], theta[2:], features, block)
            value, gradient, hessian = value + found[0], gradient + found[1], hessian + found[2]
    return value, gradient, hessian


def _block(
    choices: Choices, scale: np.ndarray, weights: np.ndarray, features: np.ndarray, rows: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """As :func:`log_likelihood` for requests of one group."""
    given, traits = choices.given[rows].astype(np.float64), np.stack([np.ones(len(rows)), choices.traits[rows]], 1)
    logits = (traits @ scale)[:, None] * given + features @ weights
    targets = _local(choices.targets, rows)
    chosen = np.bincount(targets[:, 0], minlength=len(rows)).astype(np.float64)
    place = (targets[:, 0], targets[:, 1])
    value = logits[place].sum()
    logits += choices.offsets
    barred = _local(choices.barred, rows)
    logits[barred[:, 0], barred[:, 1]] = -np.inf
    top = logits.max(1, keepdims=True)
    shares = np.exp(logits - top)
    mass = shares.sum(1, keepdims=True)
    shares /= mass
    value -= float(chosen @ (top + np.log(mass))[:, 0])

    weighted = shares * given
    mean = np.concatenate([traits * weighted.sum(1, keepdims=True), shares @ features], axis=1)
    seen = np.concatenate([traits[targets[:, 0]] * given[place][:, None], features[targets[:, 1]]], axis=1)
    gradient = seen.sum(0) - chosen @ mean
    second = np.zeros((mean.shape[1],) * 2)
    square = (weighted * given).sum(1) * chosen
    second[:2, :2] = (traits * square[:, None]).T @ traits
    second[:2, 2:] = (traits * chosen[:, None]).T @ (weighted @ features)
    second[2:, :2] = second[:2, 2:].T
    second[2:, 2:] = (features * (chosen @ shares)[:, None]).T @ features
    return value, gradient, (mean * chosen[:, None]).T @ mean - second


def maximise(choices: Choices, requests: np.ndarray, start: np.ndarray, free: np.ndarray, pull: float) -> np.ndarray:
    """The parameters of the largest likelihood, pulled towards ``start``.

    A parameter is pulled as if ``pull`` more choices had been made by the rule at ``start`` (in units of the
    information that a choice carries there), so that it does not matter how a column is scaled.

    Args:
        requests: (requests,) mask of those to learn from.
        start: (parameters,) where the pull goes to.
        free: (parameters,) mask of those that may move.
    """
    theta = start.astype(np.float64)

    count = max(1, int(requests[choices.targets[:, 0]].sum()))
    stiffness = pull * np.maximum(-np.diag(log_likelihood(choices, theta, requests)[2]) / count, _FLAT)

    def objective(at: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        value, gradient, hessian = log_likelihood(choices, at, requests)
        pulled = stiffness * (at - start)
        return value - pulled @ (at - start) / 2, gradient - pulled, hessian - np.diag(stiffness)

    value, gradient, hessian = objective(theta)
    for _ in range(_STEPS):
        step = np.zeros_like(theta)
        step[free] = -np.linalg.solve(hessian[np.ix_(free, free)], gradient[free])
        promised = float(gradient @ step)
        if promised <= _ENOUGH * (1 + abs(value)):
            break
        length = 1.0
        while length > 1e-6:
            tried = objective(theta + length * step)
            if tried[0] >= value + 1e-4 * length * promised:
                break
            length /= 2
        else:
            break
        theta = theta + length * step
        value, gradient, hessian = tried
    return theta


def _local(pairs: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The pairs of some requests, numbered by their place among them."""
    starts = np.searchsorted(pairs[:, 0], rows)
    counts = np.searchsorted(pairs[:, 0], rows, side="right") - starts
    index = np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts)
    return np.stack([np.repeat(np.arange(len(rows)), counts), pairs[index, 1]], axis=1)
