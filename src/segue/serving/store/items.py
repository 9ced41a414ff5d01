"""Rows of the catalogue that came while the service runs; a row that changes takes a new number."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from segue.errors import RowRefused
from segue.serving.store import marks
from segue.serving.store.tables import items
from segue.serving.store.trouble import ID_LENGTH


def put(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
    """Write rows under their ``item_id``; columns that a later one does not tell stay. Returns the newest number."""
    names = {str(row["item_id"]) for row in rows}
    if any(not name or "\0" in name or len(name) > ID_LENGTH for name in names):
        raise RowRefused(reason="an item_id is empty, too long or holds NUL", longest=ID_LENGTH)
    before = marks.take(connection, "items", len(names))  # from here on nobody else writes items
    known = select(items.c.item_id, items.c.document).where(items.c.item_id.in_(names))
    last: dict[str, dict[str, Any]] = {row.item_id: row.document for row in connection.execute(known)}
    for row in rows:
        name = str(row["item_id"])
        last[name] = {**last.get(name, {}), **row}
    if last:
        insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(items)
        changed = {"seq": insert.excluded.seq, "document": insert.excluded.document}
        connection.execute(
            insert.on_conflict_do_update(index_elements=["item_id"], set_=changed),
            [
                {"item_id": name, "seq": seq, "document": row}
                for seq, (name, row) in enumerate(last.items(), start=before + 1)
            ],
        )
    return before + len(last)


def after(connection: Connection, seq: int, limit: int) -> list[tuple[int, dict[str, Any]]]:
    """Rows after a number, with theirs."""
    query = select(items.c.seq, items.c.document).where(items.c.seq > seq).order_by(items.c.seq).limit(limit)
    return [(number, document) for number, document in connection.execute(query)]
