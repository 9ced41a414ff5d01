"""Numbers of rows: taken one transaction at a time, so that they are seen in the order of commits."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select, update

from segue.serving.store.tables import marks

_TAKE = (
    update(marks)
    .where(marks.c.name == bindparam("which"))
    .values(value=marks.c.value + bindparam("count"))
    .returning(marks.c.value)
)
_KEY = "key"
_NEWEST = select(marks.c.name, marks.c.value).where(marks.c.name != _KEY)


def take(connection: Connection, name: str, count: int) -> int:
    """The number before the ``count`` that the transaction now has; others wait here until it ends."""
    return int(connection.execute(_TAKE, {"which": name, "count": count}).scalar_one()) - count


def newest(connection: Connection) -> dict[str, int]:
    """The newest number of each table that is followed."""
    return {name: int(value) for name, value in connection.execute(_NEWEST)}


def key(connection: Connection) -> str:
    """The key of hashes in this store."""
    return str(connection.execute(select(marks.c.value).where(marks.c.name == _KEY)).scalar_one())
