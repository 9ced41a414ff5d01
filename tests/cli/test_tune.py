"""``segue tune`` as a user meets it, and what ``segue train`` says of tracking."""

from __future__ import annotations

import json
import tomllib

import pytest

from tests.cli.test_verbs import TINY, refused, segue

EASE = ("--recommender", "EASE", "--trials", "3", "-q")


@pytest.fixture(scope="module")
def events(log, tmp_path_factory):
    path = tmp_path_factory.mktemp("tune") / "events.csv"
    log.write_csv(path)
    return path


def test_the_best_settings_go_from_tune_to_train(events, tmp_path):
    best = tmp_path / "out" / "best.toml"
    cleaning = ("--set", "cleaning.min_user_events=6")
    done = segue("tune", events, "--out", best, "--report", tmp_path / "page.html", *cleaning, *EASE)
    assert done.returncode == 0, done.stderr
    assert "Next: segue train" in done.stdout
    assert "</html>" in (tmp_path / "page.html").read_text()
    written = tomllib.loads(best.read_text())
    assert written["recommender"] == "EASE"
    assert written["cleaning"] == {"min_user_events": 6}
    trained = segue("train", events, "--config", best, "--out", tmp_path / "model")
    assert trained.returncode == 0, trained.stderr
    config = json.loads((tmp_path / "model" / "manifest.json").read_text())["config"]
    assert config["regularisation"] == written["settings"]["regularisation"]
    assert "user below the k-core" in trained.stdout


def test_the_space_of_a_file_is_searched_and_the_study_goes_on(events, tmp_path):
    (tmp_path / "c.toml").write_text(
        "[settings]\nepochs = 2\nblocks = 1\n[space]\nembedding_size = [8, 16]\n"
        "learning_rate = {low = 1e-3, high = 1e-2, log = true}\n"
    )
    command = ("tune", events, "--out", tmp_path / "b.toml", "--config", tmp_path / "c.toml", "--quiet")
    first = segue(*command, "--trials", "1")
    assert first.returncode == 0, first.stderr
    again = segue(*command, "--trials", "2", "--study-db", tmp_path / "b.db")
    assert again.returncode == 0, again.stderr
    settings = tomllib.loads((tmp_path / "b.toml").read_text())["settings"]
    assert settings["epochs"] == 2
    assert settings["embedding_size"] in (8, 16)
    refused(segue(*command, "--seed", "4"), "T003", "b.db", "another settings")


def test_mistakes_end_in_one_message(events, tmp_path):
    out = ("--out", tmp_path / "b.toml")
    (tmp_path / "text.db").write_text("no database" * 200)
    (tmp_path / "c.toml").write_text("space = 3\n")
    (tmp_path / "d.toml").write_text("[space]\nregularisation = [-1.0]\n")
    refused(segue("tune", events, *out, "--study-db", tmp_path / "text.db", *EASE), "T001", "text.db", "not a database")
    refused(segue("tune", events, *out, "--recommender", "Popular"), "T005", "Popular")
    refused(segue("tune", events, *out, "--split", "none", *EASE), "T006", "validation")
    refused(segue("tune", events, *out, "--config", tmp_path / "c.toml", *EASE), "C002", "space")
    refused(segue("tune", events, *out, "--config", tmp_path / "d.toml", *EASE), "C002", "regularisation")
    refused(segue("tune", events, *out, "--metric", "ndcg", *EASE), "E001", "ndcg@10")
    refused(segue("tune", events, *out, "--timeout", "0", *EASE), "T004", "None of the 0 trials")
    assert not (tmp_path / "b.toml").exists()


def test_an_interrupt_says_how_to_go_on(events, tmp_path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segue.tuning.work._ranked", interrupt)
    done = segue("tune", events, "--out", tmp_path / "b.toml", *EASE)
    assert done.returncode == 130
    assert "b.db; the same command goes on" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_help_shows_an_example_and_loads_no_optuna():
    done = segue("tune", "--help")
    assert done.returncode == 0
    assert "segue tune" in done.stdout


def test_training_is_tracked_beside_the_model_unless_told_otherwise(events, tmp_path):
    assert segue("train", events, "--out", tmp_path / "m" / "x", *TINY).returncode == 0
    assert sorted(path.name for path in (tmp_path / "m" / "runs" / "x").iterdir()) == ["refit", "search"]
    assert segue("train", events, "--out", tmp_path / "n" / "x", "--tracker", "none", *TINY).returncode == 0
    assert [path.name for path in (tmp_path / "n").iterdir()] == ["x"]
    there = ("--log-dir", tmp_path / "logs")
    assert segue("train", events, "--out", tmp_path / "n" / "x", *there, *TINY).returncode == 0
    assert (tmp_path / "logs" / "search").is_dir()
    refused(segue("train", events, "--out", tmp_path / "y", "--tracker", "tensorbord"), "C001", "tensorboard")


def test_a_tracker_that_cannot_be_reached_is_a_note(events, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    done = segue("train", events, "--out", tmp_path / "x", "--tracker", "mlflow", *TINY)
    assert done.returncode == 0, done.stderr
    assert "note: The tracker mlflow does not work" in done.stderr
    assert "Saved SequenceRecommender" in done.stdout
