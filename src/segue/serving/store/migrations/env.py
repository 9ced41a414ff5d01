"""Alembic's way in: the connection and its transaction are the caller's (``store.migrating``)."""

from __future__ import annotations

from alembic import context

from segue.serving.store.migrating import VERSION_TABLE
from segue.serving.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"], target_metadata=metadata, version_table=VERSION_TABLE
)
context.run_migrations()
