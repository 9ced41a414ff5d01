"""Where a run's figures can go: TensorBoard, Weights & Biases, MLflow. Each is a few calls on its own client.

None of them is imported before it is used. What is written and when is ``tracking``'s, and so is what happens when
one of them fails: here an error is simply raised.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from segue.errors import ConfigUnknown, nearest

PROJECT = "segue"
NONE = "none"
_PATIENCE = 10  # seconds a tracker may keep training waiting


@dataclass(frozen=True)
class TrackedRun:
    """One phase of one training.

    Attributes:
        log_dir: where whatever is local is written.
        phase: ``"search"`` or ``"refit"``.
        hyperparameters: the plan.
        resumed: whether a killed training goes on.
    """

    log_dir: Path
    phase: str
    hyperparameters: Mapping[str, Any]
    resumed: bool = False

    @property
    def name(self) -> str:
        """For trackers that hold the runs of many models."""
        return f"{self.log_dir.name} {self.phase}"


class Tracker(Protocol):
    """What a tracker can do; anything may raise."""

    extra: ClassVar[str]

    def start(self, run: TrackedRun) -> None:
        """Open the run and note its hyper-parameters."""

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        """Note what epoch ``number`` (from 1) brought."""

    def end(self, whole: bool) -> None:
        """Close the run; not ``whole`` after an error or Ctrl-C."""


class TensorBoard:
    """Event files in ``log_dir/phase``; a later training into the same place gets ``phase-2``, and so on."""

    extra: ClassVar[str] = "train"

    def start(self, run: TrackedRun) -> None:
        from torch.utils import tensorboard
        from torch.utils.tensorboard import summary

        self._writer = tensorboard.SummaryWriter(str(_folder(run)))
        plain = {name: _plain(value) for name, value in run.hyperparameters.items()}
        for part in summary.hparams(plain, {"validation": 0.0}):
            self._writer._get_file_writer().add_summary(part)
        self._writer.flush()

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        for name, value in figures.items():
            self._writer.add_scalar(name, value, number)
        self._writer.flush()  # a full disk shows here and not at the end; the page is up to date

    def end(self, whole: bool) -> None:
        self._writer.close()


class WeightsAndBiases:
    """A run of the project ``segue``. Online, offline (``WANDB_MODE=offline``) and the key are wandb's own affair."""

    extra: ClassVar[str] = "tracking"

    def start(self, run: TrackedRun) -> None:
        with _environment(WANDB_ERROR_REPORTING="false"):
            import wandb

            run.log_dir.mkdir(parents=True, exist_ok=True)
            self._run = wandb.init(
                project=os.environ.get("WANDB_PROJECT", PROJECT),
                name=run.name,
                group=run.log_dir.name,
                job_type=run.phase,
                dir=str(run.log_dir),
                config=dict(run.hyperparameters),
                reinit="create_new",  # a run that the caller has open stays the caller's
                settings=wandb.Settings(
                    init_timeout=_PATIENCE,
                    login_timeout=_PATIENCE,
                    finish_timeout=_PATIENCE,
                    finish_timeout_raises=True,
                    console="off",
                    silent=True,
                    disable_git=True,
                    save_code=False,
                ),
            )

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        self._run.log(dict(figures), step=number)

    def end(self, whole: bool) -> None:
        self._run.finish(exit_code=0 if whole else 1)


class MLflow:
    """A run of the experiment ``segue``, in ``MLFLOW_TRACKING_URI`` or else in ``log_dir/mlflow.db``.

    SQLite and not a folder of files, which MLflow no longer develops.
    """

    extra: ClassVar[str] = "tracking"

    def start(self, run: TrackedRun) -> None:
        uri, place = os.environ.get("MLFLOW_TRACKING_URI"), None
        if uri is None:
            run.log_dir.mkdir(parents=True, exist_ok=True)
            uri = f"sqlite:///{run.log_dir.absolute() / 'mlflow.db'}"
            place = (run.log_dir.absolute() / "mlflow").as_uri()
        with self._patience():
            from mlflow.entities import Param
            from mlflow.tracking import MlflowClient

            self._client = MlflowClient(tracking_uri=uri)
            name = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT)
            known = self._client.get_experiment_by_name(name)
            experiment = known.experiment_id if known else self._client.create_experiment(name, place)
            self._id = self._client.create_run(experiment, run_name=run.name, tags={"phase": run.phase}).info.run_id
            settings = [Param(key, str(value)) for key, value in run.hyperparameters.items()]
            self._client.log_batch(self._id, params=settings)

    def epoch(self, number: int, figures: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        with self._patience():
            self._client.log_batch(self._id, [Metric(name, value, now, number) for name, value in figures.items()])

    def end(self, whole: bool) -> None:
        with self._patience():
            self._client.set_terminated(self._id, "FINISHED" if whole else "FAILED")

    def _patience(self) -> contextlib.AbstractContextManager[None]:
        """MLflow's own defaults try a dead server for minutes, and report on use to its makers."""
        return _environment(
            MLFLOW_HTTP_REQUEST_MAX_RETRIES="1",
            MLFLOW_HTTP_REQUEST_TIMEOUT=str(_PATIENCE),
            MLFLOW_DISABLE_TELEMETRY="true",
            MLFLOW_LOGGING_LEVEL="ERROR",
        )


TRACKERS: dict[str, type[Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WeightsAndBiases,
    "mlflow": MLflow,
}


def tracker_names(asked: str | Sequence[str]) -> list[str]:
    """``"tensorboard,mlflow"``, a list of names, or ``"none"``; raises ``ConfigUnknown`` with the nearest."""
    names = [name.strip() for name in (asked.split(",") if isinstance(asked, str) else asked)]
    for name in names:
        if name != NONE and name not in TRACKERS:
            known = [*TRACKERS, NONE]
            raise ConfigUnknown(name=name, owner="tracker", hint=nearest(name, known), known=", ".join(known))
    return list(dict.fromkeys(name for name in names if name != NONE))


@contextlib.contextmanager
def _environment(**defaults: str) -> Iterator[None]:
    """Environment variables for the time of a call, where the user has set no other."""
    missing = {name: value for name, value in defaults.items() if name not in os.environ}
    os.environ.update(missing)
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


def _folder(run: TrackedRun) -> Path:
    """The folder of this run: a resumed one goes on in the newest there is, another never writes over one."""
    number, newest = 1, run.log_dir / run.phase
    free = newest
    while free.exists():
        number, newest = number + 1, free
        free = run.log_dir / f"{run.phase}-{number}"
    return newest if run.resumed else free


def _plain(value: Any) -> bool | int | float | str:
    return value if isinstance(value, bool | int | float | str) else str(value)
