"""What online mode has learnt of one model, and how one batch of examples changes it: pure functions of arrays.

An item's bias b is counted in spreads of the model's scores and moves by AdaGrad (Duchi et al., 2011) on the logistic
loss of ``slope * (z + b) + intercept``, where z is the standardised score; slope and intercepts make a probability of a
score and are learnt beside it, for the frozen model too, so that the two are compared fairly. A head (``head``) moves
the score of an item by the history, on the same loss. Where examples come from
is left to ``feedback``; when a step is made, and for which model, to ``online``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from pydantic import Field

from segue.config import Config
from segue.evaluation.significance import paired_test
from segue.serving.learning.head import Head

LISTED, TAKEN = 0, 1  # kinds of example: of a list that was served, of an event without one
_TELL = 0.05  # step of slope and intercepts, which all examples share
_TOP = 10
_STEEPEST, _FLATTEST = 10.0, 0.05


class StepConfig(Config):
    """How far online mode may go; all numbers of events, none of seconds."""

    rate: float = Field(0.1, gt=0, le=1)
    """Step of AdaGrad, in spreads of the model's scores."""
    caution: float = Field(0.1, gt=0)
    """Where the sums of squared gradients begin: the higher, the smaller the first steps on an item."""
    limit: float = Field(2.0, gt=0)
    """The largest bias of an item, in spreads."""
    norm: float = Field(0.5, gt=0)
    """The largest root mean square of all biases, in spreads."""
    half_life: float = Field(20_000, gt=0)
    """After so many events half of a bias is gone, and half of the squares that slow its steps."""
    rank: int = Field(0, ge=0, le=64)
    """Of the correction of the head, where the model has item vectors; 0: biases alone."""
    head_rate: float = Field(0.01, gt=0, le=1)
    """Step of AdaGrad for the head."""
    head_norm: float = Field(1.0, gt=0)
    """The largest Frobenius norm of its A."""
    tested: int = Field(1_000, ge=100)
    """So many tested events make one comparison with the frozen model."""
    p_value: float = Field(0.01, gt=0, lt=0.5)
    """Below it a comparison that is lost switches online mode off."""


@dataclass(frozen=True)
class Examples:
    """What one batch of events teaches.

    Attributes:
        codes: (m,) int64 item codes.
        scores: (m,) float32 standardised scores of the frozen model.
        labels: (m,) float32, 1 where the item was taken.
        weights: (m,) float32.
        kinds: (m,) int64, ``LISTED`` or ``TAKEN``.
        groups: (m,) int64 from 0, the event or list that each belongs to; none is left out.
        rows: (m,) int64, the row of ``inputs`` that each was asked with.
        inputs: (asked, d) float32 of the head; d is 0 without one.
        places: (asked, 2) float32: the place, from 0, that the biased and the frozen model gave to the item taken; NaN
            where nothing was, or where it may not be listed.
    """

    codes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray
    groups: np.ndarray
    rows: np.ndarray
    inputs: np.ndarray
    places: np.ndarray


@dataclass(frozen=True)
class Weights:
    """All that is learnt and counted; replaced by each batch, never changed.

    Attributes:
        bias: (catalogue + 1,) float32, in spreads of the model's scores.
        squares: (catalogue + 1,) float32, AdaGrad's sums.
        head: what moves scores by the history.
        telling: (2, 3) float32: slope, intercept of listed and of taken examples; row 0 biased, row 1 frozen.
        losses: (at most ``tested``, 2) float32 of this comparison, biased and frozen.
        hits: the same for hits.
        totals: (6,) float64: groups, both losses, events with a hit to be had, both hits.
        off: whether a comparison was lost.
    """

    bias: np.ndarray
    squares: np.ndarray
    head: Head
    telling: np.ndarray
    losses: np.ndarray
    hits: np.ndarray
    totals: np.ndarray
    off: bool = False

    @classmethod
    def fresh(cls, items: int, width: int, config: StepConfig) -> Weights:
        """Nothing learnt of a catalogue of ``items`` with vectors of ``width``."""
        bias = np.zeros(items + 1, dtype=np.float32)
        telling = np.tile(np.array([1, 0, 0], dtype=np.float32), (2, 1))
        none = np.zeros((0, 2), dtype=np.float32)
        head = Head.fresh(width, config.rank if width else 0, config.caution)
        return cls(bias, np.full_like(bias, config.caution), head, telling, none, none, np.zeros(6))


