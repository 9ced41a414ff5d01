"""Broken twins of the store's parts: each lacks one thing that a fault test is there to miss."""

from __future__ import annotations

from collections.abc import Sequence

from segue.errors import StoreFull
from segue.serving.store import Appended, Event, ServedList, Store, Writer


class EagerWriter(Writer):
    """Acknowledges what has only been queued."""

    async def append(self, events: Sequence[Event], deadline_seconds: float | None = None) -> Appended:
        self._put(events)
        return Appended(len(events), 0, 0)


class SwallowingStore(Store):
    """Takes a full disk for a success."""

    def append_batches(self, batches: Sequence[Sequence[Event]], lists: Sequence[ServedList] = ()) -> list[Appended]:
        try:
            return super().append_batches(batches, lists)
        except StoreFull:
            return [Appended(len(batch), 0, 0) for batch in batches]


def sync_less(store: Store) -> None:
    """A commit that does not wait for the disk."""
    with store._writers.connect() as connection:
        connection.connection.driver_connection.execute("PRAGMA synchronous=NORMAL")  # type: ignore[union-attr]


def forget_unique_key(store: Store) -> None:
    """Events without the key that keeps each once."""
    with store._writers.begin() as connection:
        connection.exec_driver_sql("DROP INDEX events_once")


WRITERS = {"Writer": Writer, "EagerWriter": EagerWriter}
