"""Lists that were served are kept for some days: older ones are removed in the background, few at a time."""

from __future__ import annotations

import logging
import threading
import time

from segue.errors import StoreError
from segue.serving.store.store import Store

_log = logging.getLogger(__name__)
_EVERY_S = 600.0
_PAUSE_S = 0.05


class Pruner:
    """A thread that removes lists.

    Args:
        store: where from.
        days: how long a list is kept; None keeps all.
        chunk: so many are removed in one transaction, between which others write.

    Attributes:
        removed: lists removed so far.
    """

    def __init__(self, store: Store, days: float | None, chunk: int = 1_000) -> None:
        self._store, self._days, self._chunk = store, days, chunk
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.removed = 0

    def start(self) -> None:
        """Begin, unless all are kept."""
        self._ended.clear()
        if self._days is not None:
            self._thread = threading.Thread(target=self._run, name="segue-pruner", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """End after the chunk that is under way."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def prune(self) -> None:
        """Remove what is too old now."""
        assert self._days is not None
        before = time.time_ns() // 1_000 - round(self._days * 86_400e6)
        while not self._ended.is_set():
            removed = self._store.prune_served(before, self._chunk)
            self.removed += removed
            if not removed:
                return
            self._ended.wait(_PAUSE_S)

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                self.prune()
            except StoreError as error:
                _log.warning("old lists could not be removed: %s", error)
            self._ended.wait(_EVERY_S)
