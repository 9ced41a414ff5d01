"""A search: what it finds, what it never looks at, and that kills and company do not change it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import segue
from segue.errors import ConfigValue, MetricUnknown, NothingToTuneOn, NoTrialFinished, StudyForeign, TrainingDiverged
from segue.recommenders.ease import EASE
from segue.tuning.tune import tune
from tests.training.runs import FULL

FAST: dict[str, Any] = {**FULL, "epochs": 4, "batch_tokens": 512}
RATES = {"learning_rate": {"low": 1e-4, "high": 3e-2, "log": True}}
SHRINK = {"shrink": {"low": 0.0, "high": 100.0}, "last": {"low": 1, "high": 30}}


def neighbours(split: segue.Split, trials: int = 6, **options: Any) -> segue.TuningResult:
    return tune(split, recommender="ItemNeighbours", trials=trials, space=SHRINK, progress=False, **options)


def proposals(result: segue.TuningResult) -> pl.DataFrame:
    return result.table.select("trial", "value", "shrink", "last")


@pytest.fixture(scope="module")
def sequence(split) -> segue.TuningResult:
    return tune(split, settings=FAST, space=RATES, trials=9, progress=False, device="cpu", threads=1)


def test_the_best_settings_fit_and_are_as_good_as_said(split, sequence) -> None:
    model = segue.SequenceRecommender(**sequence.settings)
    model.fit(split.train, split.validation, progress=False, device="cpu", threads=1)
    assert model.report["training"]["best_validation"] == pytest.approx(sequence.best_value, abs=1e-6)
    assert sequence.settings == {**FAST, **sequence.found}
    assert sequence.best_value == sequence.table.filter(pl.col("state") == "finished")["value"].max()


def test_the_first_trial_has_the_settings_there_would_be_without_a_search(split, sequence) -> None:
    assert sequence.table["learning_rate"][0] == 2e-3
    assert neighbours(split, 1).found == {"shrink": 10.0, "last": 20}


def test_hopeless_trials_end_early_and_the_others_run_through(sequence) -> None:
    table = sequence.table
    assert (table.filter(pl.col("state") == "finished")["epochs_run"] == FAST["epochs"]).all()
    assert set(table["state"]) <= {"finished", "pruned"}


def test_a_trial_that_others_beat_is_pruned_with_its_training_ended(split, monkeypatch) -> None:
    told = []
    monkeypatch.setattr("optuna.trial.Trial.should_prune", lambda trial: told.append(trial.number) or trial.number == 1)
    result = tune(split, settings=FAST, space=RATES, trials=2, progress=False, device="cpu", threads=1)
    assert result.table["state"].to_list() == ["finished", "pruned"]
    assert result.table["epochs_run"].to_list() == [4, 1]
    assert told == [0, 0, 0, 0, 1]


def test_the_test_is_never_read(split) -> None:
    class Poison:
        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"the test was asked for {name}")

    poisoned = segue.Split(split.train, split.validation, split.test, split.kind)
    object.__setattr__(poisoned, "test", Poison())
    with pytest.raises(AssertionError):  # the poison works
        poisoned.test.targets  # noqa: B018
    assert proposals(neighbours(poisoned)).equals(proposals(neighbours(split)))
    tune(poisoned, settings=FAST, space=RATES, trials=1, progress=False, device="cpu", threads=1)


def test_without_train_or_validation_there_is_no_search(split) -> None:
    for data, validation in ((split.train, None), (split, split.test), (split.test, split.validation), (None, None)):
        with pytest.raises(NothingToTuneOn):
            neighbours(data, validation=validation)


def test_one_seed_makes_one_search_and_another_makes_another(split) -> None:
    first, again, other = neighbours(split), neighbours(split), neighbours(split, seed=1)
    assert proposals(first).equals(proposals(again))
    assert not proposals(first).equals(proposals(other))


def test_a_study_on_disk_goes_on_to_the_number_of_trials_asked_for(split, tmp_path) -> None:
    store = tmp_path / "new folder" / "study.db"
    part = neighbours(split, 3, storage=store)
    assert part.table.height == 3
    whole = neighbours(split, 8, storage=store)
    assert proposals(whole).equals(proposals(neighbours(split, 8)))
    assert proposals(neighbours(split, 8, storage=f"sqlite:///{store}")).equals(proposals(whole))
    with pytest.raises(StudyForeign, match="another seed"):
        neighbours(split, 8, storage=store, seed=5)
    with pytest.raises(StudyForeign, match="another data"):
        neighbours(segue.split.by_time(split.test.all), 8, storage=store)


CHILD = """
import os, signal, sys
import segue
from segue.tuning import work
from segue.tuning.tune import tune
from tests.conftest import make_log

SHRINK = {"shrink": {"low": 0.0, "high": 100.0}, "last": {"low": 1, "high": 30}}
store, trials, kill, pause = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
ranked, asked = work._ranked, []

def watched(model, search):
    import time
    asked.append(1)
    time.sleep(pause)
    if len(asked) == kill:
        os.kill(os.getpid(), signal.SIGKILL)
    return ranked(model, search)

