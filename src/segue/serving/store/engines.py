"""Connections of a store: what every one of them is set to, and who may write.

SQLite: one connection writes, a few read. PostgreSQL: a pool that tests a connection before it is used, and gives up
after seconds rather than minutes. What is said over them is left to others.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

BUSY_S = 10.0
"""How long a connection of SQLite waits for another process's write."""
_CONNECT_S = 5
_STATEMENT_MS = 15_000
_READERS = 8


def reading(url: URL) -> Engine:
    """For reads of one statement each; on PostgreSQL the pool is that of the writes too."""
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, pool_size=_READERS, max_overflow=0, pool_timeout=BUSY_S)
    # With enough memory a page of events is sorted there: reads go on while the disk is full.
    ours = {"statement_timeout": _STATEMENT_MS, "lock_timeout": _STATEMENT_MS, "work_mem": "32MB"}
    options = " ".join([str(url.query.get("options", "")), *(f"-c {name}={value}" for name, value in ours.items())])
    engine = create_engine(
        url,
        hide_parameters=True,
        pool_pre_ping=True,
        pool_size=_READERS,
        max_overflow=_READERS,
        pool_timeout=_CONNECT_S,
        connect_args={
            "connect_timeout": _CONNECT_S,
            "options": options.strip(),
            "application_name": "segue",
            "keepalives_idle": 10,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": _STATEMENT_MS,
        },
    )
    event.listen(engine, "connect", _wait_for_the_disk)
    return engine


def writing(url: URL, readers: Engine) -> Engine:
    """For writes: SQLite's one connection, or the pool of PostgreSQL."""
    if url.get_backend_name() != "sqlite":
        return readers
    engine = _sqlite(url, pool_size=1, max_overflow=0, pool_timeout=BUSY_S)

    def begin_to_write(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "begin", begin_to_write)
    return engine


def _sqlite(url: URL, **pool: Any) -> Engine:
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": BUSY_S, "check_same_thread": False}, **pool
    )
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver begins no transactions of its own: a read is one statement, a write begins with the lock.
    connection.isolation_level = None
    _to_write_ahead_log(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA secure_delete=ON")
    connection.execute("PRAGMA foreign_keys=ON")
    # Moving pages from the log to the file seldom saves a third of the work of a write; the log is 40 MB then.
    connection.execute("PRAGMA wal_autocheckpoint=10000")
    connection.execute("PRAGMA journal_size_limit=67108864")


def _to_write_ahead_log(connection: Any) -> None:
    """Switch the file to WAL; while another process does so with a new file, SQLite says "locked" without waiting."""
    until = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > until:
                raise
            time.sleep(0.02)


def _wait_for_the_disk(connection: Any, _: Any) -> None:
    """A database set not to wait for its disk at a commit is asked to, on our connections; stricter ones stay so."""
    connection.execute(
        "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
    )
    connection.commit()
