"""The cache of vectors: what is damaged is made anew, what is too much goes, and two writers lose nothing."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.cautions import VectorsNotKept
from segue.language import vectors as disk

SIZE = 4


def some(first: int, count: int) -> tuple[list[bytes], np.ndarray]:
    keys = [disk.key_of(np.array([number])) for number in range(first, first + count)]
    return keys, np.arange(first, first + count, dtype=np.float32)[:, None].repeat(SIZE, 1)


def recalled(folder: Path, keys: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    into = np.full((len(keys), SIZE), -1, dtype=np.float32)
    return disk.recall(folder, keys, into), into


@given(st.lists(st.integers(0, 60), max_size=30))
def test_what_was_kept_is_recalled_and_the_rest_is_left(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[int]
) -> None:
    folder = tmp_path_factory.getbasetemp() / "law" / "model"
    disk.keep(folder, *some(0, 20))
    disk.keep(folder, *some(20, 20))
    wanted = list(dict.fromkeys(wanted))
    known, found = recalled(folder, [disk.key_of(np.array([number])) for number in wanted])
    assert known.tolist() == [number < 40 for number in wanted]
    assert found[:, 0].tolist() == [number if number < 40 else -1 for number in wanted]


@pytest.mark.parametrize("damage", ["flipped", "cut", "empty", "renamed"])
def test_a_damaged_file_is_removed_and_its_vectors_are_not_known(damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    disk.keep(folder, *some(0, 5))
    (file,) = folder.iterdir()
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    changed = {"flipped": bytes(content), "cut": bytes(content[:40]), "empty": b""}
    if damage == "renamed":
        file = file.rename(folder / f"{'0' * 64}.safetensors")
    else:
        file.write_bytes(changed[damage])
    known, found = recalled(folder, some(0, 5)[0])
    assert not known.any()
    assert (found == -1).all()
    assert not file.exists()
    disk.keep(folder, *some(0, 5))
    assert recalled(folder, some(0, 5)[0])[0].all()


def test_vectors_of_another_size_are_not_taken(tmp_path: Path) -> None:
    keys, vectors = some(0, 5)
    disk.keep(tmp_path / "model", keys, vectors[:, :2])
    assert not recalled(tmp_path / "model", keys)[0].any()


def test_writers_beside_each_other_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: disk.keep(folder, *some(3 * n, 3)), range(12)))
    known, found = recalled(folder, some(0, 36)[0])
    assert known.all()
    assert found[:, 0].tolist() == list(range(36))


def test_many_files_become_one(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    for number in range(20):
        disk.keep(folder, *some(number, 1))
    assert len(list(folder.iterdir())) < 17
    assert recalled(folder, some(0, 20)[0])[0].all()


def test_what_was_not_used_for_the_longest_time_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, age in (("old", 200), ("used", 300), ("new", 100)):
        disk.keep(tmp_path / name, *some(0, 100))
        (file,) = (tmp_path / name).iterdir()
        os.utime(file, (time.time() - age, time.time() - age))
    assert recalled(tmp_path / "used", some(0, 100)[0])[0].all()
    size = file.stat().st_size
    monkeypatch.setattr(disk, "LIMIT", int(3.5 * size))
    disk.keep(tmp_path / "last", *some(0, 100))
    assert not list((tmp_path / "old").iterdir())
    assert all(list((tmp_path / name).iterdir()) for name in ("used", "new", "last"))


def test_what_a_killed_process_left_goes_after_an_hour(tmp_path: Path) -> None:
    disk.keep(tmp_path / "model", *some(0, 1))
    for name, age in ((".old.tmp", 4_000), (".new.tmp", 5)):
        (tmp_path / "model" / name).write_bytes(b"half")
        os.utime(tmp_path / "model" / name, (time.time() - age, time.time() - age))
    disk.keep(tmp_path / "model", *some(1, 1))
    assert {file.name for file in (tmp_path / "model").glob(".*")} == {".new.tmp"}


def test_a_disk_that_takes_nothing_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "model").write_text("in the way")
    with pytest.warns(VectorsNotKept, match="were not kept"):
        disk.keep(tmp_path / "model", *some(0, 1))
    assert not recalled(tmp_path / "model", some(0, 1)[0])[0].any()