def learn(weights: Weights, examples: Examples, events: int, config: StepConfig, vectors: np.ndarray) -> Weights:
    """Test, then train (progressive validation; Blum et al., 1999).

    Args:
        weights: so far.
        examples: of one batch.
        events: how many it had; they fade what was learnt before.
        config: settings.
        vectors: (catalogue + 1, d) of the items, for the head.
    """
    weights = _fade(weights, events, config)
    if not len(examples.codes):
        return weights
    codes, kinds, head = examples.codes, examples.kinds, weights.head
    moved = weights.bias[codes]
    if head.learns:
        moved = moved + (vectors[codes] * head.states(examples.inputs)[examples.rows]).sum(1)
    z = np.stack([examples.scores + moved, examples.scores])
    logits = weights.telling[:, :1] * z + weights.telling[:, 1:][:, kinds]
    weights = _tested(weights, _losses(logits, examples), examples.places, config)
    if weights.off:
        return weights
    half = np.float32(0.5)
    chances = half + half * np.tanh(half * logits)  # the logistic function, without overflow
    slopes = (chances - examples.labels) * examples.weights
    pulls = slopes[0] * weights.telling[0, 0]
    pull = np.bincount(codes, pulls, minlength=len(weights.bias)).astype(np.float32)
    squares = weights.squares + pull * pull
    bias = _bounded(weights.bias - np.float32(config.rate) * pull / np.sqrt(squares), config)
    if head.learns:
        of_states = np.zeros_like(examples.inputs)
        np.add.at(of_states, examples.rows, vectors[codes] * pulls[:, None])
        head = head.stepped(examples.inputs, of_states, config.head_rate, config.head_norm)
    telling = _told(weights.telling, slopes, z, kinds)
    return replace(weights, bias=bias, squares=squares, head=head, telling=telling)


def _fade(weights: Weights, events: int, config: StepConfig) -> Weights:
    kept, start = np.float32(0.5 ** (events / config.half_life)), np.float32(config.caution)
    squares = start + (weights.squares - start) * kept
    return replace(weights, bias=weights.bias * kept, squares=squares, head=weights.head.faded(kept, config.caution))


def _bounded(bias: np.ndarray, config: StepConfig) -> np.ndarray:
    bias = np.clip(bias, -np.float32(config.limit), np.float32(config.limit))
    bias[0] = 0
    norm = np.sqrt(np.mean(bias[1:] * bias[1:])) if len(bias) > 1 else np.float32(0)
    return bias * (np.float32(config.norm) / norm) if norm > config.norm else bias


def _told(telling: np.ndarray, slopes: np.ndarray, z: np.ndarray, kinds: np.ndarray) -> np.ndarray:
    """Slope and intercepts after a plain step on the mean gradient."""
    count = np.float32(len(kinds))
    listed = (kinds == LISTED).astype(np.float32)
    pulls = np.stack([(slopes * z).sum(1), (slopes * listed).sum(1), (slopes * (1 - listed)).sum(1)], 1)
    telling = telling - np.float32(_TELL) * pulls / count
    telling[:, 0] = np.clip(telling[:, 0], np.float32(_FLATTEST), np.float32(_STEEPEST))
    return telling


def _losses(logits: np.ndarray, examples: Examples) -> np.ndarray:
    """(groups, 2) mean logistic loss of each event or list, biased and frozen."""
    signed = np.where(examples.labels > 0, logits, -logits)
    loss = np.logaddexp(np.float32(0), -signed) * examples.weights
    weight = np.bincount(examples.groups, examples.weights)
    sums = [np.bincount(examples.groups, row) / np.maximum(weight, 1e-9) for row in loss]
    return np.stack(sums, 1).astype(np.float32)


def _tested(weights: Weights, losses: np.ndarray, places: np.ndarray, config: StepConfig) -> Weights:
    """Count a test; each time ``tested`` losses are together they are compared, and a new comparison begins."""
    hits = (places[np.isfinite(places[:, 0])] < _TOP).astype(np.float32)
    totals = weights.totals + np.concatenate([[len(losses)], losses.sum(0), [len(hits)], hits.sum(0)])
    losses, hits = np.concatenate([weights.losses, losses]), np.concatenate([weights.hits, hits])
    off = weights.off
    if len(losses) >= config.tested:
        off = off or _lost(losses[:, 0], losses[:, 1], config) or _lost(-hits[:, 0], -hits[:, 1], config)
        losses, hits = losses[:0], hits[:0]
    return replace(weights, losses=losses, hits=hits, totals=totals, off=off)


def _lost(biased: np.ndarray, frozen: np.ndarray, config: StepConfig) -> bool:
    """Whether the biased model is worse by the paired test; lower is better."""
    found = paired_test(biased, frozen)
    return found.difference > 0 and found.p_value < config.p_value
