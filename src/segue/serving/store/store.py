"""``Store``: the one door to what is kept, for any thread. Each kind of row has a module of its own behind it.

A call that returns has been written durably; one that raises has written nothing. Joining the calls of many requests
into one transaction is ``writer``'s, telling others what is new is ``follow``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Self

import polars as pl
from sqlalchemy import Connection, Engine, text

from segue.errors import StoreMissing
from segue.serving.store import engines, erase, events, items, keys, marks, migrating, models, served, tombstones
from segue.serving.store.rows import Appended, Event, KeyRow, ModelRow, ServedList, StoredEvent, UserEvents
from segue.serving.store.tombstones import Erasure
from segue.serving.store.trouble import translated
from segue.serving.store.urls import read_url, shown, there


class Store:
    """The event store in SQLite or PostgreSQL; made by :meth:`open`.

    Every method may raise ``StoreUnavailable``; those that write ``StoreFull`` and ``RowRefused`` too.

    Attributes:
        address: its URL without secrets.
    """

    def __init__(self, readers: Engine, writers: Engine, address: str) -> None:
        # Reads are single statements; a transaction around each would be two more trips to PostgreSQL.
        self._readers = readers.execution_options(isolation_level="AUTOCOMMIT")
        self._writers, self.address = writers, address

    @classmethod
    def open(cls, url: str, *, migrate: bool = True, create: bool = True) -> Self:
        """Open a store, made on first use (unless ``create`` is False) and brought to this version.

        Args:
            url: ``sqlite:///file.db`` or ``postgresql+psycopg://user@host/name``.
            migrate: False refuses a store of an earlier version instead.
            create: False refuses what is no store yet, and leaves nothing behind.

        Raises:
            StoreUrlBad, StoreUnavailable.
            StoreMissing: there is none, and ``create`` is False.
            StoreTooNew: a later version wrote it.
            StoreForeign: it holds other tables of these names.
            StoreNotMigrated: it is of an earlier version, and ``migrate`` is False.
            StoreCorrupt: it is not a file of SQLite, or a damaged one.
        """
        address = shown(read := read_url(url))
        if not create and not there(read):  # a connection would make the file
            raise StoreMissing(url=address)
        readers = engines.reading(read)
        store = cls(readers, engines.writing(read, readers), address)
        try:
            with translated(address):
                migrating.bring_up(store._writers, address, migrate, create)
        except BaseException:
            store.close()
            raise
        return store

    # -- events ------------------------------------------------------------------------------------------------

    def append(self, given: Sequence[Event]) -> Appended:
        """Store events durably, each id once; the whole batch or nothing."""
        return self.append_batches([given])[0]

    def append_batches(self, batches: Sequence[Sequence[Event]], lists: Sequence[ServedList] = ()) -> list[Appended]:
        """Store several batches, and lists that were served, in one transaction; what became of each batch."""
        with self._writing() as connection:
            appended = events.append(connection, batches)
            if lists:
                served.log(connection, lists)
        return appended

    def history(self, user_id: str, newest: int, until: int | None = None, without: Collection[str] = ()) -> UserEvents:
        """The newest events of a user, oldest first.

        Args:
            user_id: as it was sent.
            newest: at most so many.
            until: leave out what is later than this moment.
            without: actions that are no history, such as impressions.
        """
        with self._reading() as connection:
            return events.history(connection, user_id, newest, until, without)

    def events_of(self, user_id: str, after: int, limit: int) -> list[StoredEvent]:
        """All kinds of events of a user after a number, in the order of their commits."""
        with self._reading() as connection:
            return events.of_user(connection, user_id, after, limit)

    def events_after(self, seq: int, limit: int = 10_000) -> list[StoredEvent]:
        """The events that were stored after a number, in the order of their commits."""
        with self._reading() as connection:
            return events.after(connection, seq, limit)

    def events_frame(self, after: int = 0, until: int | None = None) -> pl.DataFrame:
        """Events with numbers above ``after`` and up to ``until``.

        Returns:
            ``user_id, item_id, timestamp, action, value, seq`` in the order of ``seq``.
        """
        with self._reading() as connection:
            return events.frame(connection, after, until)

    def last_seq(self) -> int:
        """The newest number given to an event; 0 where there was none."""
        return self.newest()["events"]

    def newest(self) -> dict[str, int]:
        """The newest number of each followed table: ``events``, ``items``, ``served``, ``models``, ``erased``."""
        with self._reading() as connection:
            return marks.newest(connection)

    # -- catalogue, lists, models, keys ------------------------------------------------------------------------

    def put_items(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Write rows of the catalogue, each with an ``item_id``; returns the newest number of the catalogue."""
        with self._writing() as connection:
            return items.put(connection, rows)

    def remove_item(self, item_id: str) -> bool:
        """Let an item leave the catalogue; False where it has left already."""
        with self._writing() as connection:
            return items.remove(connection, item_id)

    def items_after(self, seq: int, limit: int = 10_000) -> list[tuple[int, dict[str, Any]]]:
        """Rows of the catalogue that are new or changed since a number, in order, each with its number."""
        with self._reading() as connection:
            return items.after(connection, seq, limit)

    def log_served(self, rows: Sequence[ServedList]) -> None:
        """Write lists that were served; writing one again changes nothing."""
        with self._writing() as connection:
            served.log(connection, rows)

    def prune_served(self, before: int, limit: int) -> int:
        """Remove lists asked for before a moment, at most so many; how many were there. See ``pruning``."""
        with self._writing() as connection:
            return served.prune(connection, before, limit)

    def served(self, recommendation_id: str) -> ServedList | None:
        """The list that was shown under an id, or None."""
        with self._reading() as connection:
            return served.find(connection, recommendation_id)

    def served_after(self, seq: int, limit: int = 10_000) -> list[tuple[int, ServedList]]:
        """Lists since a number, shadows' too, in order, each with its number."""
        with self._reading() as connection:
            return served.after(connection, seq, limit)

    def model_rows(self) -> list[ModelRow]:
        """The models that may serve, oldest first."""
        with self._reading() as connection:
            return models.read(connection)

    def write_model_rows(self, change: models.Change) -> list[ModelRow]:
        """Replace the rows by ``change(rows)``, decided while nobody else may change them; returns them anew."""
        with self._writing() as connection:
            return models.write(connection, change)

    def key_rows(self) -> list[KeyRow]:
        """All API keys, oldest first."""
        with self._reading() as connection:
            return keys.read(connection)

    def add_key(self, row: KeyRow) -> None:
        """Write an API key."""
        with self._writing() as connection:
            keys.add(connection, row)

    def revoke_key(self, key_id: str) -> bool:
        """Remove an API key; whether it was there."""
        with self._writing() as connection:
            return keys.revoke(connection, key_id)

    # -- people ------------------------------------------------------------------------------------------------

    def erase(self, user_id: str) -> dict[str, int]:
        """Remove all rows of a person; in SQLite also their bytes from the files. Table to rows removed.

        Lists that they asked for before and that are logged later are not written (see ``tombstones``).

        Raises:
            ErasureUnfinished: the rows are gone, but a reader keeps SQLite's log file from being cut.
        """
        with self._writing() as connection:
            tombstones.note(connection, user_id)
            removed = erase.erase(connection, user_id)
        self.checkpoint()
        return removed

    def erasures_after(self, seq: int) -> list[Erasure]:
        """Who was erased since a number, as hashes; only of the last days."""
        with self._reading() as connection:
            return tombstones.after(connection, seq)

    def traces(self, user_id: str) -> dict[str, int]:
        """Table to rows that name a person: all 0 after :meth:`erase`."""
        with self._reading() as connection:
            return erase.traces(connection, user_id)

    def user_ids(self) -> set[str]:
        """Every user who is named in any table."""
        with self._reading() as connection:
            return erase.user_ids(connection)

    def row_counts(self) -> dict[str, int]:
        """Table to rows."""
        with self._reading() as connection:
            return erase.row_counts(connection)

    # -- the store itself --------------------------------------------------------------------------------------

    def checkpoint(self) -> None:
        """Write SQLite's log into its file and empty it; PostgreSQL does so by itself."""
        if self._writers.dialect.name == "sqlite":
            with translated(self.address):
                erase.empty_log(self._writers, self.address)

    def ping(self) -> None:
        """Return when the store answers."""
        with self._reading() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Give the connections back; calls that are under way end first."""
        self._readers.dispose()
        self._writers.dispose()

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Connection]:
        with translated(self.address), self._readers.connect() as connection:
            yield connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Connection]:
        with translated(self.address), self._writers.begin() as connection:
            yield connection
