"""Learning on from new events without forgetting the old ones: replay, and distillation or EWC beside it.

Windows that hold new events are trained on together with those of some people's earlier ones. Besides, the model before
(Li and Hoiem, "Learning without forgetting", 2016) teaches by its scores, or its weights hold those that mattered
(``training.anchor``). Which events are new is decided by ``recommenders.updating``.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from pydantic import Field

from segue.config import Config, ReadWhere
from segue.data.batches import TrainingWindows
from segue.data.histories import Histories
from segue.nn.sequence import SequenceModel
from segue.training.anchor import Anchor
from segue.training.build import LogShape, readable
from segue.training.distillation import Distillation, DistillationConfig
from segue.training.fit import RunOptions, TrainingData, fit
from segue.training.negatives import NegativeSampler
from segue.training.plan import Plan
from segue.training.task import NextItemTask

_REMEMBERED = 20_000  # earlier events, at most, that the importance of weights is read off


class UpdateConfig(Config):
    """How a trained model goes on learning."""

    read_where = (
        ReadWhere(
            ("alpha", "temperature", "candidates"),
            "forgetting is distil",
            lambda config: config.forgetting == "distil",
            on=("forgetting",),
        ),
        ReadWhere(("strength",), "forgetting is ewc", lambda config: config.forgetting == "ewc", on=("forgetting",)),
    )
    forgetting: Literal["distil", "ewc", "none"] = "distil"
    """Against forgetting, besides replay: the model before teaches (distil), its weights are held where they mattered
    (ewc), or nothing."""
    replay: float = Field(1.0, ge=0)
    """Earlier events learnt from again, for each new one: whole histories of people drawn by chance."""
    epochs: int = Field(5, ge=1)
    """Passes over both."""
    learning_rate: float = Field(1e-3, gt=0)
    """Half of what a training begins with."""
    alpha: float = Field(0.5, gt=0, lt=1)
    """Share of the loss that the model before makes (distil)."""
    temperature: float = Field(2.0, gt=0)
    """Both distributions are flattened by it (distil)."""
    candidates: int = Field(50, ge=1)
    """Best items of the model before that it tells about (distil)."""
    strength: float = Field(1.0, gt=0)
    """Of the pull; at 1 earlier events weigh as much as their number says (ewc)."""
    seed: int = Field(0, ge=0)
    """Chooses whose events are replayed; batches and dropout follow from it too."""


def replayed(rows: np.ndarray, new: np.ndarray, share: float, seed: int) -> np.ndarray:
    """(events,) mask of earlier events to learn from again.

    Args:
        rows: (events,) whose event it is.
        new: (events,) mask of the new ones.
        share: events wanted for each new one.
        seed: chooses the people; the last of them may bring a few events more.
    """
    wanted = share * int(new.sum())
    count = np.bincount(rows[~new], minlength=int(rows.max(initial=0)) + 1)
    people = np.random.default_rng(seed).permutation(np.flatnonzero(count))
    before = np.cumsum(count[people]) - count[people]
    chosen = people[before < wanted]
    return np.asarray(np.isin(rows, chosen) & ~new)


def learn_on(
    model: SequenceModel,
    plan: Plan,
    log: LogShape,
    histories: Histories,
    new: np.ndarray,
    counted: np.ndarray | None,
    config: UpdateConfig,
    run: RunOptions,
    time_zone: str = "UTC",
) -> SequenceModel:
    """The model after some epochs on new events and replayed ones.

    Args:
        model: trained, and grown to the catalogue of ``log``; it stays as it is, and a language model that was tuned
            with it stays what it is too.
        histories: all events, the new ones among them.
        new: (events,) mask.
        counted: (events,) what an event counts for as a target; None where all count alike.

    Raises:
        TrainingDiverged: the loss is not a number.
    """
    plan = plan.untuned.model_copy(
        update={
            "epochs": config.epochs,
            "learning_rate": config.learning_rate,
            "seed": plan.seed + config.seed,
            "schedule": "constant",
            "interests": 0,
            "warmup_steps": min(plan.warmup_steps, 20),
        }
    )
    counts = np.bincount(histories.items, minlength=log.catalogue + 1)
    again = replayed(histories.rows(), new, config.replay, config.seed)
    weights = np.ones(len(new), dtype=np.float32) if counted is None else counted.astype(np.float32)
    known = counts > 0
    # Where an item has nothing but its id, new ones learn theirs from here on, known or not, as in a training.
    speaks = log.features is not None or log.text is not None
    start = dict(model.state_dict())
    start["tower.known"] = torch.from_numpy(known if speaks else np.ones_like(known))
    distillation = anchor = None
    if config.forgetting == "distil":
        told = DistillationConfig(alpha=config.alpha, temperature=config.temperature, candidates=config.candidates)
        distillation = Distillation.of([(model, plan, 1.0)], told)
    elif config.forgetting == "ewc":
        anchor = _anchor(model, plan, histories, np.where(new, 0, weights), counts, config, time_zone)
    data = TrainingData(
        histories,
        counts,
        replace(log, known=known),
        time_zone,
        distillation=distillation,
        weights=np.where(new | again, weights, 0),
        start=start,
        anchor=anchor,
    )
    return fit(plan, data, None, run)[0]


def _anchor(
    model: SequenceModel,
    plan: Plan,
    histories: Histories,
    weights: np.ndarray,
    counts: np.ndarray,
    config: UpdateConfig,
    time_zone: str,
) -> Anchor:
    """Held where earlier events (those with a weight) mattered, as strongly as their number beside the new ones."""
    windows = TrainingWindows(readable(histories, plan), plan.max_length, plan.batch_tokens, time_zone, weights)
    sampler = NegativeSampler(counts, plan.negatives, plan.popular_negatives, plan.negatives_from, counts > 0)
    model = copy.deepcopy(model).requires_grad_(True)  # that of a finished training is an average, which learns nothing
    task = NextItemTask(model, windows, plan, sampler)
    batches = list(windows.epoch(config.seed, 0))
    enough = max(1, round(len(batches) * min(1.0, _REMEMBERED / max(windows.targets, 1))))
    ratio = int((weights > 0).sum()) / max(1, int((weights == 0).sum()))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        return Anchor.of(model, task.next_item_loss, batches[:enough], config.strength * ratio)
