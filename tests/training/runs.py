"""Small trainings that are killed, in this process or in one of their own, for the tests of resuming."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import segue
from segue import artefacts
from segue.training.build import LogShape
from segue.training.plan import Plan, SequenceConfig, plan_for
from segue.training.task import EpochLoader, NextItemTask
from tests.conftest import make_log

SMALL: dict[str, Any] = {
    "embedding_size": 8,
    "blocks": 1,
    "batch_tokens": 128,
    "dropout": 0.3,
    "loss": "sampled",
    "negatives": 16,
    "epochs": 3,
    "warmup_steps": 5,
}

FULL = {name: value for name, value in {**SMALL, "loss": "full"}.items() if name != "negatives"}


class Killed(BaseException):
    """What a kill looks like in this process: nothing catches it."""


def small_split() -> segue.Split:
    return segue.split.leave_last_out(segue.Dataset.from_frames(make_log(users=30)))


def train(
    checkpoint: Path | None = None, split: segue.Split | None = None, **options: Any
) -> segue.SequenceRecommender:
    """A small training on one CPU thread; ``options`` are of the run or settings.

    With ``plain`` there is one phase and nothing to validate on, so that every step shows in the final weights.
    """
    names = ("resume", "checkpoint_seconds", "threads", "progress")
    run = {name: options.pop(name) for name in names if name in options}
    split = split or small_split()
    validation = None if options.pop("plain", False) else split.validation
    settings = {**(FULL if options.get("loss") == "full" else SMALL), **options}
    model = segue.SequenceRecommender(**settings)
    run = {"threads": 1, "checkpoint_seconds": 0.0, "progress": False, **run}
    return model.fit(split.train, validation, device="cpu", checkpoint=checkpoint, **run)


def small_plan(data: segue.Dataset, **settings: Any) -> Plan:
    return plan_for(SequenceConfig(**{**SMALL, **settings}), data.histories, len(data.item_vocabulary))


def log_shape(data: segue.Dataset) -> LogShape:
    return LogShape.of(data.histories, len(data.item_vocabulary), len(data.action_names))


def kill_at(patch: pytest.MonkeyPatch, point: str, number: int, kill: Callable[[], None]) -> None:
    """Call ``kill`` when ``point`` is reached for the ``number``-th time (from 0).

    Points: ``step`` (in a training step), ``stepped`` (after it, with a checkpoint just written), ``validation``,
    ``save`` (the files of an artefact are written, its manifest is not in place) and ``saved``.
    """
    reached = 0

    def watched(function: Callable[..., Any], after: bool = False) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal reached
            reached += 1
            if reached == number + 1 and not after:
                kill()
            result = function(*args, **options)
            if reached == number + 1 and after:
                kill()
            return result

        return call

    owner, name, after = {
        "step": (NextItemTask, "training_step", False),
        "stepped": (NextItemTask, "optimizer_step", True),
        "validation": (NextItemTask, "validation_step", False),
        "save": (artefacts, "_publish", False),
        "saved": (artefacts, "_publish", True),
    }[point]
    patch.setattr(owner, name, watched(getattr(owner, name), after))


def _kill_mid_publish(patch: pytest.MonkeyPatch, number: int, kill: Callable[[], None]) -> None:
    """Kill between the moment an artefact's files are in place and its manifest is."""
    replaced, count = os.replace, 0

    def replace(source: Any, target: Any) -> None:
        nonlocal count
        if Path(target).name == artefacts.MANIFEST:
            count += 1
            if count == number + 1:
                kill()
        replaced(source, target)

    patch.setattr(artefacts.os, "replace", replace)


def interrupted(checkpoint: Path, point: str, number: int, **options: Any) -> segue.SequenceRecommender:
    """A training killed in this process, and its continuation."""
    kill_here(checkpoint, point, number, **options)
    return train(checkpoint, resume=True, **options)


def kill_here(checkpoint: Path, point: str, number: int, **options: Any) -> None:
    def kill() -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, point, number, kill)
        with pytest.raises(Killed):
            train(checkpoint, **options)


def forget_the_place(patch: pytest.MonkeyPatch) -> None:
    """The broken twin whose batches begin anew after a resume."""

    def begin(self: EpochLoader) -> Any:
        return self.task.windows.epoch(self.task.plan.seed, self.task.trainer.current_epoch, 0)

    patch.setattr(EpochLoader, "__iter__", begin)


def forget_the_epoch(patch: pytest.MonkeyPatch) -> None:
    """The broken twin whose order of batches comes from a generator that a resumed run does not have."""
    rng = np.random.default_rng()

    def begin(self: EpochLoader) -> Any:
        done = self.task.trainer.fit_loop.epoch_loop.batch_progress.current.ready
        skip = done if self.task.trainer.fit_loop.restarting and done < len(self) else 0
        return self.task.windows.epoch(int(rng.integers(1 << 30)), 0, skip)

    patch.setattr(EpochLoader, "__iter__", begin)


def forget_the_seed(patch: pytest.MonkeyPatch) -> None:
    """The broken twin whose dropout and negatives come from whatever state the generator is in."""
    patch.setattr("segue.training.task.torch.manual_seed", lambda seed: torch.default_generator)


def in_a_process(checkpoint: Path, result: Path, point: str | None, number: int, options: dict[str, Any]) -> int:
    """Train in a process of its own, killed with SIGKILL at ``point``; returns the exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "segue.recommenders.sequence"])
    process = context.Process(target=_child, args=(checkpoint, result, point, number, options))
    process.start()
    process.join(120)
    assert process.exitcode is not None, "the training hangs"
    return process.exitcode


def _child(checkpoint: Path, result: Path, point: str | None, number: int, options: dict[str, Any]) -> None:
    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    patch = pytest.MonkeyPatch()
    if point == "manifest":
        _kill_mid_publish(patch, number, kill)
    elif point is not None:
        kill_at(patch, point, number, kill)
    result.write_text(train(checkpoint, **options).report["training"]["weights_sha256"])
