"""Events: written once each, in batches; read by user, by number, and as a frame."""

from __future__ import annotations

import functools
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from sqlalchemy import ARRAY, BigInteger, Connection, Double, Integer, Text, bindparam, func, select
from sqlalchemy.dialects import postgresql, sqlite

from segue.errors import RowRefused
from segue.serving.store import marks
from segue.serving.store.rows import Appended, Event, StoredEvent, UserEvents
from segue.serving.store.tables import events
from segue.serving.store.trouble import ID_LENGTH

# As they are sent to the database, and their types there.
_TYPES: dict[str, Any] = {
    "seq": BigInteger,
    "event_id": Text,
    "user_id": Text,
    "item_id": Text,
    "timestamp": BigInteger,
    "action": Text,
    "value": Double,
    "recommendation_id": Text,
    "received": BigInteger,
}
_TEXTS = [place for place, kind in enumerate(_TYPES.values()) if kind is Text]
_SENT = ("event_id", "user_id", "item_id", "timestamp", "action", "value", "recommendation_id")
_STORED = [events.c[name] for name in (*_SENT, "seq", "received")]
_FRAME = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Int64,
    "action": pl.String,
    "value": pl.Float64,
    "seq": pl.Int64,
}
_CHUNK = 50_000
_IDS = 10_000  # parameters of one statement; SQLite takes 32,766

# The driver takes tuples as they are: nothing of SQLAlchemy runs for each event.
_INTO_SQLITE = str(
    sqlite.insert(events)
    .values({name: bindparam(name) for name in _TYPES})
    .on_conflict_do_nothing()
    .compile(dialect=sqlite.dialect(paramstyle="qmark"), column_keys=list(_TYPES))
)


def _into_postgres() -> Any:
    """One statement, with a list for each column."""
    lists = (bindparam(name, type_=ARRAY(kind)) for name, kind in _TYPES.items())
    given = func.unnest(*lists, type_=Text).table_valued(*_TYPES, name="given").render_derived()
    rows = select(*(given.c[name] for name in _TYPES))
    return postgresql.insert(events).from_select(list(_TYPES), rows).on_conflict_do_nothing()


_INTO_POSTGRES = _into_postgres()


def append(connection: Connection, batches: Sequence[Sequence[Event]]) -> list[Appended]:
    """Write several batches; what became of each. The first of two events with one id is the one that is stored."""
    count = sum(map(len, batches))
    before = marks.take(connection, "events", count)
    if not count:
        return [Appended(0, 0, before) for _ in batches]
    received = time.time_ns() // 1_000
    rows = [
        (seq, e.event_id, e.user_id, e.item_id, e.timestamp, e.action, _number(e.value), e.recommendation_id, received)
        for seq, e in enumerate((event for batch in batches for event in batch), start=before + 1)
    ]
    columns = list(zip(*rows, strict=True))
    _check(columns)
    if connection.dialect.name == "sqlite":
        written = connection.exec_driver_sql(_INTO_SQLITE, rows).rowcount
    else:
        given = {name: list(column) for name, column in zip(_TYPES, columns, strict=True)}
        written = connection.execute(_INTO_POSTGRES, given).rowcount
    newest = before + count
    if written == count:
        return [Appended(len(batch), 0, newest) for batch in batches]
    new = np.array(
        connection.scalars(select(events.c.seq).where(events.c.seq > before).order_by(events.c.seq)).all(), np.int64
    )
    ends = before + np.cumsum([len(batch) for batch in batches])
    stored = np.diff(np.searchsorted(new, ends, side="right"), prepend=0).tolist()
    again = np.ones(count, dtype=bool)
    again[new - before - 1] = False
    kept = _kept(connection, [rows[place][1] for place in np.flatnonzero(again)])
    appended, start = [], 0
    for n, batch in zip(stored, batches, strict=True):
        places = np.flatnonzero(again[start : start + len(batch)]).tolist()
        others = (batch[place].event_id for place in places if _differs(batch[place], kept))
        appended.append(Appended(n, len(batch) - n, newest, tuple(dict.fromkeys(others))))
        start += len(batch)
    return appended


