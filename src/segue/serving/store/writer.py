"""Group commit: events of many requests are written in one transaction, and each request hears what became of its own.

One thread writes whatever waits, so a busy service pays for few commits and an idle one waits for nobody. A request
is acknowledged after the commit that holds its events, never before. Lists that were served go with the events, unless
a transaction has failed: then they go by themselves until they are through, so that no list keeps an event waiting.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from segue.errors import AppendLate, StoreBusy, StoreFull, StoreUnavailable
from segue.serving.store.rows import Appended, Event, ServedList
from segue.serving.store.store import Store

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Waiting:
    """The events of one request, and where its answer goes; taking it away (``cancel``) leaves them unwritten."""

    events: Sequence[Event]
    answer: concurrent.futures.Future[Appended] = field(default_factory=concurrent.futures.Future)


class Writer:
    """Writes what many requests bring, a transaction at a time.

    Args:
        store: where to.
        queue: events that may wait; more are refused.
        batch: events in one transaction at most (one request's events stay together in any case).
        deadline_seconds: how long a request waits.

    Attributes:
        wake: called after each commit, such as ``Follower.wake``.
        commits: transactions that were written.
        lost_lists: lists that were served and could not be kept.
    """

    def __init__(
        self,
        store: Store,
        *,
        queue: int = 20_000,
        batch: int = 5_000,
        deadline_seconds: float = 5.0,
    ) -> None:
        self._store, self._queue, self._batch, self._deadline_s = store, queue, batch, deadline_seconds
        self._waiting: deque[_Waiting] = deque()
        self._lists: deque[ServedList] = deque()
        self._count = 0
        self._apart = False  # lists are written by themselves
        self._closing = False
        self._something = threading.Condition()
        self.lost_lists = 0
        self.commits = 0
        self.wake: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._run, name="segue-writer", daemon=True)
        self._thread.start()

    async def append(self, events: Sequence[Event], deadline_seconds: float | None = None) -> Appended:
        """Store events; returns after the commit that holds them.

        Raises:
            StoreBusy: too many wait already.
            AppendLate: not known to be stored in time; sending them again is harmless.
            StoreUnavailable, StoreFull, RowRefused: nothing of them was stored.
        """
        waiting = self._put(events)
        seconds = self._deadline_s if deadline_seconds is None else deadline_seconds
        try:
            return await asyncio.wait_for(asyncio.wrap_future(waiting.answer), seconds)
        except TimeoutError:
            raise AppendLate(seconds=seconds) from None

    def append_now(self, events: Sequence[Event], deadline_seconds: float | None = None) -> Appended:
        """As :meth:`append`, for a thread."""
        waiting = self._put(events)
        seconds = self._deadline_s if deadline_seconds is None else deadline_seconds
        try:
            return waiting.answer.result(seconds)
        except TimeoutError:
            waiting.answer.cancel()
            raise AppendLate(seconds=seconds) from None

    def log(self, rows: Sequence[ServedList]) -> None:
        """Write lists that were served with the next commit; nobody waits for them.

        While the store is away the newest are kept, as many as may wait; ``lost_lists`` counts the others.
        """
        with self._something:
            self._lists.extend(rows)
            self._drop_oldest_lists()
            self._something.notify()

    @property
    def waiting(self) -> int:
        """Events that wait now."""
        return self._count

    def close(self) -> None:
        """Write what waits, then end; later calls are refused."""
        with self._something:
            self._closing = True
            self._something.notify()
        self._thread.join()

    def _put(self, events: Sequence[Event]) -> _Waiting:
        waiting = _Waiting(list(events))
        with self._something:
            if self._closing:
                raise StoreUnavailable(url=self._store.address, reason="the service is ending")
            if self._count + len(waiting.events) > self._queue:
                raise StoreBusy(waiting=self._count, limit=self._queue)
            self._count += len(waiting.events)
            self._waiting.append(waiting)
            self._something.notify()
        return waiting

    def _run(self) -> None:
        while True:
            with self._something:
                while not self._waiting and not self._lists and not self._closing:
                    self._something.wait()
                if self._closing and not self._waiting and not self._lists:
                    return
                together, lists = self._take()
            if lists and self._apart:
                if together:
                    self._write(together, [])
                self._write([], lists)
            else:
                self._write(together, lists)

    def _take(self) -> tuple[list[_Waiting], list[ServedList]]:
        together: list[_Waiting] = []
        size = 0
        while self._waiting and (not together or size + len(self._waiting[0].events) <= self._batch):
            waiting = self._waiting.popleft()
            self._count -= len(waiting.events)
            if waiting.answer.set_running_or_notify_cancel():
                together.append(waiting)
                size += len(waiting.events)
        lists = list(self._lists)[: self._batch]
        for _ in lists:
            self._lists.popleft()
        return together, lists

    def _write(self, together: list[_Waiting], lists: list[ServedList]) -> None:
        try:
            appended = self._store.append_batches([waiting.events for waiting in together], lists)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer of those who wait
            self._failed(together, lists, error)
            return
        self.commits += 1
        self._apart = self._apart and not lists
        for waiting, answer in zip(together, appended, strict=True):
            waiting.answer.set_result(answer)
        self.wake()

    def _failed(self, together: list[_Waiting], lists: list[ServedList], error: Exception) -> None:
        """Nothing of the joint transaction was written: tell all, or find the one that spoilt it."""
        away = isinstance(error, StoreUnavailable | StoreFull)
        if not away and len(together) + bool(lists) > 1:
            for waiting in together:
                self._write([waiting], [])
            if lists:
                self._write([], lists)
            return
        if not away and len(lists) > 1:
            half = len(lists) // 2
            self._write([], lists[:half])
            self._write([], lists[half:])
            return
        for waiting in together:
            waiting.answer.set_exception(error)
        self._apart = self._apart or bool(lists)
        if lists and away and not self._closing:
            with self._something:
                self._lists.extendleft(reversed(lists))
                self._drop_oldest_lists()
                self._something.wait(0.2)  # not as fast as the store can refuse
        elif lists:
            self.lost_lists += len(lists)
            _log.warning("%d lists that were served are not in the log: %s", len(lists), error)

    def _drop_oldest_lists(self) -> None:
        while len(self._lists) > self._queue:
            self._lists.popleft()
            self.lost_lists += 1
