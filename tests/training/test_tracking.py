"""Trackers: what they are told can be read back, and none of them can stop or change a training."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import segue
from segue.cautions import TrackerFailed
from segue.errors import ConfigUnknown
from segue.training import trackers, tracking
from segue.training.trackers import tracker_names
from tests.training.runs import SMALL, small_split

KEY = "0123456789abcdef0123456789abcdef01234567"


def tracked(tracker: Any = "none", log_dir: Path | None = None, **settings: Any) -> segue.SequenceRecommender:
    split = small_split()
    model = segue.SequenceRecommender(**{**SMALL, "epochs": 2, **settings})
    run: dict[str, Any] = {"progress": False, "device": "cpu", "threads": 1}
    return model.fit(split.train, split.validation, tracker=tracker, log_dir=log_dir, **run)


def weights(model: segue.SequenceRecommender) -> str:
    return str(model.report["training"]["weights_sha256"])


@pytest.fixture(scope="module")
def untracked() -> segue.SequenceRecommender:
    return tracked()


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow database with its tables: making them takes seconds."""
    folder = tmp_path_factory.mktemp("store")
    run = trackers.TrackedRun(folder, "made", {})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = trackers.MLflow()
        made.start(run)
        made._client.delete_run(made._id)
    return folder / "mlflow.db"


@pytest.fixture(autouse=True)
def nobody_is_logged_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / "netrc"))
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # it reads its environment once


@contextlib.contextmanager
def one_warning(*words: str) -> Iterator[None]:
    with pytest.warns(TrackerFailed) as caught:
        yield
    (told,) = [str(warning.message) for warning in caught if issubclass(warning.category, TrackerFailed)]
    for word in ("Training goes on without it", *words):
        assert word in told, told


