"""Forgetting a person in an artefact: no file names them, and nothing else has changed."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue import artefacts
from segue.cautions import ColdUsers
from segue.errors import ArtefactCorrupt, ArtefactForeign, ArtefactNotFound, ArtefactNotWritten
from segue.recommenders import forgetting
from segue.recommenders.base import Recommender
from segue.recommenders.forgetting import forget_user, knows_user

USER = "person-7f3a91"


def renamed(log: pl.DataFrame) -> pl.DataFrame:
    return log.with_columns(pl.col("user_id").replace({"u3": USER}))


@pytest.fixture(scope="module", params=["Popular", "ALS", "SequenceRecommender"])
def saved(request: pytest.FixtureRequest, log: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    split = segue.split.leave_last_out(segue.Dataset.from_frames(renamed(log)))
    kind = {"Popular": segue.Popular, "ALS": segue.ALS, "SequenceRecommender": segue.SequenceRecommender}[request.param]
    settings: dict[str, Any] = {"SequenceRecommender": {"epochs": 1, "embedding_size": 8}, "ALS": {"epochs": 1}}
    model = kind(**settings.get(request.param, {})).fit(split.train, progress=False)
    path = tmp_path_factory.mktemp("model") / "model"
    model.save(path, test=split.test)
    return path


@pytest.fixture
def path(saved: Path, tmp_path: Path) -> Path:
    model, test = segue_with_test(saved)
    model.save(tmp_path / "model", test=test)
    return tmp_path / "model"


def segue_with_test(path: Path) -> tuple[Recommender, Any]:
    from segue.recommenders.store import load_with_test

    return load_with_test(path)


def named_in(path: Path, name: str) -> list[str]:
    """Files of a folder that hold a name, in their bytes or in what Parquet unpacks to."""
    found = []
    for file in path.iterdir():
        content = file.read_bytes()
        if file.suffix == ".parquet":
            table = pl.read_parquet(io.BytesIO(content))
            content += json.dumps(table.cast(pl.String, strict=False).to_dicts(), default=str).encode()
        if name.encode() in content:
            found.append(file.name)
    return found


def test_no_file_names_a_person_who_was_forgotten(path: Path) -> None:
    assert knows_user(path, USER)
    assert named_in(path, USER)
    assert forget_user(path, USER) is True
    assert named_in(path, USER) == []
    assert not knows_user(path, USER)


def test_their_history_and_their_part_of_the_test_are_gone_and_all_others_stay(path: Path) -> None:
    before, test = segue_with_test(path)
    code = before.user_vocabulary.code_of(USER)
    forget_user(path, USER)
    after, left = segue_with_test(path)
    assert len(after.histories.row(code)) == 0 < len(before.histories.row(code))
    others = [row for row in range(len(before.histories)) if row != code]
    for name in ("items", "timestamps", "actions", "values"):
        one, other = before.histories.take(np.array(others)), after.histories.take(np.array(others))
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    ids = before.user_vocabulary.ids.to_list()
    assert [new for old, new in zip(ids, after.user_vocabulary.ids, strict=True) if old != USER] == [
        old for old in ids if old != USER
    ]
    assert code in test.users
    assert code not in left.users
    assert len(left.users) == len(test.users) - 1


def test_others_get_the_same_answers_and_the_person_those_of_a_stranger(path: Path) -> None:
    before = segue.load(path)
    forget_user(path, USER)
    after = segue.load(path)
    known = [user for user in before.user_vocabulary.ids if user != USER][:5]
    assert after.recommend(known, progress=False).equals(before.recommend(known, progress=False))
    with pytest.warns(ColdUsers):
        stranger = after.recommend([USER], progress=False)
    with pytest.warns(ColdUsers):
        nobody = after.recommend(["nobody"], progress=False)
    assert stranger["item_id"].equals(nobody["item_id"])


def test_parts_that_name_nobody_are_kept_byte_for_byte(path: Path) -> None:
    before = artefacts.read(path)
    forget_user(path, USER)
    after = artefacts.read(path)
    changed = {"user_ids", "histories", "test_targets", "test_context"}
    assert set(after.names) == set(before.names)
    for name in set(before.names) - changed:
        assert after.manifest["files"][name] == before.manifest["files"][name]
    assert (after.manifest["class"], after.manifest["config"]) == (before.manifest["class"], before.manifest["config"])


def test_a_person_it_does_not_know_changes_nothing(path: Path) -> None:
    before = (path / "manifest.json").read_bytes()
    assert forget_user(path, "nobody") is False
    assert (path / "manifest.json").read_bytes() == before


def test_files_that_a_crash_left_go_with_the_next_call(path: Path) -> None:
    leftover = next(file for file in path.iterdir() if file.name.startswith("user_ids"))
    name, content = leftover.name, leftover.read_bytes()
    forget_user(path, USER)
    (path / name).write_bytes(content)
    assert named_in(path, USER)
    forget_user(path, USER)
    assert named_in(path, USER) == []
    segue.load(path)


def test_a_disk_that_refuses_leaves_the_artefact_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = {file.name: file.read_bytes() for file in path.iterdir()}
    monkeypatch.setattr(artefacts, "_write_synced", full)
    with pytest.raises(ArtefactNotWritten):
        forget_user(path, USER)
    assert {file.name: file.read_bytes() for file in path.iterdir()} == before


@pytest.mark.parametrize("kind", [pl.Int64, pl.UInt8, pl.Int8])
def test_whole_numbers_are_forgotten_for_one_that_nobody_has(tmp_path: Path, kind: Any) -> None:
    log = pl.DataFrame({"user_id": [1, 1, 2, 3], "item_id": ["a", "b", "a", "b"], "timestamp": [1, 2, 3, 4]})
    model = segue.Popular().fit(segue.Dataset.from_frames(log.with_columns(pl.col("user_id").cast(kind))))
    model.save(tmp_path / "model")
    assert not knows_user(tmp_path / "model", "02")
    assert forget_user(tmp_path / "model", "2")
    ids = segue.load(tmp_path / "model").user_vocabulary.ids
    assert ids.dtype == model.user_vocabulary.ids.dtype
    assert ids.is_unique().all()
    assert set(ids) >= {1, 3}
    assert 2 not in set(ids)


def test_what_is_no_recommender_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactNotFound):
        forget_user(tmp_path / "none", USER)
    with artefacts.writing(tmp_path / "other", "Other") as writer:
        writer.document("facts", {})
    with pytest.raises(ArtefactForeign):
        forget_user(tmp_path / "other", USER)


def forgetting_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two threads forget two people, and each waits for the other to have read before it writes; who is known after."""
    both, read = threading.Barrier(2), forgetting._read

    def slowly(place: Path) -> artefacts.Reader:
        artefact = read(place)
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(0.3)
        return artefact

    with monkeypatch.context() as patched:
        patched.setattr(forgetting, "_read", slowly)
        threads = [threading.Thread(target=forget_user, args=(path, user)) for user in (USER, "u4")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [user for user in (USER, "u4") if knows_user(path, user)]


def test_two_who_are_forgotten_at_once_are_both_forgotten(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert forgetting_at_once(path, monkeypatch) == []
    segue.load(path)


def test_without_having_it_alone_one_of_the_two_comes_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "_alone", lambda path: contextlib.nullcontext())
    monkeypatch.setattr(threading, "excepthook", lambda told: None)
    try:
        assert forgetting_at_once(path, monkeypatch)
    except ArtefactCorrupt:  # or the artefact is torn between the two
        return


@pytest.mark.skipif(sys.platform == "win32", reason="there threads alone are kept apart")
def test_another_process_is_waited_for(path: Path) -> None:
    program = (
        "import pathlib, sys, time; from segue.recommenders import forgetting\n"
        "with forgetting._alone(pathlib.Path(sys.argv[1])):\n    print('has it', flush=True); time.sleep(1)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"has it\n"
        began = time.perf_counter()
        assert forget_user(path, USER)
        assert time.perf_counter() - began > 0.5


def test_several_are_forgotten_in_one_rewriting(path: Path) -> None:
    before, _ = segue_with_test(path)
    assert forgetting.forget_users(path, {USER, "u4"}.__contains__)
    assert not forgetting.forget_users(path, {USER, "u4"}.__contains__)
    after, _ = segue_with_test(path)
    gone = [before.user_vocabulary.code_of(user) for user in (USER, "u4")]
    others = np.setdiff1d(np.arange(len(before.histories)), gone)
    assert (after.histories.lengths[gone] == 0).all()
    np.testing.assert_array_equal(after.histories.take(others).items, before.histories.take(others).items)
    assert named_in(path, USER) == []
