"""What was shown, on its way to the store behind the requests' back: lists gather and go together ten times a second.

A list that is lost with the process costs a row of statistics, not an event of anyone; so no answer waits for it.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence

from segue.errors import SegueError
from segue.serving.store.rows import ServedList
from segue.serving.ticker import Ticker

Sink = Callable[[Sequence[ServedList]], None]

_EVERY = 0.1
_MOST = 20_000


class Journal:
    """Gathers lists.

    Args:
        sink: takes them, such as ``Writer.log`` or ``Store.log_served``.

    Attributes:
        lost: lists that were given up, for the store was away too long.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._waiting: list[ServedList] = []
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._ticker = Ticker("segue-journal", _EVERY, self.flush)
        self.lost = 0

    def note(self, served_list: ServedList) -> None:
        """Take a list; returns at once."""
        with self._lock:
            if len(self._waiting) >= _MOST:
                self.lost += 1
                return
            self._waiting.append(served_list)

    def flush(self) -> None:
        """Give away what waits; what is not taken waits on. Errors of the sink pass through."""
        with self._flushing:
            with self._lock:
                taken, self._waiting = self._waiting, []
            if not taken:
                return
            try:
                self._sink(taken)
            except BaseException:
                with self._lock:
                    self._waiting = taken + self._waiting
                    self.lost += max(0, len(self._waiting) - _MOST)
                    del self._waiting[_MOST:]
                raise

    def start(self) -> None:
        """Begin."""
        self._ticker.start()

    def stop(self) -> None:
        """Give away what is left and end."""
        self._ticker.stop()
        with contextlib.suppress(SegueError):
            self.flush()
