"""Studies on disk: what is refused, and which trials count."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import optuna
import pytest

from segue.errors import StudyForeign, StudyNotReadable, StudyVersion
from segue.tuning import study as studies
from segue.tuning.study import open_study, url_of

ABOUT = {"recommender": "EASE", "space": {"regularisation": [1.0, 2.0]}, "seed": 0}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("study") / "study.db"
    open_study(url_of(path), "segue", ABOUT, 0, {})
    return path


@pytest.fixture
def database(made, tmp_path) -> Path:
    return Path(shutil.copy(made, tmp_path / "study.db"))


def opened(path: Path, about: object = ABOUT, name: str = "segue") -> optuna.Study:
    return open_study(url_of(path), name, about, 0, {})  # type: ignore[arg-type]


def schema(path: Path, version: str) -> None:
    with sqlite3.connect(path) as file:
        file.execute("UPDATE alembic_version SET version_num = ?", (version,))
    file.close()


def test_a_study_is_opened_again(database) -> None:
    trial = opened(database).ask()
    assert [each.number for each in opened(database).trials] == [trial.number]


def test_a_study_of_something_else_is_refused(database) -> None:
    with pytest.raises(StudyForeign, match="another recommender"):
        opened(database, {**ABOUT, "recommender": "ALS"})
    with pytest.raises(StudyForeign, match="another space"):
        opened(database, {**ABOUT, "space": {"regularisation": [1.0]}})
    opened(database, {**ABOUT, "recommender": "ALS"}, name="other")  # beside it there is room


def test_a_study_that_segue_did_not_make_is_refused(database) -> None:
    theirs = optuna.create_study(storage=url_of(database), study_name="theirs")
    theirs.ask()
    with pytest.raises(StudyForeign, match="did not make"):
        opened(database, name="theirs")


def test_a_database_of_a_newer_optuna_is_refused_with_the_remedy(database) -> None:
    schema(database, "v99.0.0.a")
    before = database.read_bytes()
    with pytest.raises(StudyVersion, match=r"v99\.0\.0\.a.*Upgrade optuna"):
        opened(database)
    assert database.read_bytes() == before


def test_a_database_of_an_older_optuna_can_be_upgraded(database) -> None:
    schema(database, "v3.0.0.d")
    with pytest.raises(StudyVersion, match="optuna storage upgrade --storage sqlite:///"):
        opened(database)


@pytest.mark.parametrize("content", [b"no database at all\n" * 100, b"SQLite format 3\x00" + b"\xff" * 500])
def test_a_file_that_is_no_database_is_refused_and_left(tmp_path, content) -> None:
    path = tmp_path / "study.db"
    path.write_bytes(content)
    with pytest.raises(StudyNotReadable, match=r"study\.db"):
        opened(path)
    assert path.read_bytes() == content


def test_a_cut_database_is_refused(database) -> None:
    database.write_bytes(database.read_bytes()[:6000])
    with pytest.raises(StudyNotReadable, match=r"study\.db"):
        opened(database)


def test_a_database_of_something_else_is_refused_and_gets_no_tables(tmp_path) -> None:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as file:
        file.execute("CREATE TABLE customers (id INTEGER)")
    file.close()
    with pytest.raises(StudyNotReadable, match="customers"):
        opened(path)
    with sqlite3.connect(path) as file:
        assert file.execute("SELECT count(*) FROM sqlite_master").fetchone() == (1,)
    file.close()


def test_a_place_that_cannot_be_is_refused(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file" / "study.db", tmp_path):
        with pytest.raises(StudyNotReadable):
            opened(path)
    with pytest.raises(StudyNotReadable):
        open_study("nonsense://x", "segue", ABOUT, 0, {})


def test_no_password_of_a_database_is_shown() -> None:
    assert studies.path_of("postgresql://me:secret@host/db") == "postgresql://host/db"


def test_a_trial_whose_process_is_gone_does_not_count() -> None:
    study = open_study(None, "segue", ABOUT, 0, {})
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    host = studies.this_process().split()[0]
    for process in (studies.this_process(), f"{host} {gone.pid} 1", f"{host} {os.getpid()} 1", "elsewhere 1 1"):
        study.ask().set_user_attr(studies.PROCESS, process)
    studies.bury(study)
    assert [trial.number for trial in studies.counted(study)] == [0, 3]


def test_a_trial_that_failed_for_a_reason_of_its_own_counts() -> None:
    study = open_study(None, "segue", ABOUT, 0, {})
    trial = study.ask()
    trial.set_user_attr(studies.ERROR, "diverged")
    study.tell(trial, state=optuna.trial.TrialState.FAIL)
    assert len(studies.counted(study)) == 1


def test_what_a_place_tries_does_not_depend_on_attempts_given_up() -> None:
    def proposals(give_up: set[int]) -> list[float]:
        study = open_study(None, "segue", ABOUT, 3, {"x": 0.25})
        tried = []
        while len(tried) < 14:
            trial = study.ask()
            x = trial.suggest_float("x", 0, 1)
            if trial.number in give_up:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                continue
            tried.append(x)
            study.tell(trial, -((x - 0.7) ** 2))
        return tried

    whole = proposals(set())
    assert whole[0] == 0.25
    assert len(set(whole)) == 14
    assert proposals({0, 5, 12, 13}) == whole
