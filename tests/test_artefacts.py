"""Artefacts: whole or not at all, every altered byte refused by name, nothing on disk runs, old ones stay readable.

The safety checks are functions of a writer or a reader, and each is also run on a broken twin, which must fail.
"""

from __future__ import annotations

import errno
import itertools
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import segue
from segue import artefacts
from segue.errors import (
    ArtefactCorrupt,
    ArtefactError,
    ArtefactForeign,
    ArtefactInTheWay,
    ArtefactNotFound,
    ArtefactNotWritten,
    ArtefactTooNew,
)
from tests.artefact_tools import Bomb, accepted, cuts, flips, forge, forge_part, naive_read, number_in, save

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses between the attempts of a read serve concurrent saves; damage does not heal by waiting."""
    monkeypatch.setattr(artefacts.time, "sleep", lambda seconds: None)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "models" / "sample"
    save(path)
    return path


def parts(path: Path) -> list[Path]:
    """The files of an artefact but for its manifest."""
    return sorted(file for file in path.iterdir() if file.name != artefacts.MANIFEST)


# -- what goes in comes out --------------------------------------------------------------------------------------


def test_what_was_saved_is_read_back(saved: Path) -> None:
    assert number_in(saved) == 1
    artefact = artefacts.read(saved)
    assert artefact.manifest["class"] == "Sample"
    assert artefact.document("facts")["text"] == "שלום 🎬"
    assert artefact.tensors("arrays")["y"].dtype == np.float32
    assert artefact.table("rows").columns == ["id", "n"]
    assert "rows" in artefact
    assert "nothing" not in artefact


def test_the_manifest_names_format_versions_and_every_file(saved: Path) -> None:
    manifest = json.loads((saved / artefacts.MANIFEST).read_bytes())
    assert manifest["format"] == 1
    assert manifest["versions"].keys() >= {"python", "segue", "numpy", "polars"}
    assert {entry["file"] for entry in manifest["files"].values()} == {file.name for file in parts(saved)}
    for entry in manifest["files"].values():
        content = (saved / entry["file"]).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(content), artefacts.sha256(content))


@given(
    hnp.arrays(
        st.sampled_from([np.dtype(t) for t in ("int64", "int32", "uint8", "float32", "float64", "bool")]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4),
    ),
    st.booleans(),
)
def test_arrays_of_any_shape_and_order_come_back_bit_by_bit(array: np.ndarray, fortran: bool) -> None:
    given = np.asarray(array, order="F" if fortran else "C")
    writer = artefacts.Writer()
    writer.tensors("a", {"x": given})
    found = artefacts.Reader(Path("x"), {}, {"a": writer.parts["a"][1]}).tensors("a")["x"]
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
        max_leaves=10,
    )
)  # fmt: skip
def test_documents_come_back_equal(value: Any) -> None:
    writer = artefacts.Writer()
    writer.document("d", value)
    assert artefacts.Reader(Path("x"), {}, {"d": writer.parts["d"][1]}).document("d") == value


def test_saving_the_same_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    save(tmp_path / "a")
    save(tmp_path / "b")
    left, right = ({f.name: f.read_bytes() for f in (tmp_path / name).iterdir()} for name in "ab")
    assert left == right


def test_a_new_save_replaces_the_old_and_leaves_nothing_of_it(saved: Path) -> None:
    save(saved, 2)
    assert number_in(saved) == 2
    assert len(parts(saved)) == 3
    assert [entry.name for entry in saved.parent.iterdir()] == ["sample"]


def test_an_empty_directory_is_a_fine_place(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    save(tmp_path / "empty")
    assert number_in(tmp_path / "empty") == 1


def test_an_artefact_can_be_saved_again_from_inside_its_directory(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(saved)
    save(Path(), 2)
    assert number_in(Path()) == 2
    assert [entry.name for entry in saved.parent.iterdir()] == ["sample"]


def test_a_part_that_is_not_there_is_named(saved: Path) -> None:
    with pytest.raises(ArtefactCorrupt, match="'weights'"):
        artefacts.read(saved).tensors("weights")


# -- damage --------------------------------------------------------------------------------------------------------


def test_a_flipped_byte_is_refused_by_name(saved: Path) -> None:
    assert accepted(artefacts.read, saved, flips(saved, 500)) == []
    assert number_in(saved) == 1


def test_a_truncated_file_is_refused_by_name(saved: Path) -> None:
    assert accepted(artefacts.read, saved, cuts(saved, 100)) == []
    assert number_in(saved) == 1


def test_a_reader_without_hashes_would_accept_flipped_and_cut_files(saved: Path) -> None:
    assert len(accepted(naive_read, saved, flips(saved, 100))) > 20
    assert len(accepted(naive_read, saved, cuts(saved, 40))) > 4


def test_appended_bytes_are_refused_in_every_file(saved: Path) -> None:
    damage = (
        (file.name, file, file.read_bytes() + tail) for file in sorted(saved.iterdir()) for tail in (b"\n", b"\0")
    )
    assert accepted(artefacts.read, saved, damage) == []


def test_a_missing_part_is_refused_by_its_name(saved: Path) -> None:
    for file in parts(saved):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(ArtefactCorrupt, match=f"{file.name} is missing"):
            artefacts.read(saved)
        file.write_bytes(content)


def test_a_missing_manifest_is_told_from_a_foreign_directory(saved: Path) -> None:
    (saved / artefacts.MANIFEST).unlink()
    with pytest.raises(ArtefactCorrupt, match=r"manifest\.json is missing"):
        artefacts.read(saved)


@pytest.mark.parametrize("name", ["notes.txt", "rows.parquet", "arrays.0123456789abcdef.safetensors", ".hidden"])
def test_an_extra_file_is_refused_by_its_name(saved: Path, name: str) -> None:
    (saved / name).write_text("extra")
    with pytest.raises(ArtefactCorrupt, match=name):
        artefacts.read(saved)


@pytest.mark.parametrize("name", ["folder", "arrays.0123456789abcdef.safetensors"])
def test_an_extra_directory_is_refused(saved: Path, name: str) -> None:
    (saved / name).mkdir()
    with pytest.raises(ArtefactCorrupt, match=name):
        artefacts.read(saved)


def test_swapped_files_are_refused(saved: Path) -> None:
    files = parts(saved)
    for left, right in itertools.pairwise(files):
        a, b = left.read_bytes(), right.read_bytes()
        left.write_bytes(b)
        right.write_bytes(a)
        with pytest.raises(ArtefactCorrupt):
            artefacts.read(saved)
        left.write_bytes(a)
        right.write_bytes(b)
    assert number_in(saved) == 1


def test_a_renamed_file_is_refused(saved: Path) -> None:
    for file in parts(saved):
        other = file.with_name("renamed" + file.name)
        file.rename(other)
        with pytest.raises(ArtefactCorrupt, match="missing"):
            artefacts.read(saved)
        other.rename(file)
    assert number_in(saved) == 1


def test_parts_of_another_save_do_not_pass(saved: Path, tmp_path: Path) -> None:
    save(tmp_path / "other", 2)
    shutil.copy(tmp_path / "other" / artefacts.MANIFEST, saved)
    with pytest.raises(ArtefactCorrupt):
        artefacts.read(saved)


def test_a_link_in_place_of_a_part_is_refused(saved: Path, tmp_path: Path) -> None:
    file = parts(saved)[0]
    shutil.move(file, tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtefactCorrupt, match=file.name):
        artefacts.read(saved)


def test_an_extra_link_is_refused(saved: Path) -> None:
    link = saved / ("linked" + parts(saved)[0].name)
    link.symlink_to(parts(saved)[0])
    with pytest.raises(ArtefactCorrupt, match=link.name):
        artefacts.read(saved)


@pytest.mark.parametrize("which", ["part", "manifest", "extra"])
def test_a_pipe_is_refused_and_never_waited_for(saved: Path, which: str) -> None:
    file = {"part": parts(saved)[0], "manifest": saved / artefacts.MANIFEST}.get(which, saved / f"x.{'0' * 16}.json")
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    with pytest.raises(ArtefactCorrupt):
        artefacts.read(saved)


# -- things that are no artefact -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "nothing there"),
        (lambda path: path.write_text("x"), "it is a file"),
        (lambda path: path.mkdir(), "no manifest.json"),
        (lambda path: (path.mkdir(), (path / "cat.jpg").write_text("x")), "no manifest.json"),
    ],
    ids=["nothing", "a file", "empty", "foreign"],
)
def test_what_is_no_artefact_is_named_as_such(tmp_path: Path, make: Callable[[Path], Any], reason: str) -> None:
    make(tmp_path / "x")
    with pytest.raises(ArtefactNotFound, match=reason):
        artefacts.read(tmp_path / "x")


@pytest.mark.parametrize("path", ["x" * 5_000, "a\0b"], ids=["too long", "nul"])
def test_an_impossible_path_is_an_artefact_error(path: str) -> None:
    with pytest.raises(ArtefactNotFound):
        artefacts.read(path)


def test_a_path_that_the_disk_refuses_is_not_written() -> None:
    with pytest.raises(ArtefactNotWritten, match="too long"):
        save(Path("x" * 5_000))


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("precious"),
        lambda path: (path.mkdir(), (path / "cat.jpg").write_text("precious")),
        lambda path: (path.mkdir(), (path / "manifest.json").write_text('{"name": "a web page", "icons": []}')),
        lambda path: (path.mkdir(), (path / "manifest.json").write_text("[]"), (path / "index.html").write_text("x")),
        lambda path: (path.mkdir(), (path / "manifest.json").mkdir()),
    ],
    ids=["a file", "foreign directory", "manifest of another program", "web page", "manifest is a directory"],
)
def test_what_is_not_ours_is_never_written_over(tmp_path: Path, make: Callable[[Path], Any]) -> None:
    make(tmp_path / "x")

    def picture() -> dict[str, bytes]:
        return {str(f): f.read_bytes() for f in tmp_path.rglob("*") if f.is_file()}

    before = picture()
    with pytest.raises(ArtefactInTheWay):
        save(tmp_path / "x")
    assert picture() == before


@pytest.mark.parametrize("damage", [b"", b"{", b"{}", b"\xff"])
def test_a_damaged_artefact_may_be_saved_over(saved: Path, damage: bytes) -> None:
    (saved / artefacts.MANIFEST).write_bytes(damage)
    save(saved, 2)
    assert number_in(saved) == 2


def test_an_artefact_without_parts_may_be_saved_over(tmp_path: Path) -> None:
    for number in (1, 2):
        with artefacts.writing(tmp_path / "x", "Sample", {"number": number}):
            pass
    assert artefacts.read(tmp_path / "x").manifest["config"] == {"number": 2}


def test_a_newer_format_is_refused_with_the_way_out(saved: Path) -> None:
    forge(saved, lambda manifest: manifest.update(format=2))
    with pytest.raises(ArtefactTooNew, match=r"format 2; this version reads up to 1\. Upgrade"):
        artefacts.read(saved)


def test_a_newer_format_may_look_quite_different(saved: Path) -> None:
    forge(saved, lambda manifest: manifest.update(format=3, files=["a", "b"], config=None))
    with pytest.raises(ArtefactTooNew):
        artefacts.read(saved)


def test_a_sound_artefact_of_something_else_is_foreign(saved: Path) -> None:
    with pytest.raises(ArtefactForeign, match="'Sample'"):
        segue.load(saved)


def entry_of(manifest: dict[str, Any], **changes: Any) -> None:
    manifest["files"]["rows"].update(changes)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: [1, 2],
        lambda m: "text",
        lambda m: m.update(format=0),
        lambda m: m.update(format=-1),
        lambda m: m.update(format=True),
        lambda m: m.update(format="1"),
        lambda m: m.update(format=1.0),
        lambda m: m.update(format=None),
        lambda m: {k: v for k, v in m.items() if k != "format"},
        lambda m: {k: v for k, v in m.items() if k != "class"},
        lambda m: {k: v for k, v in m.items() if k != "config"},
        lambda m: {k: v for k, v in m.items() if k != "files"},
        lambda m: m.update({"class": 5}),
        lambda m: m.update(config=[1]),
        lambda m: m.update(files=[]),
        lambda m: m.update(files=None),
        lambda m: m.update(files={"rows": None}),
        lambda m: m.update(files={"rows": 5}),
        lambda m: m.update(files={"rows": "file sha256 bytes"}),
        lambda m: m.update(files={"rows": ["file", "sha256", "bytes"]}),
        lambda m: m.update(files={"rows": {"file": "x"}}),
        lambda m: m.update(files={}),
        lambda m: entry_of(m, file="../../../etc/passwd"),
        lambda m: entry_of(m, file="/etc/passwd"),
        lambda m: entry_of(m, file="."),
        lambda m: entry_of(m, file=""),
        lambda m: entry_of(m, file=None),
        lambda m: entry_of(m, file=["rows"]),
        lambda m: entry_of(m, file="manifest.json"),
        lambda m: entry_of(m, file=m["files"]["rows"]["file"] + "\n"),
        lambda m: entry_of(m, file="a\0b"),
        lambda m: entry_of(m, bytes=-1),
        lambda m: entry_of(m, bytes="12"),
        lambda m: entry_of(m, bytes=None),
        lambda m: entry_of(m, sha256=None),
        lambda m: entry_of(m, sha256=""),
        lambda m: entry_of(m, sha256=["a"]),
    ],
)
def test_a_forged_manifest_with_a_sound_hash_is_refused_by_name(saved: Path, change: Callable[..., Any]) -> None:
    forge(saved, change)
    with pytest.raises(ArtefactError):
        number_in(saved)


@pytest.mark.parametrize(
    "content",
    [
        b"[" * 100_000,
        b'{"a":NaN}',
        b"null",
        b"5",
        b'"x"',
        b"\xef\xbb\xbf{}",
        b"\xff",
        b"9" * 10_000,
        b'{"a":"\\ud800"}',
    ],
)
def test_a_manifest_that_is_odd_json_is_refused_by_name(saved: Path, content: bytes) -> None:
    (saved / artefacts.MANIFEST).write_bytes(content)
    with pytest.raises(ArtefactCorrupt):
        artefacts.read(saved)


def tensor_file(header: Any, body: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("arrays", b""),
        ("arrays", b"\xff" * 8),
        ("arrays", tensor_file({"x": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}, b"\0\0")),
        ("arrays", tensor_file({"x": {"dtype": "F8_E4M3", "shape": [1], "data_offsets": [0, 1]}}, b"\0")),
        ("arrays", tensor_file({"x": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 4]}}, b"\0" * 4)),
        ("rows", b""),
        ("rows", b"PAR1" * 8),
        ("facts", b""),
        ("facts", b"{"),
        ("facts", b"[" * 100_000),
        ("facts", b"\xff"),
    ],
)
def test_a_forged_part_with_sound_hashes_is_refused_by_name(saved: Path, name: str, content: bytes) -> None:
    forge_part(saved, name, content)
    with pytest.raises(ArtefactCorrupt, match=name):
        number_in(saved)


def test_forged_tables_never_raise_anything_else(saved: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (file,) = [file for file in parts(saved) if file.suffix == ".parquet"]
    sound, rng = file.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(300):
        content = bytearray(sound)
        content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        reader = artefacts.Reader(saved, {}, {"rows": bytes(content)})  # as if every hash held
        try:
            reader.table("rows")
        except ArtefactCorrupt:
            refused += 1
    assert refused > 50
    capfd.readouterr()  # the Parquet reader complains on standard error


def test_a_hostile_pickle_at_any_path_is_refused_and_never_runs(saved: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    bomb = pickle.dumps(Bomb(canary))
    for file in sorted(saved.iterdir()):
        before = file.read_bytes()
        file.write_bytes(bomb)
        with pytest.raises(ArtefactCorrupt):
            segue.load(saved)
        file.write_bytes(before)
    for name in ("arrays", "rows", "facts"):
        save(tmp_path / name)
        forge_part(tmp_path / name, name, bomb)
        with pytest.raises(ArtefactCorrupt):
            number_in(tmp_path / name)
    assert not canary.exists()
    pickle.loads(bomb)  # noqa: S301 - the twin: a reader that unpickles sets it off
    assert canary.exists()


# -- death in the middle of a save ---------------------------------------------------------------------------------


class Died(BaseException):
    """The process is gone."""


def in_place_writer(path: Path, number: int) -> None:
    """The broken twin of the writer: the same files, hashes and syncs, written straight into the target."""
    writer = artefacts.Writer()
    writer.document("facts", {"number": number})
    writer.tensors("arrays", {"x": np.full(20, number)})
    writer.table("rows", pl.DataFrame({"n": [number] * 10}))
    path.mkdir(exist_ok=True)
    for file in path.iterdir():
        file.unlink()
    artefacts._stage(path, writer, "Sample", {"number": number})


def states_after_death(
    write: Callable[[Path, int], None], folder: Path, monkeypatch: pytest.MonkeyPatch, repair: bool = True
) -> list[str]:
    """Kill a save at each of its calls to the file system in turn; what the next reader finds.

    A dead process cleans nothing up, so the removal of the staging directory is switched off too.
    """
    found = []
    for fatal in range(1, 100):
        target = folder / f"{fatal}"
        save(target, 1)
        calls = 0

        def strike() -> None:
            nonlocal calls
            calls += 1
            if calls == fatal:  # noqa: B023 - the loop variable of this very round
                raise Died

        with monkeypatch.context() as patch:
            for module, name in (
                (os, "fsync"),
                (os, "replace"),
                (Path, "mkdir"),
                (Path, "unlink"),
                (artefacts, "_write_synced"),
            ):
                original = getattr(module, name)

                def fatal_call(*args: Any, original: Any = original, **kwargs: Any) -> Any:
                    strike()
                    done = original(*args, **kwargs)
                    strike()
                    return done

                patch.setattr(module, name, fatal_call)
            patch.setattr(artefacts.shutil, "rmtree", lambda *args, **kwargs: None)
            try:
                write(target, 2)
                return found
            except Died:
                pass
        try:
            found.append({1: "old", 2: "new"}[number_in(target)])
        except ArtefactError as error:
            found.append(type(error).__name__)
        if repair:  # whatever the dead left behind is no obstacle
            save(target, 3)
            assert number_in(target) == 3
            assert len(parts(target)) == 3
    raise AssertionError("the save never ended")


def test_death_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = states_after_death(save, tmp_path, monkeypatch)
    assert len(states) > 20
    assert set(states) == {"old", "new"}
    assert states == sorted(states, reverse=True)  # once new, never old again


def test_an_in_place_writer_would_leave_torn_artefacts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = states_after_death(in_place_writer, tmp_path, monkeypatch, repair=False)
    assert set(states) & {"ArtefactCorrupt", "ArtefactNotFound"}


WRITER = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from tests.artefact_tools import save
number = 0
while True:
    save(Path({path!r}), number)
    print(number, flush=True)
    number += 1
"""