def events_of(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def test_tensorboard_holds_every_epoch_of_each_phase_and_the_plan(tmp_path, untracked) -> None:
    model = tracked("tensorboard", tmp_path / "runs")
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["refit", "search"]
    search = events_of(tmp_path / "runs" / "search")
    curve = model.report["training"]["curve"]
    for name in ("loss", "validation"):
        assert [event.step for event in search.Scalars(name)] == [1, 2]
        assert [event.value for event in search.Scalars(name)] == pytest.approx([row[name] for row in curve])
    assert all(event.value > 0 for event in search.Scalars("learning_rate"))
    assert all(event.value >= 0 for event in search.Scalars("seconds"))
    (content,) = [d for tag, d in search.summary_metadata.items() if tag == "_hparams_/session_start_info"]
    assert b"embedding_size" in content.plugin_data.content
    refit = events_of(tmp_path / "runs" / "refit")
    assert "validation" not in refit.Tags()["scalars"]
    assert len(refit.Scalars("loss")) == model.report["training"]["epochs"]
    assert weights(model) == weights(untracked)


def test_a_second_training_into_the_same_place_writes_beside_the_first(tmp_path) -> None:
    for _ in range(2):
        tracked("tensorboard", tmp_path / "runs", epochs=1, refit=False)
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["search", "search-2"]


def test_a_resumed_training_goes_on_in_its_own_folder(tmp_path) -> None:
    first = trackers.TrackedRun(tmp_path, "search", {})
    trackers._folder(first).mkdir()
    trackers._folder(first).mkdir()
    resumed = trackers.TrackedRun(tmp_path, "search", {}, resumed=True)
    assert trackers._folder(resumed).name == "search-2"
    assert trackers._folder(trackers.TrackedRun(tmp_path / "none", "search", {}, resumed=True)).name == "search"


def test_wandb_offline_writes_a_run_with_every_epoch(tmp_path, monkeypatch, untracked) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    model = tracked("wandb", tmp_path / "runs")
    found = sorted((tmp_path / "runs" / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(found) == 2
    curve, epochs = model.report["training"]["curve"], model.report["training"]["epochs"]
    until = time.monotonic() + 60  # a process of its own writes them, and may lag behind on a busy machine
    while True:
        steps = {phase: rows for path in found for phase, rows in [read_wandb(path)]}
        whole = sorted(map(len, steps.values())) == sorted([len(curve), epochs])
        if (whole and set(steps) == {"search", "refit"}) or time.monotonic() > until:
            break
        time.sleep(0.2)
    assert set(steps) == {"search", "refit"}
    assert [row["loss"] for row in steps["search"]] == pytest.approx([row["loss"] for row in curve])
    assert {"validation", "learning_rate", "seconds"} <= steps["search"][0].keys()
    assert len(steps["refit"]) == epochs
    assert weights(model) == weights(untracked)


def read_wandb(path: Path) -> tuple[str, list[dict[str, float]]]:
    """The phase and the figures in a run file."""
    from wandb.proto import wandb_internal_pb2

    phase, rows = "", []
    for content in records(path.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        if record.WhichOneof("record_type") == "run":
            settings = {item.key: item.value_json for item in record.run.config.update}
            phase = json.loads(settings.get("phase", '""')) or phase
        if record.WhichOneof("record_type") == "history":
            row = {(item.key or item.nested_key[0]): json.loads(item.value_json) for item in record.history.item}
            rows.append(row)
    return phase, rows


def records(content: bytes) -> Iterator[bytes]:
    """The records of a LevelDB log: a head of 7 bytes, then blocks of 32 KiB with checksum, length and type of each."""
    if not content:
        return  # not written yet
    assert content.startswith(b":W&B")
    place, whole = 7, b""
    while place + 7 <= len(content):
        if (left := 32_768 - place % 32_768) < 7:
            place += left
            continue
        length, kind = struct.unpack("<HB", content[place + 4 : place + 7])
        if place + 7 + length > len(content):
            return  # still being written
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield whole
            whole = b""


def test_mlflow_without_a_server_keeps_its_runs_in_a_database(tmp_path, untracked, empty_store) -> None:
    from mlflow.tracking import MlflowClient

    (tmp_path / "runs").mkdir()
    shutil.copy(empty_store, tmp_path / "runs" / "mlflow.db")
    model = tracked("mlflow", tmp_path / "runs")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'runs' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("segue")
    runs = {run.data.tags["phase"]: run for run in client.search_runs([experiment.experiment_id])}
    assert set(runs) == {"search", "refit"}
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert runs["search"].data.params["embedding_size"] == str(SMALL["embedding_size"])
    curve = model.report["training"]["curve"]
    history = client.get_metric_history(runs["search"].info.run_id, "validation")
    assert [(m.step, m.value) for m in history] == [(row["epoch"], row["validation"]) for row in curve]
    assert not {path.name for path in tmp_path.iterdir()} - {"runs", "home"}
    assert weights(model) == weights(untracked)


def test_a_training_that_fails_leaves_a_run_marked_as_failed(tmp_path, monkeypatch) -> None:
    ended = []
    monkeypatch.setattr(trackers.TensorBoard, "end", lambda self, whole: ended.append(whole))

    def diverge(self: Any, *_: Any) -> None:
        raise segue.errors.TrainingDiverged(value=float("nan"), step=1)

    monkeypatch.setattr("segue.training.task.NextItemTask.training_step", diverge)
    with pytest.raises(segue.errors.TrainingDiverged):
        tracked("tensorboard", tmp_path / "runs")
    assert ended == [False]


def test_without_a_place_to_write_nothing_is_written(tmp_path, monkeypatch, untracked) -> None:
    monkeypatch.chdir(tmp_path)
    assert weights(tracked("tensorboard")) == weights(untracked)
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_names_of_trackers_are_checked_before_anything_runs() -> None:
    assert tracker_names("tensorboard, mlflow,mlflow") == ["tensorboard", "mlflow"]
    assert tracker_names("none") == []
    with pytest.raises(ConfigUnknown, match="tensorboard"):
        tracked("tensorbord", Path("unused"))


@pytest.mark.parametrize(
    ("name", "module"), [("tensorboard", "torch.utils.tensorboard"), ("wandb", "wandb"), ("mlflow", "mlflow.tracking")]
)
def test_a_tracker_that_is_not_installed_is_done_without(name, module, tmp_path, monkeypatch, untracked) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    extra = "train" if name == "tensorboard" else "tracking"
    with one_warning(name, f"segue[{extra}]"):
        model = tracked(name, tmp_path / "runs", refit=False, epochs=1)
    assert model.report["training"]["epochs"] == 1


def test_a_server_that_is_not_there_costs_seconds_and_no_weights(tmp_path, monkeypatch, untracked) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somebody:hunter22@127.0.0.1:9")
    began = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = tracked("mlflow", tmp_path / "runs")
    told = [str(warning.message) for warning in caught if warning.category is TrackerFailed]
    assert len(told) == 1  # though there are a search and a refit
    assert "127.0.0.1" in told[0]
    assert "hunter22" not in "".join(told)
    assert time.perf_counter() - began < 30
    assert weights(model) == weights(untracked)


def test_wandb_without_a_login_or_a_server_is_done_without(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    with one_warning("wandb", "API key"):
        tracked("wandb", tmp_path / "runs", refit=False, epochs=1)
    sys.modules["wandb"].teardown()
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(trackers, "_PATIENCE", 2)
    began = time.perf_counter()
    with one_warning("wandb"):
        tracked("wandb", tmp_path / "runs", refit=False, epochs=1)
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize("call", ["start", "epoch", "end"])
def test_a_tracker_that_fails_midway_is_dropped_and_the_others_go_on(call, tmp_path, monkeypatch, untracked) -> None:
    calls = []

    class Full:
        extra = "train"

        def _note(self, name: str) -> None:
            calls.append(name)
            if name == call:
                raise OSError(28, "No space left on device")

        def start(self, run: Any) -> None:
            self._note("start")

        def epoch(self, number: int, figures: Any) -> None:
            self._note("epoch")

        def end(self, whole: bool) -> None:
            self._note("end")

    monkeypatch.setitem(trackers.TRACKERS, "wandb", Full)  # type: ignore[arg-type]
    with one_warning("No space left"):
        model = tracked("wandb,tensorboard", tmp_path / "runs", refit=False)
    assert calls[-1] == call
    assert calls.count(call) == 1
    assert len(events_of(tmp_path / "runs" / "search").Scalars("loss")) == 2
    assert model.report["training"]["curve"][0]["loss"] == untracked.report["training"]["curve"][0]["loss"]


def test_a_place_that_cannot_be_written_to_is_a_warning(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with one_warning("tensorboard"):
        tracked("tensorboard", tmp_path / "file", refit=False, epochs=1)


def test_a_tracker_that_lets_its_errors_through_would_be_seen(tmp_path, monkeypatch) -> None:
    """The broken twin: without the net the training ends with the tracker."""

    def each(self: Any, call: str, *values: Any) -> None:
        for tracker in self._trackers.values() if call == "start" else ():
            getattr(tracker, call)(*values)

    monkeypatch.setattr(tracking.Tracking, "_each", each)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        tracked("tensorboard", tmp_path / "file", refit=False, epochs=1)


def test_a_reason_holds_no_secret(monkeypatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    error = RuntimeError(f"no answer from https://me:pass@host/x with {KEY}\nand more")
    assert tracking.reason_of(error) == "RuntimeError: no answer from https://host/x with ***"


def test_no_tracker_is_loaded_before_it_is_used() -> None:
    asks = "import sys, segue.training.trackers; print({'wandb', 'mlflow', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
