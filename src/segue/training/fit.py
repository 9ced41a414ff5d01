"""Fitting a sequence model: a search for the number of epochs with early stopping, then a refit on everything.

Where a language model is tuned, each of the two goes on with it: first the sequence model learns from its vectors as
they are, since gradients through an untrained one would teach it nothing.

Reads top to bottom: ``fit`` decides the phases, ``_run`` is one Lightning run. With a checkpoint directory both phases
survive a kill and continue to the very same weights.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from segue.errors import LanguageMemory, ResumeRefused, ScheduleNotBegun
from segue.language.models import is_out_of_memory
from segue.nn.sequence import SequenceModel
from segue.training.anchor import Anchor
from segue.training.build import LogShape, build_model, readable
from segue.training.callbacks import BestWeights, EachEpoch, LearningCurve, StepSeconds, bars
from segue.training.checkpoint import ArtefactCheckpointIO, Checkpointing
from segue.training.distillation import Distillation
from segue.training.interests import add_head, memberships
from segue.training.negatives import NegativeSampler
from segue.training.plan import Plan
from segue.training.task import NextItemTask
from segue.training.text_tuning import TunedText
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
    tuning: dict[str, Any] | None = None


@dataclass(frozen=True)
class TrainingData:
    """Of one fit: histories, popularity per code, what shapes the model, what to validate on, and who else teaches.

    ``weights`` says what each event counts for as a target (see ``training.targets``); None: all alike. ``start`` are
    weights by name to begin with instead of fresh ones, ``anchor`` holds some of them where they matter. ``texts`` of
    the items by their codes are for a language model that is tuned.
    """

    histories: Histories
    item_counts: np.ndarray
    log: LogShape
    time_zone: str = "UTC"
    validation: Validation | None = None
    distillation: Distillation | None = None
    weights: np.ndarray | None = None
    start: Mapping[str, torch.Tensor] | None = None
    anchor: Anchor | None = None
    texts: Sequence[str] | None = None


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
        LanguageMemory: tuning the language model takes more than there is.
        DistilRefused: the teachers read what this plan does not.
        ScheduleNotBegun: the warm-up is as long as the training.
    """
    if search.distillation is not None:
        search.distillation.check(plan)
    _refuse_schedule_within_warmup(plan, search)
    report = TrainingReport(plan.model_dump())
    run = replace(run, tracker=tracker_names(run.tracker))  # a list of our own: what fails in the search leaves it
    with _quiet(run.threads):
        finished = _finished_search(plan, search, run)
        model, found = finished or _search(plan, search, run)
        if finished is None:
            _remember_search(model, found, plan, search, run)
        report.worth = worth_of_features(model, search.validation)
        report.curve, report.epochs, report.best_validation = found["curve"], found["epochs"], found["best"]
        report.tuning = found["tuning"]
        if searched is not None:
            searched(model.cpu().eval())
        if everything is not None and plan.refit:
            model = _refit(plan, everything, report.epochs, run)
            if report.tuning is not None and report.tuning["epochs"]:
                callbacks = bars("Refit of the language model", plan.validation_metric, None, run.progress)
                model = _run(
                    plan, everything, report.tuning["epochs"], "refit-tuning", callbacks, run, model
                ).best_model
            report.refitted = True
        model.interests = None
    return model.cpu().eval(), report


