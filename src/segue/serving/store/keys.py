"""API keys: their hashes and what they may do. Secrets are made and compared elsewhere."""

from __future__ import annotations

from dataclasses import asdict, fields

from sqlalchemy import Connection, delete, insert, select

from segue.serving.store.rows import KeyRow
from segue.serving.store.tables import keys

_ROW = [keys.c[each.name] for each in fields(KeyRow)]


def read(connection: Connection) -> list[KeyRow]:
    """All keys, oldest first."""
    return [KeyRow(*row) for row in connection.execute(select(*_ROW).order_by(keys.c.created, keys.c.key_id))]


def add(connection: Connection, row: KeyRow) -> None:
    """Write a key."""
    connection.execute(insert(keys), asdict(row))


def revoke(connection: Connection, key_id: str) -> bool:
    """Remove a key; whether it was there."""
    return connection.execute(delete(keys).where(keys.c.key_id == key_id)).rowcount > 0
