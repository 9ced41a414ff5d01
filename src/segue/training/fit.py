"""Fitting a sequence model: a search for the number of epochs with early stopping, then a refit on everything.

Reads top to bottom: ``fit`` decides the phases, ``_run`` is one Lightning run. With a checkpoint directory both phases
survive a kill and continue to the very same weights.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import EarlyStopping

from segue import artefacts
from segue.data.batches import TrainingWindows
from segue.data.histories import Histories
from segue.errors import ResumeRefused
from segue.nn.sequence import SequenceModel
from segue.training.build import LogShape, build_model, readable
from segue.training.callbacks import BestWeights, EachEpoch, LearningCurve, bars
from segue.training.checkpoint import ArtefactCheckpointIO, Checkpointing
from segue.training.distillation import Distillation
from segue.training.negatives import NegativeSampler
from segue.training.plan import Plan
from segue.training.task import NextItemTask
from segue.training.trackers import tracker_names
from segue.training.tracking import tracking
from segue.training.validation import Validation
from segue.training.worth import worth_of_features

SEARCH_KIND = "TrainingSearch"


@dataclass(frozen=True)
class RunOptions:
    """How to run today; nothing of it is saved with the model.

    Attributes:
        checkpoint: directory for checkpoints; None trains without any. It stays until the caller, who knows when the
            model is safe, removes it.
        resume: continue from the checkpoint there.
        checkpoint_seconds: how often to save inside a long epoch.
        progress: show bars.
        device: ``"auto"``, ``"cpu"`` or ``"gpu"``.
        threads: CPU threads; None leaves torch's choice.
        tracker: ``"tensorboard"``, ``"wandb"``, ``"mlflow"``, several of them, or ``"none"``.
        log_dir: where trackers write; without it nothing is tracked, since a library must not litter.
        on_epoch: called after each epoch of the search with its number (from 1) and validation metric; True ends the
            search there, as early stopping would.
    """

    checkpoint: Path | None = None
    resume: bool = False
    checkpoint_seconds: float = 60.0
    progress: bool = True
    device: str = "auto"
    threads: int | None = None
    tracker: str | Sequence[str] = "tensorboard"
    log_dir: Path | None = None
    on_epoch: Callable[[int, float], bool] | None = None


@dataclass
class TrainingReport:
    """What training did, for the artefact and the report page."""

    plan: dict[str, Any]
    epochs: int = 0
    best_validation: float | None = None
    refitted: bool = False
    worth: list[float] | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class TrainingData:
    """Of one fit: histories, popularity per code, what shapes the model, what to validate on, and who else teaches.

    ``weights`` says what each event counts for as a target (see ``training.targets``); None: all alike.
    """

    histories: Histories
    item_counts: np.ndarray
    log: LogShape
    time_zone: str = "UTC"
    validation: Validation | None = None
    distillation: Distillation | None = None
    weights: np.ndarray | None = None


def fit(
    plan: Plan,
    search: TrainingData,
    everything: TrainingData | None,
    run: RunOptions,
    searched: Callable[[SequenceModel], None] | None = None,
) -> tuple[SequenceModel, TrainingReport]:
    """Train, and refit on everything when asked to.

    Args:
        search: training data with what early stopping validates on (without it all ``plan.epochs`` are run).
        everything: training and validation events for the refit; None skips it.
        searched: called with the model of the search, which has not learnt from the validation events.

    Raises:
        ResumeRefused: the checkpoint belongs to another training.
        TrainingDiverged: the loss is not a number.
        DistilRefused: the teachers read what this plan does not.
    """
    if search.distillation is not None:
        search.distillation.check(plan)
    report = TrainingReport(plan.model_dump())
    run = replace(run, tracker=tracker_names(run.tracker))  # a list of our own: what fails in the search leaves it
    with _quiet(run.threads):
        finished = _finished_search(plan, search, run)
        model, found = finished or _search(plan, search, run)
        if finished is None:
            _remember_search(model, found, plan, search, run)
        report.worth = worth_of_features(model, search.validation)
        report.curve, report.epochs, report.best_validation = found["curve"], found["epochs"], found["best"]
        if searched is not None:
            searched(model.cpu().eval())
        if everything is not None and plan.refit:
            model = _refit(plan, everything, report.epochs, run)
            report.refitted = True
    return model.cpu().eval(), report


def _search(plan: Plan, data: TrainingData, run: RunOptions) -> tuple[SequenceModel, dict[str, Any]]:
    curve, best = LearningCurve(), BestWeights()
    callbacks: list[L.Callback] = [curve]
    if data.validation is not None:
        stopping = EarlyStopping("validation", mode="max", patience=plan.patience, check_on_train_epoch_end=False)
        callbacks += [best, stopping]
        callbacks += [EachEpoch(run.on_epoch)] if run.on_epoch else []
    callbacks += bars("Training", plan.validation_metric, best if data.validation else None, run.progress)
    task = _run(plan, data, plan.epochs, "search", callbacks, run)
    model = task.best_model
    if best.weights:
        model.load_state_dict(best.weights)
    found = {"curve": curve.rows, "epochs": best.epoch or len(curve.rows), "best": best.value if best.epoch else None}
    return model, found


def _refit(plan: Plan, data: TrainingData, epochs: int, run: RunOptions) -> SequenceModel:
    callbacks = bars("Refit on all events", plan.validation_metric, None, run.progress)
    return _run(plan, data, epochs, "refit", callbacks, run).best_model


def _run(
    plan: Plan, data: TrainingData, epochs: int, phase: str, callbacks: list[L.Callback], run: RunOptions
) -> NextItemTask:
    """One Lightning run of at most ``epochs`` epochs."""
    model = build_model(plan, data.log)
    read = readable(data.histories, plan)
    windows = TrainingWindows(read, plan.max_length, plan.batch_tokens, data.time_zone, data.weights)
    drawable = model.tower.get_buffer("known").numpy()
    sampler = NegativeSampler(data.item_counts, plan.negatives, plan.popular_negatives, plan.negatives_from, drawable)
    task = NextItemTask(model, windows, plan, sampler, data.validation, data.distillation)
    callbacks = [*callbacks, *tracking(cast(list[str], run.tracker), run.log_dir, phase, plan.model_dump())]
    path = None
    if run.checkpoint is not None:
        path = run.checkpoint / phase
        callbacks = [*callbacks, Checkpointing(path, run.checkpoint_seconds)]
    trainer = L.Trainer(
        accelerator=run.device,
        devices=1,
        max_epochs=epochs,
        precision="bf16-mixed" if plan.precision == "bf16" else "32-true",
        accumulate_grad_batches=plan.gradient_accumulation_steps,
        gradient_clip_val=plan.gradient_clip or None,
        callbacks=callbacks,
        plugins=[ArtefactCheckpointIO(_signature(plan, data, epochs))],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        log_every_n_steps=1_000_000,
    )
    resumed = str(path) if path is not None and run.resume and (path / artefacts.MANIFEST).exists() else None
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(task, ckpt_path=resumed)
    except SystemExit:  # what Lightning makes of Ctrl-C, with every further one ignored
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
    return task


def _signature(plan: Plan, data: TrainingData, epochs: int) -> str:
    digest = hashlib.sha256(plan.model_dump_json().encode())
    digest.update(str(epochs).encode())
    digest.update(data.time_zone.encode())
    digest.update(b"" if data.distillation is None else data.distillation.signature.encode())
    if data.log.features is not None:
        digest.update(repr(data.log.features.features).encode())
        for part in data.log.features.arrays().values():
            digest.update(part.tobytes())
    read = readable(data.histories, plan)
    text = () if data.log.text is None else data.log.text.arrays().values()
    for array in (*read.arrays(), data.weights, *text):
        digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _remember_search(
    model: SequenceModel, found: dict[str, Any], plan: Plan, data: TrainingData, run: RunOptions
) -> None:
    if run.checkpoint is not None:
        with artefacts.writing(run.checkpoint / "found", SEARCH_KIND) as artefact:
            artefact.document("found", {"signature": _signature(plan, data, plan.epochs), **found})
            artefact.tensors("weights", {name: tensor.cpu().numpy() for name, tensor in model.state_dict().items()})


def _finished_search(plan: Plan, data: TrainingData, run: RunOptions) -> tuple[SequenceModel, dict[str, Any]] | None:
    if run.checkpoint is None or not run.resume or not (run.checkpoint / "found" / artefacts.MANIFEST).exists():
        return None
    artefact = artefacts.read(run.checkpoint / "found")
    found = artefact.document("found")
    if found["signature"] != _signature(plan, data, plan.epochs):
        raise ResumeRefused(path=run.checkpoint, reason="it belongs to a training with other data, settings or seed")
    model = build_model(plan, data.log)
    model.load_state_dict({name: torch.from_numpy(array) for name, array in artefact.tensors("weights").items()})
    return model, found


@contextlib.contextmanager
def _quiet(threads: int | None) -> Iterator[None]:
    """Keep Lightning's chatter and this run's seeds and threads to this run."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric", "lightning")]
    levels = [logger.level for logger in loggers]
    before = torch.get_num_threads()
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        if threads is not None:
            torch.set_num_threads(threads)
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*lightning.*")
            os.environ.setdefault("POSSIBLE_USER_WARNINGS", "0")
            yield
    finally:
        torch.set_num_threads(before)
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
