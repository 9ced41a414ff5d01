"""A thread that does one thing again and again: every so many seconds, sooner when it is woken, until it is stopped.

A step that fails is tried again; the first failure of several in a row is logged, and that it is over. What a step does
is the owner's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from segue.errors import SegueError

_log = logging.getLogger(__name__)


class Ticker:
    """One such thread; it may be started again after a stop.

    Args:
        name: of the thread, and in the log.
        seconds: between two steps.
        step: what is done; whatever it raises, the next one follows.
    """

    def __init__(self, name: str, seconds: float, step: Callable[[], object]) -> None:
        self.name, self.seconds = name, seconds
        self._step = step
        self._woken, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = False

    @property
    def ending(self) -> bool:
        """Whether it was told to stop; a long step looks now and then."""
        return self._ending.is_set()

    def start(self) -> None:
        """Begin; the first step comes after ``seconds``, or when it is woken."""
        self._ending.clear()
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Take the next step now."""
        self._woken.set()

    def stop(self, timeout: float | None = None) -> None:
        """End after the step under way; one that hangs for longer than ``timeout`` seconds is left behind."""
        self._ending.set()
        self._woken.set()
        if self._thread is not None:
            self._thread.join(timeout)
            self._thread = None

    def _run(self) -> None:
        while True:
            self._woken.wait(self.seconds)
            self._woken.clear()
            if self._ending.is_set():
                return
            self._try()

    def _try(self) -> None:
        try:
            self._step()
        except Exception as error:  # noqa: BLE001 - whatever it is, the next step may do better
            if not self._failing:
                trace = None if isinstance(error, SegueError) else error
                _log.warning("%s failed and will try again: %s", self.name, error, exc_info=trace)
            self._failing = True
            return
        if self._failing:
            _log.warning("%s works again", self.name)
        self._failing = False
