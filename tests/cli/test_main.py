"""What the command does on the edges: Ctrl-C and --resume, a closed pipe, text that looks like markup, no verb."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from segue.cli.shared import column_map
from segue.errors import ArtefactNotWritten, ConfigSet
from tests.cli.test_verbs import Done, refused, segue

SETTINGS = ("--set", "embedding_size=8", "--set", "blocks=1", "--set", "epochs=3", "--set", "batch_tokens=256")
# Ctrl-C as a person presses it: a real SIGINT, in the middle of an epoch.
INTERRUPTED = """
import os, signal, sys
from segue.training.task import NextItemTask
step, count = NextItemTask.training_step, 0

def watched(self, *args):
    global count
    count += 1
    if count == 7:
        os.kill(os.getpid(), signal.SIGINT)
    return step(self, *args)

NextItemTask.training_step = watched
from segue.cli.main import run
run()
"""


def weights(model: Path) -> str:
    return str(json.loads((model / "manifest.json").read_text())["files"]["weights"]["sha256"])


def test_ctrl_c_ends_in_one_line_and_resume_gives_the_model_of_an_uninterrupted_run(
    log: pl.DataFrame, tmp_path: Path
) -> None:
    log.write_csv(tmp_path / "events.csv")
    train = ["train", tmp_path / "events.csv", "--quiet", *SETTINGS]
    assert segue(*train, "--out", tmp_path / "whole").returncode == 0
    command = [sys.executable, "-c", INTERRUPTED, *map(str, train), "--out", str(tmp_path / "model")]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ended.returncode == 130, ended.stderr
    assert "Interrupted" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "model").exists()
    assert segue(*train, "--out", tmp_path / "model", "--resume").returncode == 0
    assert weights(tmp_path / "model") == weights(tmp_path / "whole")
    assert {each.name for each in tmp_path.iterdir()} == {"events.csv", "whole", "model", "runs"}


def test_a_training_whose_model_could_not_be_saved_is_not_lost(log: pl.DataFrame, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise ArtefactNotWritten(path=tmp_path / "model", reason="No space left on device")

    log.write_csv(tmp_path / "events.csv")
    train = ["train", tmp_path / "events.csv", "--quiet", *SETTINGS]
    assert segue(*train, "--out", tmp_path / "whole").returncode == 0
    out = ["--out", tmp_path / "model"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segue.recommenders.sequence.SequenceRecommender._save", full)
        refused(segue(*train, *out), "A006", "No space left")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segue.training.task.NextItemTask.training_step", _never)
        assert segue(*train, *out, "--resume").returncode == 0
    assert weights(tmp_path / "model") == weights(tmp_path / "whole")
    assert {each.name for each in tmp_path.iterdir()} == {"events.csv", "whole", "model", "runs"}


def _never(*_: object) -> None:
    raise AssertionError("it trains again")


def test_resuming_on_another_log_is_refused(log: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write_csv(tmp_path / "events.csv")
    train = ["train", tmp_path / "events.csv", "--quiet", *SETTINGS, "--out", tmp_path / "model"]
    with monkeypatch.context() as patch:
        patch.setattr("segue.training.task.NextItemTask.validation_step", _interrupt_second())
        assert segue(*train).returncode == 130
    log.head(700).write_csv(tmp_path / "events.csv")
    refused(segue(*train, "--resume"), "R006", "other data, settings or seed")


def _interrupt_second():  # type: ignore[no-untyped-def]
    from segue.training.task import NextItemTask

    step, calls = NextItemTask.validation_step, []

    def watched(self, *args):  # type: ignore[no-untyped-def]
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        step(self, *args)

    return watched


def test_ctrl_c_works_again_after_a_training_was_interrupted(log: pl.DataFrame, tmp_path: Path) -> None:
    log.write_csv(tmp_path / "events.csv")
    before = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segue.training.task.NextItemTask.validation_step", _interrupt_second())
        done = segue("train", tmp_path / "events.csv", *SETTINGS, "--out", tmp_path / "model")
    assert done.returncode == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_a_reader_that_stops_reading_is_no_error(log: pl.DataFrame, tmp_path: Path) -> None:
    log.write_csv(tmp_path / "events.csv")
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "segue.cli.main", "inspect", str(tmp_path / "events.csv")]
    command[1:3] = ["-c", "from segue.cli.main import run; run()"]
    with os.fdopen(write, "w") as closed:
        ended = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert "Traceback" not in ended.stderr
    assert "BrokenPipe" not in ended.stderr


def test_what_looks_like_markup_is_printed_as_it_is(log: pl.DataFrame, tmp_path: Path) -> None:
    folder = tmp_path / "[bold]shop"
    folder.mkdir()
    log.with_columns(pl.format("[red]{}", "item_id").alias("item_id")).write_csv(folder / "events.csv")
    done = segue("train", folder / "events.csv", "--out", folder / "[red]model", "--recommender", "Popular")
    assert done.returncode == 0, done.stderr
    assert f"to {folder}/[red]model" in done.stdout
    listed = segue("recommend", folder / "[red]model", "--users", "u1,[nobody]", "-k", "2")
    assert listed.returncode == 0, listed.stderr
    assert "[red]i" in listed.stdout
    assert "[nobody]" in listed.stdout
    refused(segue("evaluate", folder / "[none]"), "A001", "[none]")


def test_no_verb_shows_the_help_and_the_version_is_told() -> None:
    assert "Usage" in segue().stdout + segue().stderr
    assert segue("--version").stdout.startswith("segue ")


def test_an_unknown_verb_or_option_ends_with_code_two() -> None:
    for arguments in (["tain"], ["train", "--ot", "x"]):
        done: Done = segue(*arguments)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_models_on_different_tests_are_not_compared(log: pl.DataFrame, tmp_path: Path) -> None:
    log.write_csv(tmp_path / "events.csv")
    for name, split in (("one", "leave-last-out"), ("two", "by-time")):
        done = segue(
            "train", tmp_path / "events.csv", "--out", tmp_path / name, "--recommender", "Popular", "--split", split
        )
        assert done.returncode == 0, done.stderr
    refused(segue("compare", tmp_path / "one", tmp_path / "two"), "E003")


def test_a_damaged_model_is_refused_by_name(log: pl.DataFrame, tmp_path: Path) -> None:
    log.write_csv(tmp_path / "events.csv")
    assert segue("train", tmp_path / "events.csv", "--out", tmp_path / "m", "--recommender", "Popular").returncode == 0
    scores = next((tmp_path / "m").glob("scores.*"))
    scores.write_bytes(scores.read_bytes()[:-1])
    for verb in (["evaluate", tmp_path / "m"], ["recommend", tmp_path / "m", "--users", "u1"]):
        refused(segue(*verb), "A002", "SHA-256")


@pytest.mark.parametrize("text", ["user_id", "user_id=", "=uid", "nothing=x", "user_id=a,,item_id=b"])
def test_columns_that_cannot_be_read_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigSet, match="--columns user_id=uid"):
        column_map(text)


def test_columns_are_read_as_ours_equals_yours() -> None:
    assert column_map("user_id=uid,timestamp=when=utc") == {"user_id": "uid", "timestamp": "when=utc"}
    assert column_map("user_id=uid, item_id=sku") == {"user_id": "uid", "item_id": "sku"}
    assert column_map(None) is None
