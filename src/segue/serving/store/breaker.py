"""A circuit breaker around reads of the store: a read that fails or hangs is not repeated by every request.

A read of a server runs in a helper thread, so that the caller can leave it after a time limit (a driver that waits on
a silent socket cannot be interrupted). After a failure the breaker is open: calls fail at once, and one call in each
retry period tries the store again (Nygard, Release It!, 2007, "Circuit Breaker").
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, TypeVar

from segue.errors import StoreUnavailable

T = TypeVar("T")
_MOST_STUCK = 6
"""Helper threads that may hang at once: each holds a connection of the store's pool."""
_LONGEST_RETRY_S = 30.0


@dataclass(slots=True)
class _Read:
    call: Callable[[], Any]
    returned: threading.Lock = field(default_factory=threading.Lock)
    late: bool = False
    result: Any = None
    error: Exception | None = None


class Breaker:
    """Runs reads; any thread may call it.

    Args:
        address: of the store, for errors.
        timeout_seconds: how long a read may take; None: reads run in the calling thread, without a limit.
        retry_seconds: how long calls fail at once after a failure; doubled with each read that still hangs.
    """

    def __init__(self, address: str, timeout_seconds: float | None, retry_seconds: float = 1.0) -> None:
        self._address, self._timeout_s, self._retry_s = address, timeout_seconds, retry_seconds
        self._lock = threading.Lock()
        self._reads: SimpleQueue[_Read] = SimpleQueue()
        self._threads = self._busy = self._stuck = 0
        self._open_until = 0.0
        self._failed = False

    @property
    def is_open(self) -> bool:
        """Whether the last read failed."""
        return self._failed

    def call(self, read: Callable[[], T]) -> T:
        """Return what ``read()`` returns.

        Raises:
            StoreUnavailable: the read raised it, did not return in time, or the breaker is open.
        """
        with self._lock:
            now = time.monotonic()
            if self._failed:
                if now < self._open_until or self._stuck >= _MOST_STUCK:
                    raise StoreUnavailable(url=self._address, reason="it did not answer a moment ago")
                self._open_until = now + self._retry()  # this call tries; the others go on failing at once
        try:
            result = read() if self._timeout_s is None else self._in_time(read, self._timeout_s)
        except StoreUnavailable:
            with self._lock:
                self._failed = True
                self._open_until = time.monotonic() + self._retry()
            raise
        self._failed = False
        return result

    def _retry(self) -> float:
        return min(self._retry_s * 2.0**self._stuck, _LONGEST_RETRY_S)

    def _in_time(self, call: Callable[[], T], timeout_s: float) -> T:
        read = _Read(call)
        read.returned.acquire()
        with self._lock:
            self._busy += 1
            if self._busy > self._threads:
                self._threads += 1
                threading.Thread(target=self._work, name="segue-store-read", daemon=True).start()
        self._reads.put(read)
        if not read.returned.acquire(timeout=timeout_s):
            with self._lock:
                if not read.returned.acquire(blocking=False):  # it may have returned since
                    read.late = True
                    self._stuck += 1
                    raise StoreUnavailable(url=self._address, reason=f"it did not answer within {timeout_s:g} s")
        if read.error is not None:
            raise read.error
        result: T = read.result
        return result

    def _work(self) -> None:
        """The life of a helper thread."""
        while True:
            read = self._reads.get()
            try:
                read.result = read.call()
            except Exception as error:  # noqa: BLE001 - it belongs to the caller
                read.error = error
            with self._lock:
                self._busy -= 1
                self._stuck -= read.late
                read.returned.release()
            del read