work._ranked = watched
split = segue.split.leave_last_out(segue.Dataset.from_frames(make_log()))
tune(split, recommender="ItemNeighbours", space=SHRINK, trials=trials, storage=store, progress=False)
assert "torch" not in sys.modules
print(len(asked))
"""


def child(store: Path, trials: int, kill: int = 0, pause: float = 0.0) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", CHILD, str(store), str(trials), str(kill), str(pause)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_search_that_was_killed_goes_on_as_if_it_had_not_been(split, tmp_path) -> None:
    killed = child(tmp_path / "study.db", 7, kill=4)
    _, errors = killed.communicate(timeout=100)
    assert killed.returncode == -signal.SIGKILL, errors
    without_catalogue = segue.split.leave_last_out(segue.Dataset.from_frames(log_of()))
    result = neighbours(without_catalogue, 7, storage=tmp_path / "study.db")
    assert proposals(result).equals(proposals(neighbours(without_catalogue, 7)))


def log_of() -> pl.DataFrame:
    from tests.conftest import make_log

    return make_log()


def test_two_processes_share_a_study_and_stop_together(tmp_path) -> None:
    store = tmp_path / "study.db"
    both = [child(store, 12, pause=0.2) for _ in range(2)]
    ran = []
    for process in both:
        out, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors
        ran.append(int(out))
    assert min(ran) >= 1
    assert sum(ran) == 12
    result = neighbours(segue.split.leave_last_out(segue.Dataset.from_frames(log_of())), 12, storage=store)
    assert result.table["trial"].to_list() == list(range(1, 13))
    assert set(result.table["state"]) == {"finished"}


def test_jobs_are_processes_of_one_search(split) -> None:
    result = neighbours(split, 4, jobs=2)
    assert result.table["state"].to_list() == ["finished"] * 4


def test_an_interrupt_leaves_a_study_that_goes_on(split, tmp_path, monkeypatch) -> None:
    from segue.tuning import work

    ranked, asked = work._ranked, []

    def interrupted(*arguments: Any) -> float:
        asked.append(1)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return ranked(*arguments)

    monkeypatch.setattr(work, "_ranked", interrupted)
    with pytest.raises(KeyboardInterrupt):
        neighbours(split, storage=tmp_path / "study.db")
    assert proposals(neighbours(split, storage=tmp_path / "study.db")).equals(proposals(neighbours(split)))


def test_time_runs_out_between_trials(split, monkeypatch) -> None:
    with pytest.raises(NoTrialFinished, match="None of the 0 trials"):
        neighbours(split, timeout=0.0)
    began = time.perf_counter()
    from segue.tuning import work

    ranked = work._ranked
    monkeypatch.setattr(work, "_ranked", lambda *arguments: time.sleep(0.3) or ranked(*arguments))
    assert 1 <= neighbours(split, 1000, timeout=0.5).table.height < 10
    assert time.perf_counter() - began < 20


def test_settings_that_do_not_go_together_are_a_failed_trial(split) -> None:
    space = {"heads": [2, 3], "embedding_size": [8, 9]}
    fixed = {name: value for name, value in FAST.items() if name != "embedding_size"}
    result = tune(split, settings={**fixed, "epochs": 1}, space=space, trials=6, progress=False, threads=1)
    assert set(result.table["state"]) >= {"failed", "finished"}
    assert "multiple of heads" in result.table.drop_nulls("error")["error"][0]
    assert result.found["embedding_size"] % result.found["heads"] == 0


def test_a_search_in_which_every_trial_fails_says_why(split, monkeypatch) -> None:
    def diverge(self: Any, *_: Any, **__: Any) -> None:
        raise TrainingDiverged(value=float("nan"), step=7)

    monkeypatch.setattr(segue.SequenceRecommender, "_fit", diverge)
    with pytest.raises(NoTrialFinished, match=r"None of the 2 trials.*diverged"):
        tune(split, settings=FAST, space=RATES, trials=2, progress=False)


def test_values_that_cannot_be_are_refused(split) -> None:
    for name in ("trials", "jobs"):
        for value in (0, -1, 1.5, True):
            with pytest.raises(ConfigValue, match=name):
                neighbours(split, **{name: value})
    with pytest.raises(MetricUnknown, match="ndcg"):
        neighbours(split, metric="ndgc@10")


def test_the_metric_asked_for_is_the_one_searched_for(split) -> None:
    result = neighbours(split, 2, metric="hit_rate@3")
    model = segue.ItemNeighbours(**result.settings).fit(split.train)
    held = segue.Holdout(split.validation.context, split.validation.targets)
    assert segue.evaluate(model, held, k=3, progress=False)["hit_rate@3"] == pytest.approx(result.best_value)


def test_a_recommender_of_ones_own_can_be_tuned(split) -> None:
    class Mine(EASE):
        pass

    result = tune(split, recommender=Mine, space={"regularisation": [1.0, 100.0]}, trials=3, progress=False)
    assert result.recommender == "Mine"
    assert result.found["regularisation"] in (1.0, 100.0)
    segue.Recommender.registry.pop("Mine")


def test_the_bar_tells_the_trials_and_the_best_value(split, monkeypatch) -> None:
    from rich.progress import Progress

    notes: list[str] = []
    update = Progress.update
    monkeypatch.setenv("SEGUE_PROGRESS", "1")
    monkeypatch.setattr(Progress, "update", lambda self, task, **f: notes.append(f["note"]) or update(self, task, **f))
    result = tune(split, recommender="ItemNeighbours", space=SHRINK, trials=2)
    assert notes[0] == "ndcg@10 no value yet"
    assert notes[-1] == f"ndcg@10 best {result.best_value:.4f}"


def test_a_study_in_which_a_trial_never_ends_would_be_seen(split, tmp_path, monkeypatch) -> None:
    """The broken twin: believing every process to be alive, a resumed search comes out one trial short."""
    killed = child(tmp_path / "study.db", 3, kill=2)
    killed.communicate(timeout=100)
    monkeypatch.setattr("segue.tuning.study._alive", lambda trial: True)
    without_catalogue = segue.split.leave_last_out(segue.Dataset.from_frames(log_of()))
    result = neighbours(without_catalogue, 3, storage=tmp_path / "study.db")
    assert result.table["state"].to_list() == ["finished", "running", "finished"]
    assert os.environ["SEGUE_PROGRESS"] == "0"
