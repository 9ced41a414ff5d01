"""A backup of a store in use holds what was acknowledged, and a restored store has it."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from segue.errors import (
    BackupDamaged,
    BackupInTheWay,
    BackupToolMissing,
    StoreForeign,
    StoreInUse,
    StoreMissing,
    StoreTooNew,
)
from segue.serving.store import Event, Store
from segue.serving.store.backup import backup, check, restore

NOON = 1_767_268_800_000_000


def event(number: int, user: str = "ann") -> Event:
    return Event(f"e-{number}", user, f"i{number % 7}", NOON + number)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/shop.db"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = Store.open(url)
    yield opened
    opened.close()


def restored(copy: Path, folder: Path) -> Store:
    restore(copy, f"sqlite:///{folder}/restored.db")
    return Store.open(f"sqlite:///{folder}/restored.db", create=False)


def test_a_backup_beside_a_writer_holds_every_event_acknowledged_before_it_began(
    store: Store, url: str, tmp_path: Path
) -> None:
    acknowledged: list[int] = []
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            store.append([event(number)])
            acknowledged.append(number)
            number += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(acknowledged) < 200:
            pass
        before = len(acknowledged)
        backup(url, tmp_path / "copy")
    finally:
        ended.set()
        writer.join()
    assert not list(tmp_path.glob("copy-*"))
    back = restored(tmp_path / "copy", tmp_path)
    kept = {each.event_id for each in back.events_after(0, 100_000)}
    assert {f"e-{number}" for number in acknowledged[:before]} <= kept
    assert back.append([event(0)]).known == 1  # ids are known to the restored store
    back.close()


def test_a_plain_copy_of_the_file_loses_acknowledged_events(store: Store, tmp_path: Path) -> None:
    store.append([event(number) for number in range(40)])
    shutil.copyfile(tmp_path / "shop.db", tmp_path / "copied.db")
    with sqlite3.connect(tmp_path / "copied.db") as copied:
        tables = copied.execute("SELECT count(*) FROM sqlite_master WHERE name = 'events'").fetchone()[0]
        found = copied.execute("SELECT count(*) FROM events").fetchone()[0] if tables else 0
    assert found < 40


def test_the_report_counts_rows_and_numbers(store: Store, url: str, tmp_path: Path) -> None:
    store.append([event(number) for number in range(3)])
    for found in (check(url), backup(url, tmp_path / "copy")):
        assert (found.rows["events"], found.newest["events"], found.version) == (3, 3, "0003")


def test_users_erased_since_the_backup_do_not_come_back(store: Store, url: str, tmp_path: Path) -> None:
    store.append([event(1, "ann"), event(2, "ben"), event(3, "eve")])
    store.erase("eve")
    store.append([event(4, "eve")])  # she came back before the backup
    backup(url, tmp_path / "copy")
    store.erase("ann")
    store.close()
    _, erased = restore(tmp_path / "copy", url, force=True)
    back = Store.open(url)
    assert (erased, back.user_ids()) == (1, {"ben", "eve"})
    back.close()


def test_what_is_there_is_replaced_only_by_force(store: Store, url: str, tmp_path: Path) -> None:
    store.append([event(1)])
    backup(url, tmp_path / "copy")
    with pytest.raises(BackupInTheWay):
        backup(url, tmp_path / "copy")
    with pytest.raises(BackupInTheWay):
        restore(tmp_path / "copy", url)
    store.append([event(2)])
    assert backup(url, tmp_path / "copy", force=True).rows["events"] == 2


def test_a_store_in_use_is_not_replaced(store: Store, url: str, tmp_path: Path) -> None:
    store.append([event(1)])
    backup(url, tmp_path / "copy")
    store.append([event(2)])
    with pytest.raises(StoreInUse):
        restore(tmp_path / "copy", url, force=True)
    assert store.append([event(3)]).stored == 1
    assert check(url).rows["events"] == 3


def test_what_is_no_sound_backup_is_refused_and_changes_nothing(store: Store, url: str, tmp_path: Path) -> None:
    store.append([event(number) for number in range(500)])
    copy = tmp_path / "copy"
    backup(url, copy)
    target = f"sqlite:///{tmp_path}/other.db"
    whole = copy.read_bytes()
    copy.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackupDamaged):
        restore(copy, target)
    copy.write_bytes(b"no database at all" * 100)
    with pytest.raises(BackupDamaged):
        restore(copy, target)
    copy.unlink()
    with sqlite3.connect(copy) as foreign:
        foreign.execute("CREATE TABLE something (x)")
    with pytest.raises(StoreForeign):
        restore(copy, target)
    copy.write_bytes(whole)
    with sqlite3.connect(copy) as newer:
        newer.execute("UPDATE segue_version SET version_num = '9999'")
    with pytest.raises(StoreTooNew):
        restore(copy, target)
    with pytest.raises(StoreMissing):
        restore(tmp_path / "nothing", target)
    with pytest.raises(StoreMissing):
        backup(f"sqlite:///{tmp_path}/nothing.db", tmp_path / "of-nothing")
    assert not (tmp_path / "other.db").exists()
    assert not list(tmp_path.glob(".*partial"))


def test_a_backup_that_is_killed_leaves_the_old_file(store: Store, url: str, tmp_path: Path) -> None:
    store.append([event(1)])
    backup(url, tmp_path / "copy")
    old = (tmp_path / "copy").read_bytes()
    store.append([event(2)])
    program = (
        "import os, signal, sys\n"
        "from segue.serving.store import backup\n"
        "backup._put = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\n"
        "backup.backup(sys.argv[1], sys.argv[2], force=True)"
    )
    done = subprocess.run([sys.executable, "-c", program, url, str(tmp_path / "copy")], check=False)
    assert done.returncode == -9
    assert (tmp_path / "copy").read_bytes() == old


def test_postgresql_is_backed_up_by_its_own_tools(postgres_url: str, tmp_path: Path) -> None:
    with_tools = Store.open(postgres_url)
    with_tools.append([event(1, "ann"), event(2, "ben")])
    found = backup(postgres_url, tmp_path / "copy")
    with_tools.append([event(3, "ben")])
    with_tools.erase("ann")
    with_tools.close()
    assert (found.rows["events"], (tmp_path / "copy").read_bytes()[:5]) == (2, b"PGDMP")
    with pytest.raises(BackupInTheWay):
        restore(tmp_path / "copy", postgres_url)
    back, erased = restore(tmp_path / "copy", postgres_url, force=True)
    assert (back.rows["events"], erased) == (2, 1)
    assert check(postgres_url).rows["events"] == 1


def test_without_the_tools_of_postgresql_that_is_said(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store.open(postgres_url).close()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupToolMissing, match="pg_dump"):
        backup(postgres_url, tmp_path / "copy")
    assert list(tmp_path.iterdir()) == []
