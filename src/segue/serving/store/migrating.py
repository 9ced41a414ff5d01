"""Bringing a store to this version: one process at a time, all steps or none, and never backwards."""

from __future__ import annotations

import secrets
import threading
from pathlib import Path

from sqlalchemy import Column, Connection, Engine, MetaData, String, Table, insert, inspect, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from segue.errors import StoreForeign, StoreMissing, StoreNotMigrated, StoreTooNew
from segue.serving.store.tables import marks, metadata

VERSION_TABLE = "segue_version"
VERSIONS = ("0001", "0002", "0003")
"""Every version there was, the newest last: the steps of ``migrations/versions``."""
SCRIPTS = Path(__file__).with_name("migrations")
_MARKS = ("events", "items", "served", "models", "erased")
_LOCK = 0x5E90E  # of PostgreSQL; SQLite's is the write transaction itself
_one_at_a_time = threading.Lock()  # alembic keeps its context in the module


def bring_up(engine: Engine, address: str, migrate: bool, create: bool = True, to: str = VERSIONS[-1]) -> None:
    """Migrate the store behind ``engine``; see ``Store.open`` for the errors."""
    with _one_at_a_time, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_LOCK))
        found = _version(connection)
        if found is not None and found not in VERSIONS:
            raise StoreTooNew(url=address, found=found, known=VERSIONS[-1])
        if found == to:
            return
        if found is None and not create:
            raise StoreMissing(url=address)
        if not migrate:
            raise StoreNotMigrated(url=address, found=found or "none", known=to)
        try:
            if found is None and to == VERSIONS[-1]:
                _begin(connection)
            else:
                _upgrade(connection, to)
        except (OperationalError, ProgrammingError) as error:
            if "already exists" in str(error.orig):
                raise StoreForeign(url=address, reason=str(error.orig).splitlines()[0]) from None
            raise


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar_one_or_none()
    return None if found is None else str(found)


def _begin(connection: Connection) -> None:
    """Make a new store as all steps together would, without what it takes half a second to load for them.

    A test holds that the two are the same.
    """
    metadata.create_all(connection, checkfirst=False)
    connection.execute(insert(marks), [{"name": name, "value": 0} for name in _MARKS])
    connection.execute(insert(marks), [{"name": "key", "value": secrets.randbits(62)}])
    version = Table(VERSION_TABLE, MetaData(), Column("version_num", String(32), primary_key=True))
    version.create(connection, checkfirst=False)
    connection.execute(insert(version), [{"version_num": VERSIONS[-1]}])


def _upgrade(connection: Connection, to: str) -> None:
    # Here, because it takes half a second to load and a start seldom needs it.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)
