"""Lists that were shown, and those that shadows would have shown; by their id, and in the order of their writing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from segue.errors import RowRefused
from segue.serving.store import marks, tombstones
from segue.serving.store.rows import ServedList
from segue.serving.store.tables import served
from segue.serving.store.trouble import ID_LENGTH

_NAMES = [each.name for each in fields(ServedList)]
_LIST = [served.c[name] for name in _NAMES]


def log(connection: Connection, rows: Sequence[ServedList]) -> None:
    """Write lists; one that is there already (same id and model) stays as it is, one of an erased person is dropped."""
    texts = (text for row in rows for text in (row.recommendation_id, row.user_id or ""))
    if any(len(text) > ID_LENGTH or "\0" in text for text in texts):
        raise RowRefused(reason="an id of a list is too long or holds NUL", longest=ID_LENGTH)
    before = marks.take(connection, "served", len(rows))
    rows = tombstones.without_erased(connection, rows)
    if rows:
        insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(served)
        given = [
            {"seq": seq, **{name: getattr(row, name) for name in _NAMES}}
            for seq, row in enumerate(rows, start=before + 1)
        ]
        connection.execute(insert.on_conflict_do_nothing(), given)


def prune(connection: Connection, before: int, limit: int) -> int:
    """Remove lists asked for before a moment, looking at the first ``limit`` alone: numbers grow with moments."""
    first = select(served.c.seq, served.c.received).order_by(served.c.seq).limit(limit).subquery()
    old = select(first.c.seq).where(first.c.received < before)
    return connection.execute(delete(served).where(served.c.seq.in_(old))).rowcount


def find(connection: Connection, recommendation_id: str) -> ServedList | None:
    """The list that was shown under an id."""
    row = connection.execute(
        select(*_LIST).where(served.c.recommendation_id == recommendation_id, served.c.shadow.is_(False))
    ).first()
    return None if row is None else ServedList(*row)


def after(connection: Connection, seq: int, limit: int) -> list[tuple[int, ServedList]]:
    """Lists after a number, shadows' too, with theirs."""
    query = select(served.c.seq, *_LIST).where(served.c.seq > seq).order_by(served.c.seq).limit(limit)
    return [(row[0], ServedList(*row[1:])) for row in connection.execute(query)]