def _kept(connection: Connection, ids: Sequence[str]) -> dict[str, Any]:
    """What is stored under ids, by id."""
    found: dict[str, Any] = {}
    for start in range(0, len(ids), _IDS):
        query = select(*(events.c[name] for name in _SENT)).where(events.c.event_id.in_(ids[start : start + _IDS]))
        found |= {row.event_id: row for row in connection.execute(query)}
    return found


def _differs(event: Event, kept: Mapping[str, Any]) -> bool:
    """Whether another event is stored under the id of this one."""
    stored = kept[event.event_id]
    told = (event.user_id, event.item_id, event.action, _number(event.value), event.recommendation_id)
    same = told == (stored.user_id, stored.item_id, stored.action, stored.value, stored.recommendation_id)
    return not same or (event.dated and event.timestamp != stored.timestamp)


def _number(value: float | None) -> float | None:
    """None for NaN, which SQLite does not keep."""
    return value if value == value else None


def _check(columns: list[tuple[Any, ...]]) -> None:
    """Refuse what one of the databases would not take, so that both take the same."""
    for place in _TEXTS:
        texts = list(filter(None, columns[place]))
        if "\0" in "".join(texts):
            raise RowRefused(reason="a text holds NUL", longest=ID_LENGTH)
        if texts and max(map(len, texts)) > ID_LENGTH:
            raise RowRefused(reason=f"a text has {max(map(len, texts)):,} characters", longest=ID_LENGTH)
        if place <= 3 and len(texts) < len(columns[place]):
            raise RowRefused(reason="an id is empty", longest=ID_LENGTH)


def history(
    connection: Connection, user_id: str, newest: int, until: int | None, without: Collection[str]
) -> UserEvents:
    """The newest events of a user, oldest first."""
    query = _history(until is not None, tuple(sorted(without)))
    given = {"user": user_id, "newest": newest} | ({} if until is None else {"until": until})
    rows = connection.execute(query, given).all()[::-1]
    items, moments, actions, values = zip(*rows, strict=True) if rows else ((), (), (), ())
    return UserEvents(list(items), np.array(moments, np.int64), list(actions), np.array(values, np.float32))


@functools.lru_cache
def _history(until: bool, without: tuple[str, ...]) -> Any:
    """The question, built once: building it takes as long as answering it."""
    query = select(events.c.item_id, events.c.timestamp, events.c.action, events.c.value)
    query = query.where(events.c.user_id == bindparam("user"))
    if until:
        query = query.where(events.c.timestamp <= bindparam("until"))
    if without:
        query = query.where(events.c.action.is_(None) | events.c.action.not_in(without))
    return query.order_by(events.c.timestamp.desc(), events.c.seq.desc()).limit(bindparam("newest", type_=Integer))


def after(connection: Connection, seq: int, limit: int) -> list[StoredEvent]:
    """The events after a number, in order."""
    rows = connection.execute(select(*_STORED).where(events.c.seq > seq).order_by(events.c.seq).limit(limit))
    return [StoredEvent(*row) for row in rows]


def of_user(connection: Connection, user_id: str, after: int, limit: int) -> list[StoredEvent]:
    """A user's events after a number, in order."""
    mine = select(*_STORED).where(events.c.user_id == user_id, events.c.seq > after)
    return [StoredEvent(*row) for row in connection.execute(mine.order_by(events.c.seq).limit(limit))]


def frame(connection: Connection, after: int, until: int | None) -> pl.DataFrame:
    """Events by number; read in chunks, so that rows as Python objects are few at a time."""
    parts = [pl.DataFrame(schema=_FRAME)]
    query = select(*(events.c[name] for name in _FRAME)).order_by(events.c.seq).limit(_CHUNK)
    if until is not None:
        query = query.where(events.c.seq <= until)
    while rows := connection.execute(query.where(events.c.seq > after)).all():
        parts.append(pl.DataFrame([tuple(row) for row in rows], schema=_FRAME, orient="row"))
        after = rows[-1].seq
    return pl.concat(parts)