def test_sigkill_during_repeated_saves_leaves_a_whole_artefact(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[1])
    rng = np.random.default_rng(3)
    for round_ in range(20):
        path = tmp_path / f"{round_ % 4}"  # so that most rounds save over what an earlier death left
        code = WRITER.format(root=root, path=str(path))
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            acknowledged = int(process.stdout.readline())
            deadline = time.monotonic() + float(rng.uniform(0.0, 0.04))
            while time.monotonic() < deadline:
                pass
            process.send_signal(signal.SIGKILL)
            acknowledged = max([acknowledged, *map(int, process.stdout.read().split())])
        assert process.returncode == -signal.SIGKILL
        assert number_in(path) in (acknowledged, acknowledged + 1)


def test_a_reader_beside_a_busy_writer_always_sees_a_whole_artefact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the pauses serve exactly this
    path = tmp_path / "busy"
    code = WRITER.format(root=str(Path(__file__).parents[1]), path=str(path))
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        start = time.monotonic()
        seen = [number_in(path)]
        while time.monotonic() < start + 1.0 or (len(set(seen)) < 4 and time.monotonic() < start + 30.0):
            seen.append(number_in(path))
        process.kill()
    assert seen == sorted(seen)
    assert len(set(seen)) > 2


# -- a disk that fails ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EACCES])
def test_a_failing_disk_is_reported_and_tears_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    original = getattr(os, call)
    outcomes = []
    for failing in range(1, 50):
        target = tmp_path / str(failing) / "model"
        save(target, 1)
        calls = 0

        def fails(*args: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls >= failing:  # noqa: B023 - a full disk stays full
                raise OSError(code, os.strerror(code))
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, fails)
            try:
                save(target, 2)
                break
            except ArtefactNotWritten as error:
                assert os.strerror(code) in str(error)  # noqa: PT017 - told apart by the loop
        outcomes.append(number_in(target))
        assert [entry.name for entry in target.parent.iterdir()] == ["model"]
    else:
        raise AssertionError("the save never succeeded")
    assert outcomes[0] == 1
    assert outcomes == sorted(outcomes)


