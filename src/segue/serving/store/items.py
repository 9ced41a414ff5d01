"""Rows of the catalogue that came while the service runs; a row that changes takes a new number.

The row of an item that was removed stays as a tombstone, so that every process that follows the numbers hears of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from segue.errors import RowRefused
from segue.serving.store import marks
from segue.serving.store.tables import items
from segue.serving.store.trouble import ID_LENGTH

REMOVED = ""
"""The only other column of a tombstone; no column of a catalogue has this name."""


def is_removed(row: Mapping[str, Any]) -> bool:
    """Whether a row is the tombstone of an item."""
    return REMOVED in row


def remove(connection: Connection, item_id: str) -> bool:
    """Replace an item's row by a tombstone, or write one; False where it is one already."""
    known = connection.execute(select(items.c.document).where(items.c.item_id == item_id)).scalar_one_or_none()
    if known is not None and is_removed(known):
        return False
    put(connection, [{"item_id": item_id, REMOVED: True}], afresh=True)
    return True


def put(connection: Connection, rows: Sequence[Mapping[str, Any]], afresh: bool = False) -> int:
    """Write rows under their ``item_id``; columns that a later one does not tell stay. Returns the newest number.

    Nothing stays of an item that was removed, and with ``afresh`` nothing of any.
    """
    names = {str(row["item_id"]) for row in rows}
    if any(not name or "\0" in name or len(name) > ID_LENGTH for name in names):
        raise RowRefused(reason="an item_id is empty, too long or holds NUL", longest=ID_LENGTH)
    before = marks.take(connection, "items", len(names))  # from here on nobody else writes items
    known = select(items.c.item_id, items.c.document).where(items.c.item_id.in_(names))
    found = {row.item_id: row.document for row in connection.execute(known)}
    last: dict[str, dict[str, Any]] = {
        name: {} if afresh or is_removed(document) else document for name, document in found.items()
    }
    for row in rows:
        name = str(row["item_id"])
        last[name] = {**last.get(name, {}), **row}
    last = {name: row for name, row in last.items() if name in names}
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
