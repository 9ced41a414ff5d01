"""Who was erased and when, without their names: what is still on its way of them is not written any more.

A list may wait in another process when its person is erased, and would bring the name back. An erasure leaves a keyed
hash of the id and its moment for some days, and a list of that person from before is dropped when it comes. Other
processes read the hashes and forget whom they hold (see ``follow``). The key is the store's own: it keeps hashes of
two stores apart, and is no secret from who has the store.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, insert, select

from segue.serving.store import marks
from segue.serving.store.rows import ServedList
from segue.serving.store.tables import erased

KEPT_S = 7 * 86_400
"""Longer than any list waits in a process."""


@dataclass(frozen=True)
class Erasure:
    """Somebody was erased at a moment (microseconds); ``seq`` counts erasures."""

    seq: int
    key: str
    hash: str
    moment: int


def hash_of(user_id: str, key: str) -> str:
    """A keyed hash of an id."""
    return hashlib.blake2b(user_id.encode(errors="surrogatepass"), key=key.encode(), digest_size=16).hexdigest()


def among(erasures: Sequence[Erasure], users: Iterable[str]) -> set[str]:
    """Who of some people was erased."""
    by_key = {each.key: {other.hash for other in erasures if other.key == each.key} for each in erasures}
    people = set(users)
    return {user for key, hashes in by_key.items() for user in people if hash_of(user, key) in hashes}


def note(connection: Connection, user_id: str) -> None:
    """Note that somebody is erased now; no list is written meanwhile."""
    marks.take(connection, "served", 0)
    seq = marks.take(connection, "erased", 1) + 1
    now = time.time_ns() // 1_000
    name = hash_of(user_id, marks.key(connection))
    old = (erased.c.hash == name) | (erased.c.moment < now - KEPT_S * 1_000_000)
    connection.execute(delete(erased).where(old))
    connection.execute(insert(erased), [{"seq": seq, "hash": name, "moment": now}])


def after(connection: Connection, seq: int) -> list[Erasure]:
    """Erasures after a number, in order."""
    rows = connection.execute(
        select(erased.c.seq, erased.c.hash, erased.c.moment).where(erased.c.seq > seq).order_by(erased.c.seq)
    ).all()
    key = marks.key(connection) if rows else ""
    return [Erasure(number, key, name, moment) for number, name, moment in rows]


def without_erased(connection: Connection, rows: Sequence[ServedList]) -> list[ServedList]:
    """The lists, but those that were asked for by somebody who was erased since."""
    oldest = min((row.received for row in rows), default=0)
    found = connection.execute(select(erased.c.hash, erased.c.moment).where(erased.c.moment >= oldest)).all()
    if not found:
        return list(rows)
    key, moments = marks.key(connection), {row.hash: row.moment for row in found}
    return [
        row for row in rows if row.user_id is None or row.received > moments.get(hash_of(row.user_id, key), -(2**63))
    ]