def test_a_file_size_limit_of_the_system_leaves_the_old_artefact(saved: Path) -> None:
    code = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
import numpy as np
from segue import artefacts
from segue.errors import ArtefactNotWritten
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
try:
    with artefacts.writing(Path({str(saved)!r}), "Sample", {{"number": 2}}) as artefact:
        artefact.tensors("arrays", {{"x": np.zeros(10_000)}})
except ArtefactNotWritten as error:
    print(error.code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "A006"
    assert number_in(saved) == 1
    assert [entry.name for entry in saved.parent.iterdir()] == ["sample"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_while_the_parts_are_made_writes_nothing(saved: Path, error: type[BaseException]) -> None:
    def interrupted() -> None:
        with artefacts.writing(saved, "Sample", {"number": 2}) as artefact:
            artefact.document("facts", {"number": 2})
            raise error

    with pytest.raises(error):
        interrupted()
    assert number_in(saved) == 1
    assert [entry.name for entry in saved.parent.iterdir()] == ["sample"]


def test_a_place_below_a_file_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtefactNotWritten):
        save(tmp_path / "file" / "model")
    assert (tmp_path / "file").read_text() == "x"


# -- one file ------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "new" / "report.html"
    artefacts.write_atomically(file, b"one")
    artefacts.write_atomically(file, b"two")
    assert file.read_bytes() == b"two"
    assert list(file.parent.iterdir()) == [file]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_file_that_cannot_be_replaced_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    file = tmp_path / "report.html"
    file.write_bytes(b"one")

    def fails(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fails)
    with pytest.raises(ArtefactNotWritten, match="No space left"):
        artefacts.write_atomically(file, b"two")
    assert file.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [file]


def test_parts_of_parts_share_one_artefact_and_none_hides_another(tmp_path: Path) -> None:
    with artefacts.writing(tmp_path / "thing", "Thing") as writer:
        writer.document("facts", 0)
        for number in (1, 11):
            writer.within(f"member-{number}").document("facts", number)
        writer.within("member-1").within("inner").tensors("facts", {"x": np.arange(3)})
    read = artefacts.read(tmp_path / "thing")
    assert read.document("facts") == 0
    assert [read.within(f"member-{number}").document("facts") for number in (1, 11)] == [1, 11]
    assert read.within("member-1").within("inner").tensors("facts")["x"].tolist() == [0, 1, 2]
    assert "facts" not in read.within("member-2")
    with pytest.raises(ArtefactCorrupt, match="is not there"):
        read.within("member-2").document("facts")


# -- the golden artefact -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", range(1, artefacts.FORMAT + 1))
def test_the_golden_artefact_of_each_format_gives_the_same_answers(version: int) -> None:
    path = GOLDEN / f"format-{version}"
    expected = json.loads((GOLDEN / f"format-{version}.json").read_text(encoding="utf-8"))
    answer = segue.load(path).recommend(histories=[["tea"], []], k=10)
    assert answer.select("user_id", "item_id", "score", "rank").rows() == [tuple(row) for row in expected]


def test_a_renamed_field_would_be_seen_in_the_golden_artefact(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN / "format-1", tmp_path / "golden")
    forge_part(tmp_path / "golden", "facts", json.dumps({"skip_seen": True}).encode())
    with pytest.raises(ArtefactCorrupt, match="do not fit together"):
        segue.load(tmp_path / "golden")
