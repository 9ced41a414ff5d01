"""From the store to the rates: the hours that are kept at the start, and what comes in as it comes.

New events come from the follower; lists are read here, for nobody else follows them. All of it runs in the background.
"""

from __future__ import annotations

import bisect
import math
import time
from collections.abc import Callable
from typing import Any

from segue.serving.watching.rates import HOUR, Rates

_CHUNK = 1_000  # rows at once: few enough that requests get their turn in between
_NEVER = 1 << 62


class Replay:
    """Feeds ``Rates`` from a ``Store``.

    Errors of the store pass; call again, and it goes on where it was.

    Attributes:
        done: whether everything that was there at the start has been read.
    """

    def __init__(self, store: Any, rates: Rates) -> None:
        self._store, self._rates = store, rates
        self._lists: int | None = None  # the newest list that was read
        self._event = 0
        self._last: int | None = None  # the newest event that the replay has to read
        self.done = False

    def rebuild(self, seconds: float = math.inf) -> None:
        """Read what the store holds of the hours kept, or some more of it; what the follower tells may come twice.

        Lists are read just ahead of the events on them, so that few have to be looked up one by one.

        Args:
            seconds: how long to read at most; :attr:`done` tells whether there is more.
        """
        until = time.monotonic() + seconds
        edge = self._rates.first_hour() * HOUR
        if self._last is None:
            newest = self._store.newest()
            self._event = _before(edge, newest["events"], lambda n: self._store.events_after(n, 1))
            self._lists = _before(edge, newest["served"], lambda n: [row for _, row in self._store.served_after(n, 1)])
            self._last = newest["events"]
        while self._event < self._last:
            events = self._store.events_after(self._event, _CHUNK)
            if not events:
                break
            while self._read_lists() < events[-1].received:
                pass
            self._rates.took(events)
            self._rates.settle(self._store.served, seconds=60.0)
            self._event = events[-1].seq
            if time.monotonic() > until:
                return
        self.done = True
        self.step(until - time.monotonic())

    def step(self, seconds: float = math.inf) -> None:
        """Read lists that are new, and count the events that waited for theirs; what is left is the next step's."""
        until = time.monotonic() + seconds
        while self._read_lists() < _NEVER and time.monotonic() < until:
            pass
        self._rates.settle(self._store.served)

    def _read_lists(self) -> int:
        """Read some lists; when the last of them was shown, or never where there are no more."""
        rows = self._store.served_after(self._lists or 0, _CHUNK)
        self._rates.listed(row for _, row in rows)
        if rows:
            self._lists = rows[-1][0]
        return int(rows[-1][1].received) if len(rows) == _CHUNK else _NEVER


def _before(edge: int, newest: int, after: Callable[[int], list[Any]]) -> int:
    """The number after which rows were stored at ``edge`` (microseconds) or later; numbers grow with time."""

    def received(number: int) -> int:
        rows = after(number)
        return int(rows[0].received) if rows else _NEVER

    return bisect.bisect_left(range(newest + 1), edge, key=received)
