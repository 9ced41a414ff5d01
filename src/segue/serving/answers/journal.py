"""What was shown, written to the store behind the requests' back: lists gather and go together ten times a second.

A list that is lost with the process costs a row of statistics, not an event of anyone; so the answer does not wait.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

from segue.errors import SegueError

_EVERY = 0.1
_MOST = 20_000


class Journal:
    """Gathers lists for ``store.log_served``.

    Attributes:
        lost: lists that were given up, for the store was away too long.
    """

    def __init__(self, store: Any) -> None:
        self._store = store
        self._waiting: list[Any] = []
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.lost = 0

    def note(self, served_list: Any) -> None:
        """Take a list; returns at once."""
        with self._lock:
            if len(self._waiting) >= _MOST:
                self.lost += 1
                return
            self._waiting.append(served_list)

    def flush(self) -> None:
        """Write what waits; what the store does not take waits on.

        Raises:
            SegueError: the store cannot be reached.
        """
        with self._flushing:
            with self._lock:
                taken, self._waiting = self._waiting, []
            if not taken:
                return
            try:
                self._store.log_served(taken)
            except BaseException:
                with self._lock:
                    self._waiting = taken + self._waiting
                    self.lost += max(0, len(self._waiting) - _MOST)
                    del self._waiting[_MOST:]
                raise

    def start(self) -> None:
        """Begin to write."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what is left and end."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        with contextlib.suppress(SegueError):
            self.flush()

    def _run(self) -> None:
        while not self._ended.wait(_EVERY):
            with contextlib.suppress(SegueError):
                self.flush()
