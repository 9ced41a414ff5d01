"""Models in the shadow: asked what was asked, compared with what was shown, never shown themselves.

One thread asks them one question after another. While it is behind, questions are dropped and counted: a shadow may
not slow anybody down.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass
class Compared:
    """Counts of one shadow; ``overlap`` sums the shares of shown items that it lists too."""

    asked: int = 0
    failed: int = 0
    overlap: float = 0.0


class Shadows:
    """The thread.

    Attributes:
        compared: by name of the model.
        dropped: questions that nobody asked the shadows, for they were behind.
    """

    def __init__(self, waiting: int = 16) -> None:
        self._questions: queue.Queue[tuple[str, Callable[[], float]] | None] = queue.Queue(maxsize=waiting)
        self._thread: threading.Thread | None = None
        self.compared: dict[str, Compared] = {}
        self.dropped = 0

    def ask(self, name: str, call: Callable[[], float]) -> None:
        """Ask a model of that name later; the call returns the share of shown items that it lists too."""
        try:
            self._questions.put_nowait((name, call))
        except queue.Full:
            self.dropped += 1

    def start(self) -> None:
        """Begin to ask."""
        self._thread = threading.Thread(target=self._run, name="shadows", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask what waits and end."""
        if self._thread is not None:
            self._questions.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while (task := self._questions.get()) is not None:
            name, call = task
            counts = self.compared.setdefault(name, Compared())
            try:
                overlap = call()
            except Exception:  # noqa: BLE001 - a model on trial may fail in any way, and shows nobody anything
                counts.failed += 1
                _log.warning("The shadow %s failed to answer.", name, exc_info=True)
                continue
            counts.asked += 1
            counts.overlap += overlap
