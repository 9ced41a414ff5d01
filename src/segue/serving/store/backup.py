"""Backup, restore and check of a store.

The newest events of a SQLite store are in its write-ahead log, so a copy of the main file alone lacks them. A backup is
made by SQLite's online backup (``sqlite3_backup``, one step: a snapshot that neither waits for writers nor stops them)
or by PostgreSQL's own ``pg_dump``. It is one file, checked before it takes its name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import URL

from segue.errors import (
    BackupDamaged,
    BackupInTheWay,
    BackupToolFailed,
    BackupToolMissing,
    StoreForeign,
    StoreInUse,
    StoreMissing,
    StoreTooNew,
)
from segue.serving.store.migrating import VERSION_TABLE, VERSIONS
from segue.serving.store.store import Store
from segue.serving.store.tables import metadata
from segue.serving.store.tombstones import Erasure, among
from segue.serving.store.urls import read_url, shown, there

_WAIT_S = 1.0
_SIDE_FILES = ("-wal", "-shm", "-journal")


@dataclass(frozen=True)
class StoreReport:
    """What is in a store, or in a backup of SQLite.

    Attributes:
        address: of the store, without secrets; or the file.
        version: of its tables.
        rows: rows by table.
        newest: the newest sequence number by table.
    """

    address: str
    version: str
    rows: dict[str, int]
    newest: dict[str, int]


def backup(url: str, file: str | Path, *, force: bool = False) -> StoreReport:
    """Write everything that is committed now into one file; the store may be in use.

    Args:
        url: of the store.
        file: appears whole or not at all.
        force: replace a file that is there.

    Raises:
        BackupInTheWay: the file is there, and ``force`` is False.
        StoreMissing, StoreUrlBad, StoreForeign, StoreTooNew, StoreCorrupt.
        BackupDamaged: the copy is not sound; nothing was written.
        BackupToolMissing, BackupToolFailed: of PostgreSQL.
    """
    source, target = read_url(url), Path(file)
    if target.exists() and not force:
        raise BackupInTheWay(path=target)
    if not there(source):
        raise StoreMissing(url=shown(source))
    with _beside(target) as partial:
        if source.get_backend_name() == "sqlite":
            with (
                _connected(Path(str(source.database))) as original,
                contextlib.closing(sqlite3.connect(partial)) as copy,
            ):
                original.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
            found = _inspect(partial, shown(source))
        else:
            found = check(url)
            _run_tool(source, "pg_dump", "--format=custom", "--no-owner", f"--file={partial}")
        _put(partial, target)
    return found


def restore(file: str | Path, url: str, *, force: bool = False) -> tuple[StoreReport, int | None]:
    """Make a store of a backup.

    Users whose erasure is recorded in the store that is replaced are erased from the restored one too. Erasures are
    recorded for seven days; older ones have to be sent again.

    Args:
        file: of :func:`backup`.
        url: of the store; it must not be in use.
        force: replace a store that is there.

    Returns:
        What is in the restored store, and how many users were erased from it; None where there was no store before.

    Raises:
        BackupInTheWay: there is a store, and ``force`` is False.
        BackupDamaged, StoreForeign, StoreTooNew: the file is no sound backup; nothing was changed.
        StoreInUse: another process has the store open.
        BackupToolMissing, BackupToolFailed: of PostgreSQL.
    """
    copy, target = Path(file), read_url(url)
    if not copy.is_file():
        raise StoreMissing(url=str(copy))
    if target.get_backend_name() != "sqlite":
        return _restore_postgresql(copy, target, url, force)
    found = _inspect(copy, str(copy))
    place = Path(str(target.database))
    erasures: list[Erasure] | None = None
    if there(target):
        if not force:
            raise BackupInTheWay(path=place)
        with contextlib.closing(Store.open(url, create=False)) as before:
            erasures = before.erasures_after(found.newest.get("erased", 0))
        _require_alone(place)
    with _beside(place) as partial:
        shutil.copyfile(copy, partial)
        for ending in _SIDE_FILES:
            Path(f"{place}{ending}").unlink(missing_ok=True)
        _put(partial, place)
    return check(url), None if erasures is None else _erase_again(url, erasures)


def check(url: str) -> StoreReport:
    """What is in a store; raises ``StoreCorrupt`` or ``BackupDamaged`` where it is not sound, and as ``Store.open``."""
    address = read_url(url)
    with contextlib.closing(Store.open(url, create=False)) as store:
        if address.get_backend_name() == "sqlite":
            return _inspect(Path(str(address.database)), store.address)
        return StoreReport(store.address, VERSIONS[-1], store.row_counts(), store.newest())


def _inspect(file: Path, address: str) -> StoreReport:
    """Check a file of SQLite as a whole and read what it holds."""
    try:
        with _connected(file) as connection:
            faults = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
            faults += [f"foreign key of {row[0]}" for row in connection.execute("PRAGMA foreign_key_check")]
            if faults != ["ok"]:
                raise BackupDamaged(path=address, reason="; ".join(faults[:3]))
            tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if VERSION_TABLE not in tables:
                raise StoreForeign(url=address, reason=f"no table {VERSION_TABLE}")
            (version,) = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()
            if version not in VERSIONS:
                raise StoreTooNew(url=address, found=version, known=VERSIONS[-1])
            ours = [table.name for table in metadata.sorted_tables if table.name in tables]
            rows = {name: int(connection.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in ours}
            newest = dict(connection.execute("SELECT name, value FROM marks WHERE name != 'key'").fetchall())
    except sqlite3.DatabaseError as error:
        raise BackupDamaged(path=address, reason=error) from None
    return StoreReport(address, str(version), rows, newest)


def _erase_again(url: str, erasures: list[Erasure]) -> int:
    with contextlib.closing(Store.open(url)) as store:
        gone = among(erasures, store.user_ids()) if erasures else set()
        for user_id in gone:
            store.erase(user_id)
    return len(gone)


def _restore_postgresql(copy: Path, target: URL, url: str, force: bool) -> tuple[StoreReport, int | None]:
    with copy.open("rb") as file:
        if file.read(5) != b"PGDMP":
            raise BackupDamaged(path=copy, reason="it is no dump of pg_dump in the custom format")
    erasures: list[Erasure] | None = None
    with contextlib.suppress(StoreMissing), contextlib.closing(Store.open(url, create=False)) as before:
        if not force:
            raise BackupInTheWay(path=shown(target))
        erasures = before.erasures_after(0)
    options = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
    _run_tool(target, "pg_restore", *options, str(copy))
    return check(url), None if erasures is None else _erase_again(url, erasures)


def _run_tool(address: URL, tool: str, *options: str) -> None:
    """Run a program of PostgreSQL on a database; the password goes by the environment and is never shown."""
    program = shutil.which(tool)
    libpq = address.set(drivername="postgresql", password=None)
    if program is None:
        raise BackupToolMissing(tool=tool, url=shown(libpq))
    secret = {} if address.password is None else {"PGPASSWORD": str(address.password)}
    command = [program, f"--dbname={libpq.render_as_string()}", *options]
    done = subprocess.run(command, env={**os.environ, **secret}, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
        raise BackupToolFailed(tool=tool, url=shown(address), reason=reason)


@contextlib.contextmanager
def _connected(file: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT_S)
    with contextlib.closing(connection):
        yield connection


def _require_alone(file: Path) -> None:
    """Write the log of a store back into its file; raises ``StoreInUse`` where another process has it open."""
    with _connected(file) as connection:
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            connection.execute("BEGIN EXCLUSIVE")
            connection.execute("COMMIT")
        except sqlite3.OperationalError:
            raise StoreInUse(path=file) from None


@contextlib.contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A temporary file in the folder of ``target``, gone afterwards."""
    partial = target.absolute().parent / f".{target.name}.{uuid.uuid4().hex}.partial"
    try:
        yield partial
    finally:
        partial.unlink(missing_ok=True)


def _put(partial: Path, target: Path) -> None:
    """Give a finished file its name, durably."""
    for path, flags in ((partial, os.O_RDWR), (target.absolute().parent, os.O_RDONLY)):
        handle = os.open(path, flags)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        if path is partial:
            os.replace(partial, target)
