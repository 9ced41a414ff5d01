"""Erasing a person, and looking for what is left of them. Artefacts are ``recommenders.forgetting``'s."""

from __future__ import annotations

import time

from sqlalchemy import Connection, Engine, Table, delete, func, select

from segue.errors import ErasureUnfinished
from segue.serving.store.engines import BUSY_S
from segue.serving.store.tables import metadata

_ATTEMPT_MS = 100


def personal() -> list[Table]:
    """Every table that names a person; a new one is found by its column ``user_id``."""
    return [table for table in metadata.sorted_tables if "user_id" in table.c]


def erase(connection: Connection, user_id: str) -> dict[str, int]:
    """Remove a person's rows; table to rows removed."""
    return {
        str(table.name): connection.execute(delete(table).where(table.c.user_id == user_id)).rowcount
        for table in personal()
    }


def traces(connection: Connection, user_id: str) -> dict[str, int]:
    """Table to rows that name a person."""
    return {
        str(table.name): int(
            connection.execute(select(func.count()).select_from(table).where(table.c.user_id == user_id)).scalar_one()
        )
        for table in personal()
    }


def user_ids(connection: Connection) -> set[str]:
    """Every user who is named in any table."""
    named = (connection.execute(select(table.c.user_id).distinct()) for table in personal())
    return {str(row[0]) for rows in named for row in rows if row[0] is not None}


def row_counts(connection: Connection) -> dict[str, int]:
    """Table to rows."""
    tables = metadata.sorted_tables
    return {
        str(table.name): connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables
    }


def empty_log(engine: Engine, address: str) -> None:
    """Write SQLite's log into its file and cut it, so that no bytes of what was removed stay in it.

    Waits for readers of older pages, and lets others write between its attempts; raises ``ErasureUnfinished`` where
    a reader does not end.
    """
    until = time.monotonic() + BUSY_S
    while True:
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None
            driver.execute(f"PRAGMA busy_timeout={_ATTEMPT_MS}")
            busy, *_ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            driver.execute(f"PRAGMA busy_timeout={round(1_000 * BUSY_S)}")
        if not busy:
            return
        if time.monotonic() > until:
            raise ErasureUnfinished(url=address)
        time.sleep(_ATTEMPT_MS / 1_000)