def _refuse_schedule_within_warmup(plan: Plan, data: TrainingData) -> None:
    """A decay begins two steps after the warm-up: before, its rate is that of a constant schedule."""
    if plan.schedule == "constant":
        return
    windows = TrainingWindows(readable(data.histories, plan), plan.max_length, plan.batch_tokens, data.time_zone)
    steps = plan.epochs * -(-windows.batches_per_epoch // plan.gradient_accumulation_steps)
    if plan.warmup_steps >= steps - 1:
        most = max(0, steps - 2)
        raise ScheduleNotBegun(schedule=plan.schedule, steps=steps, warmup=plan.warmup_steps, most=most)


def _search(plan: Plan, data: TrainingData, run: RunOptions) -> tuple[SequenceModel, dict[str, Any]]:
    curve, best = LearningCurve(), BestWeights()
    callbacks: list[L.Callback] = [curve]
    caller = EachEpoch(run.on_epoch) if run.on_epoch else None
    if data.validation is not None:
        callbacks += [best, _stopping(plan)]
        callbacks += [caller] if caller else []
    callbacks += bars("Training", plan.validation_metric, best if data.validation else None, run.progress)
    task = _run(plan, data, plan.epochs, "search", callbacks, run)
    model = task.best_model
    if best.weights:
        model.load_state_dict(best.weights)
    found: dict[str, Any] = {
        "curve": curve.rows,
        "epochs": best.epoch or len(curve.rows),
        "best": best.value if best.epoch else None,
    }
    found["tuning"] = None
    if plan.tunes and not (caller and caller.ended):
        model, found["tuning"] = _tune(plan, data, model, best.value, run)
        found["best"] = found["tuning"]["best"]
    return model, found


def _stopping(plan: Plan) -> EarlyStopping:
    return EarlyStopping("validation", mode="max", patience=plan.patience, check_on_train_epoch_end=False)


def _tune(
    plan: Plan, data: TrainingData, trained: SequenceModel, value: float, run: RunOptions
) -> tuple[SequenceModel, dict[str, Any]]:
    """Go on with the language model; with ``tuning_fallback`` that replaces ``trained`` where it validates better.

    ``value`` is the validation metric of ``trained``.
    """
    curve, steps = LearningCurve(), StepSeconds()
    best = BestWeights(value) if plan.tuning_fallback else BestWeights()
    callbacks: list[L.Callback] = [curve, steps, *([best, _stopping(plan)] if data.validation is not None else [])]
    title = "Tuning the language model"
    callbacks += bars(title, plan.validation_metric, best if data.validation else None, run.progress)
    task = _run(plan, data, plan.tuning_epochs, "tuning", callbacks, run, copy.deepcopy(trained))
    model, epochs = task.best_model, best.epoch
    if best.weights:
        model.load_state_dict(best.weights)
    elif data.validation is not None:
        model = trained
    else:
        epochs = len(curve.rows)
    assert task.text is not None
    tuning = task.text.tuning
    return model, {
        "mode": plan.tuning,
        "epochs": epochs,
        "best": best.value if data.validation is not None else None,
        "trainable": tuning.trainable,
        "share": tuning.share,
        "step_seconds": steps.medians[0] if steps.medians else None,
        "step_cpu_seconds": steps.medians[1] if steps.medians else None,
        "curve": curve.rows,
    }


def _refit(plan: Plan, data: TrainingData, epochs: int, run: RunOptions) -> SequenceModel:
    callbacks = bars("Refit on all events", plan.validation_metric, None, run.progress)
    return _run(plan, data, epochs, "refit", callbacks, run).best_model


def _run(
    plan: Plan,
    data: TrainingData,
    epochs: int,
    phase: str,
    callbacks: list[L.Callback],
    run: RunOptions,
    trained: SequenceModel | None = None,
) -> NextItemTask:
    """One Lightning run of at most ``epochs`` epochs; from a trained model on, it is with its language model."""
    model = trained
    if model is None:
        model = build_model(plan, data.log)
        model.load_state_dict(data.start or {}, strict=False)
    read = readable(data.histories, plan)
    windows = TrainingWindows(read, plan.max_length, plan.batch_tokens, data.time_zone, data.weights)
    drawable = model.tower.get_buffer("known").numpy()
    sampler = NegativeSampler(data.item_counts, plan.negatives, plan.popular_negatives, plan.negatives_from, drawable)
    text, now = None, plan
    if trained is not None:
        assert data.texts is not None
        each = windows.batches_per_epoch
        text = TunedText(plan, data.texts, epochs * each // plan.gradient_accumulation_steps)
        text.attach(model.requires_grad_(True))
        now = plan.model_copy(update={"epochs": plan.tuning_epochs, "warmup_steps": min(plan.warmup_steps, each)})
    add_head(model, plan)
    members = memberships(plan, read, data.log.catalogue)
    task = NextItemTask(model, windows, now, sampler, data.validation, data.distillation, text, data.anchor, members)
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
        plugins=[ArtefactCheckpointIO(_signature(plan.untuned if text is None else plan, data, epochs))],
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
    except RuntimeError as error:
        if text is None or not is_out_of_memory(error):
            raise
        raise LanguageMemory(texts=plan.text_batch, tokens=plan.text_max_tokens) from None
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
    digest.update(b"" if data.anchor is None else data.anchor.signature.encode())
    for name, tensor in sorted((data.start or {}).items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
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
    add_head(model, plan)
    if found["tuning"] is not None and found["tuning"]["epochs"]:
        assert data.texts is not None
        TunedText(plan, data.texts, 1).attach(model)
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
