"""Telling the parts of a process what is new in the store, whichever process wrote it, in the order of commits."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from segue.errors import StoreError
from segue.serving.store.rows import ModelRow, StoredEvent
from segue.serving.store.store import Store
from segue.serving.store.tombstones import Erasure

_log = logging.getLogger(__name__)
_AWAY_S = 0.5


class Follower:
    """A thread that asks the store what is new and calls those who subscribed.

    A subscriber that raises is counted and logged, and the others are called all the same. While the store is away
    it is asked again until it answers; nothing is skipped.

    Args:
        store: what to follow.
        events, items, models: the numbers to begin after; None is now.
        poll_seconds: how often it asks by itself.

    Attributes:
        seen: the newest number of ``events``, ``items``, ``models`` and ``erased`` that was told.
        away: whether the store did not answer when it was last asked.
        errors: how many calls of subscribers raised.
    """

    def __init__(
        self,
        store: Store,
        *,
        events: int | None = None,
        items: int | None = None,
        models: int | None = None,
        poll_seconds: float = 0.1,
    ) -> None:
        self._store, self._poll_s = store, poll_seconds
        self._from = {"events": events, "items": items, "models": models, "erased": None}
        self._subscribers: dict[str, list[Callable[[Any], None]]] = {name: [] for name in self._from}
        self.seen: dict[str, int] = {}
        self.away = False
        self.errors = 0
        self._told = threading.Condition()
        self._woken, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def subscribe(self, call: Callable[[list[StoredEvent]], None]) -> None:
        """Call with new events."""
        self._subscribers["events"].append(call)

    def subscribe_items(self, call: Callable[[list[tuple[int, dict[str, Any]]]], None]) -> None:
        """Call with new and changed rows of the catalogue."""
        self._subscribers["items"].append(call)

    def subscribe_models(self, call: Callable[[list[ModelRow]], None]) -> None:
        """Call with all models whenever one of them has changed."""
        self._subscribers["models"].append(call)

    def subscribe_erasures(self, call: Callable[[list[Erasure]], None]) -> None:
        """Call with who was erased, after all events from before were told; ``tombstones.among`` tells who it is."""
        self._subscribers["erased"].append(call)

    def start(self) -> None:
        """Begin; raises ``StoreUnavailable`` where it has to know what is newest now and cannot."""
        newest = self._store.newest()
        self.seen = {name: newest[name] if start is None else start for name, start in self._from.items()}
        self._thread = threading.Thread(target=self._run, name="segue-follower", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after what is being told."""
        self._ending.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Ask at once."""
        self._woken.set()

    def wait_for(self, name: str, seq: int, timeout_s: float) -> bool:
        """Wait until a number has been told; whether it was in time."""
        with self._told:
            return self._told.wait_for(lambda: self.seen.get(name, -1) >= seq, timeout_s)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._woken.clear()
            try:
                self._ask()
            except StoreError as error:
                if not self.away:
                    _log.warning("the store is followed no longer: %s", error)
                self.away = True
                self._ending.wait(_AWAY_S)
                continue
            if self.away:
                _log.warning("the store is followed again")
            self.away = False
            self._woken.wait(self._poll_s)

    def _ask(self) -> None:
        newest = self._store.newest()
        while self.seen["models"] < newest["models"]:
            self._tell("models", newest["models"], self._store.model_rows())
        while self.seen["items"] < newest["items"]:
            rows = self._store.items_after(self.seen["items"])
            self._tell("items", rows[-1][0] if rows else newest["items"], rows)
        while self.seen["events"] < newest["events"] and not self._ending.is_set():
            events = self._store.events_after(self.seen["events"])
            self._tell("events", events[-1].seq if events else newest["events"], events)
        while self.seen["erased"] < newest["erased"]:
            erasures = self._store.erasures_after(self.seen["erased"])
            self._tell("erased", erasures[-1].seq if erasures else newest["erased"], erasures)

    def _tell(self, name: str, seq: int, news: list[Any]) -> None:
        if news or name == "models":
            for call in self._subscribers[name]:
                try:
                    call(news)
                except Exception:  # noqa: BLE001 - whatever it is, the others are told
                    self.errors += 1
                    _log.exception("a subscriber to %s failed", name)
        with self._told:
            self.seen[name] = seq
            self._told.notify_all()
