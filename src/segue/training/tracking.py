"""Tracking: what each epoch brought goes to the trackers that were asked for, and none of them can stop a training.

A tracker that is not installed, cannot be reached or fails midway is dropped with one warning. Nothing here draws a
random number or touches a weight, so that a training gives the same weights with and without. How a tracker is
spoken to is ``trackers``'.
"""

from __future__ import annotations

import os
import re
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning as L

from segue.cautions import TrackerFailed
from segue.training.trackers import TRACKERS, TrackedRun, Tracker


def tracking(
    names: list[str], log_dir: Path | None, phase: str, hyperparameters: Mapping[str, Any]
) -> list[L.Callback]:
    """The callback that feeds the trackers, or nothing: where no place to write is known, nothing is written."""
    return [Tracking(names, log_dir, phase, hyperparameters)] if names and log_dir is not None else []


class Tracking(L.Callback):
    """Loss, validation metric, learning rate and seconds of each epoch, for one phase.

    Args:
        names: of the trackers; one that fails is taken out, so that the next phase does without it too.
        log_dir: where whatever is local goes.
        phase: ``"search"`` or ``"refit"``; each is a run of its own.
        hyperparameters: the plan.
    """

    def __init__(self, names: list[str], log_dir: Path, phase: str, hyperparameters: Mapping[str, Any]) -> None:
        self.names, self.log_dir, self.phase, self.hyperparameters = names, log_dir, phase, hyperparameters
        self._trackers: dict[str, Tracker] = {name: TRACKERS[name]() for name in names}
        self._began = 0.0

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        resumed = trainer.global_step > 0
        run = TrackedRun(self.log_dir, self.phase, {**self.hyperparameters, "phase": self.phase}, resumed)
        self._each("start", run)
        self._began = time.perf_counter()

    def on_train_epoch_start(self, *_: Any) -> None:
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        figures["learning_rate"] = float(trainer.optimizers[0].param_groups[0]["lr"])
        figures["seconds"] = round(time.perf_counter() - self._began, 3)
        self._each("epoch", trainer.current_epoch + 1, figures)

    def on_train_end(self, *_: Any) -> None:
        self._each("end", True)

    def on_exception(self, *_: Any) -> None:
        self._each("end", False)

    def _each(self, call: str, *values: Any) -> None:
        for name, tracker in list(self._trackers.items()):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # what the clients say of themselves is no user's business
                    getattr(tracker, call)(*values)
            except Exception as error:  # noqa: BLE001 - whatever a tracker raises, the training is worth more
                del self._trackers[name]
                self.names.remove(name)
                self._tell(name, tracker, error)

    def _tell(self, name: str, tracker: Tracker, error: Exception) -> None:
        remedy = ""
        if isinstance(error, ModuleNotFoundError):
            remedy = f" Install it with: pip install 'segue[{tracker.extra}]'."
        told = f"The tracker {name} does not work: {reason_of(error)}. Training goes on without it.{remedy}"
        warnings.warn(told, TrackerFailed, stacklevel=1)


def reason_of(error: Exception) -> str:
    """The first line of an error, without the passwords that clients put into theirs."""
    text = (str(error).strip().splitlines() or [""])[0]
    text = re.sub(r"(?<=://)[^/@\s]+@", "", text)
    for name, value in os.environ.items():
        if len(value) >= 8 and re.search(r"KEY|TOKEN|SECRET|PASSWORD", name):
            text = text.replace(value, "***")
    return f"{type(error).__name__}: {text[:300]}".rstrip(" .:")
