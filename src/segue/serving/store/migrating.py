"""Bringing a store to this version: one process at a time, all steps or none, and never backwards."""

from __future__ import annotations

import threading
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError

from segue.errors import StoreForeign, StoreNotMigrated, StoreTooNew

VERSION_TABLE = "segue_version"
_LOCK = 0x5E90E  # of PostgreSQL; SQLite's is the write transaction itself
_one_at_a_time = threading.Lock()  # alembic keeps its context in the module


def bring_up(engine: Engine, address: str, migrate: bool, to: str = "head") -> None:
    """Migrate the store behind ``engine``; see ``Store.open`` for the errors."""
    scripts = ScriptDirectory(str(Path(__file__).with_name("migrations")))
    newest = str(scripts.get_current_head())
    known = {script.revision for script in scripts.walk_revisions()}
    with _one_at_a_time, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_LOCK))
        found = _version(connection)
        if found is not None and found not in known:
            raise StoreTooNew(url=address, found=found, known=newest)
        if found == newest:
            return
        if not migrate:
            raise StoreNotMigrated(url=address, found=found or "none", known=newest)
        try:
            command.upgrade(_config(connection), to)
        except (OperationalError, ProgrammingError) as error:
            if "already exists" in str(error.orig):
                raise StoreForeign(url=address, reason=str(error.orig).splitlines()[0]) from None
            raise


def _version(connection: Connection) -> str | None:
    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
