"""A weighted sum of a few signals, learnt from yes and no, from lists, or from ratings.

The weights of signals that may only speak for an item are kept from 0 up, so that a useless signal is ignored and not
turned round.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize

_PENALTY = 1.0  # on each weight of a standardised signal: a prior of deviation 1, which a hundred answers outweigh


@dataclass(frozen=True)
class Blend:
    """``bias + sum(weights * signals)``, in the units of the signals.

    Attributes:
        weights: (signals,) float64.
        bias: a number.
    """

    weights: np.ndarray
    bias: float

    def __call__(self, signals: np.ndarray) -> np.ndarray:
        """(..., signals) to (...)."""
        return np.asarray(signals @ self.weights + self.bias)

    def document(self) -> dict[str, Any]:
        """For an artefact."""
        return {"weights": self.weights.tolist(), "bias": self.bias}

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Blend:
        """What :meth:`document` gave."""
        return cls(np.array(document["weights"], dtype=np.float64), float(document["bias"]))


def fit_yes_no(signals: np.ndarray, answers: np.ndarray, free: np.ndarray) -> Blend:
    """Logistic regression; the sum is the log-odds of yes.

    Args:
        signals: (rows, signals).
        answers: (rows,) 1 or 0.
        free: (signals,) whether a signal may speak against an item too.
    """
    scaled, scale, centre = _standardised(signals)
    sign = np.where(answers > 0, 1.0, -1.0)

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (scaled @ weights[:-1] + weights[-1])
        wrong = -sign / (1 + np.exp(np.clip(margin, -50, 50)))
        gradient = np.append(scaled.T @ wrong + _PENALTY * weights[:-1], wrong.sum())
        return float(np.logaddexp(0, -margin).sum() + _PENALTY * (weights[:-1] ** 2).sum() / 2), gradient

    found = _minimised(loss, free, bias=True)
    return _unscaled(found[:-1], found[-1], scale, centre)


def fit_lists(signals: np.ndarray, wanted: np.ndarray, free: np.ndarray) -> Blend:
    """Softmax regression over lists: the sum ranks the wanted item first (Plackett-Luce, its first choice).

    Args:
        signals: (lists, items, signals).
        wanted: (lists,) the place of the wanted item in each.
        free: as in :func:`fit_yes_no`.
    """
    flat, scale, _ = _standardised(signals.reshape(-1, signals.shape[-1]))
    scaled = flat.reshape(signals.shape)
    rows = np.arange(len(wanted))

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        logits = scaled @ weights
        logits -= logits.max(1, keepdims=True)
        shares = np.exp(logits)
        shares /= shares.sum(1, keepdims=True)
        shares_of_wanted = np.maximum(shares[rows, wanted], 1e-300)
        off = shares.copy()
        off[rows, wanted] -= 1
        gradient = np.einsum("li,lis->s", off, scaled) + _PENALTY * weights
        return float(-np.log(shares_of_wanted).sum() + _PENALTY * (weights**2).sum() / 2), gradient

    weights = _minimised(loss, free, bias=False) / scale
    return Blend(weights, 0.0)


def fit_ratings(signals: np.ndarray, answers: np.ndarray) -> Blend:
    """Ridge regression of ratings on signals."""
    scaled, scale, centre = _standardised(signals)
    mean = float(answers.mean()) if len(answers) else 0.0
    gram = scaled.T @ scaled + _PENALTY * np.eye(scaled.shape[1])
    weights = np.linalg.solve(gram, scaled.T @ (answers - mean))
    return _unscaled(weights, mean, scale, centre)


def _minimised(loss: Any, free: np.ndarray, bias: bool) -> np.ndarray:
    bounds: list[tuple[float | None, None]] = [(None if each else 0.0, None) for each in free]
    bounds += [(None, None)] if bias else []
    found = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x)


def _standardised(signals: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    signals = np.asarray(signals, dtype=np.float64)
    centre, scale = signals.mean(0), signals.std(0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    return (signals - centre) / scale, scale, centre


def _unscaled(weights: np.ndarray, bias: float, scale: np.ndarray, centre: np.ndarray) -> Blend:
    weights = weights / scale
    return Blend(weights, float(bias - centre @ weights))
