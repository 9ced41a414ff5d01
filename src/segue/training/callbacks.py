"""Lightning callbacks: best weights, learning curve, a caller's own, a bar. Checkpoints and tracking live beside."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import lightning as L
from torch import Tensor

from segue import progress
from segue.training.task import NextItemTask


class BestWeights(L.Callback):
    """Remembers the weights of the best epoch by the validation metric, where one is better than ``value``."""

    def __init__(self, value: float = float("-inf")) -> None:
        self.value, self.epoch = value, 0
        self.weights: dict[str, Tensor] = {}

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, NextItemTask)
        value = float(trainer.callback_metrics["validation"])
        if value > self.value:
            self.value, self.epoch = value, trainer.current_epoch + 1
            self.weights = copy.deepcopy(pl_module.best_model.state_dict())

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "epoch": self.epoch, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.value, self.epoch, self.weights = (state_dict[name] for name in ("value", "epoch", "weights"))


class LearningCurve(L.Callback):
    """One row per epoch: loss, validation metric, seconds."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float | int | None]] = []
        self._began = 0.0

    def on_train_start(self, *_: Any) -> None:
        self._began = time.perf_counter()  # an epoch that is resumed has no start of its own

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        self._began = time.perf_counter()

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        metrics = trainer.callback_metrics
        self.rows.append(
            {
                "epoch": trainer.current_epoch + 1,
                "loss": float(metrics["loss"]) if "loss" in metrics else None,
                "validation": float(metrics["validation"]) if "validation" in metrics else None,
                "seconds": round(time.perf_counter() - self._began, 3),
            }
        )

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = state_dict["rows"]


class EachEpoch(L.Callback):
    """Tells a caller the validation metric after each epoch; the caller may end the training there."""

    def __init__(self, tell: Callable[[int, float], bool]) -> None:
        self.tell, self.ended = tell, False

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        if self.tell(trainer.current_epoch + 1, float(trainer.callback_metrics["validation"])):
            trainer.should_stop = self.ended = True


class StepSeconds(L.Callback):
    """The seconds of each training step, by the clock and of the processor, without what an epoch ends with."""

    def __init__(self) -> None:
        self.seconds: list[tuple[float, float]] = []
        self._began = (0.0, 0.0)

    @property
    def medians(self) -> tuple[float, float] | None:
        """Of both; None before the first step."""
        if not self.seconds:
            return None
        clock, processor = zip(*self.seconds, strict=True)
        return statistics.median(clock), statistics.median(processor)

    def on_train_batch_start(self, *_: Any) -> None:
        self._began = (time.perf_counter(), time.process_time())

    def on_train_batch_end(self, *_: Any) -> None:
        now = (time.perf_counter(), time.process_time())
        self.seconds.append((now[0] - self._began[0], now[1] - self._began[1]))


class TrainingBar(L.Callback):
    """A bar over the batches of each epoch, with the newest loss and the best validation metric."""

    def __init__(self, title: str, metric: str, best: BestWeights | None) -> None:
        self.title, self.metric, self.best = title, metric, best
        self._bar: Any = None

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bar = Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task(self.title, total=None, note="")
        self._bar.start()

    def on_train_epoch_start(self, trainer: L.Trainer, *_: Any) -> None:
        title = f"{self.title}, epoch {trainer.current_epoch + 1}"
        self._bar.reset(self._task, total=trainer.num_training_batches, description=title)

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self._bar.advance(self._task)

    def on_train_epoch_end(self, trainer: L.Trainer, *_: Any) -> None:
        note = f"loss {float(trainer.callback_metrics.get('loss', 0)):.3f}"
        if self.best is not None and self.best.epoch:
            note += f", best {self.metric} {self.best.value:.4f} (epoch {self.best.epoch})"
        self._bar.update(self._task, note=note)

    def on_train_end(self, *_: Any) -> None:
        self._stop()

    def on_exception(self, *_: Any) -> None:
        self._stop()

    def _stop(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def bars(title: str, metric: str, best: BestWeights | None, show: bool) -> list[L.Callback]:
    """The bar, or nothing where bars are off."""
    return [TrainingBar(progress.titled(title), metric, best)] if progress.enabled(show) else []
