"""Admission: so many questions at once, so many waiting, each until its deadline; the rest is told to come later.

``Gate.run`` takes a plain function to a thread of its own and waits for what it returns. A model that stalls
cannot be stopped (Python threads cannot), but it can be given up: at the deadline its place goes to a new thread,
the old one ends when its call does, and beyond a number of such lost threads everybody is refused until some
come back. All accounts are kept on the event loop, so no lock is needed. What is asked, and by whom, is no
concern of the gate; routes of health do not pass it.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

from pydantic import Field

from segue.config import Config
from segue.errors import Busy, ClientGone, DeadlinePassed, Draining, Stalled

T = TypeVar("T")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
# How the client of the present request is heard; set by ``Presence``.
_client: ContextVar[Receive | None] = ContextVar("segue_client", default=None)


class GateConfig(Config):
    """How much is answered at once."""

    capacity: int = Field(2, ge=1)
    """Questions computed at once; about the number of cores."""
    queue: int = Field(64, ge=0)
    """Questions that may wait for a place; the next is answered with 429."""
    deadline_seconds: float = Field(5.0, gt=0)
    """From admission to the answer; then 504."""
    lost: int = Field(8, ge=0)
    """Stalled threads given up and replaced; past this number everything is answered with 503."""


@dataclass(frozen=True, slots=True)
class GateStats:
    """How the gate stands now (the first four) and what it has done since the start."""

    running: int
    waiting: int
    lost: int
    seconds: float
    """Mean of the recent calls."""
    admitted: int
    finished: int
    refused: int
    expired: int
    left: int


@dataclass(slots=True, eq=False)
class _Job(Generic[T]):
    call: Callable[[], T]
    answer: asyncio.Future[T]
    timer: asyncio.TimerHandle | None = None
    began: float = 0.0
    given_up: bool = False


@dataclass(slots=True)
class _Counts:
    admitted: int = 0
    finished: int = 0
    refused: int = 0
    expired: int = 0
    left: int = 0


@dataclass(slots=True)
class Gate:
    """At most ``capacity`` calls at once and ``queue`` waiting, each for ``deadline_seconds`` seconds from admission.

    Use it from one event loop at a time. ``lost`` bounds the threads that stalled calls may hold beside the
    ``capacity`` ones.
    """

    capacity: int = 2
    queue: int = 64
    deadline_seconds: float = 5.0
    lost: int = 8
    _work: SimpleQueue[tuple[_Job[Any], asyncio.AbstractEventLoop] | None] = field(default_factory=SimpleQueue)
    _waiting: deque[_Job[Any]] = field(default_factory=deque)
    _running: int = 0
    _threads: int = 0
    _given_up: int = 0
    _seconds: float = 0.01
    _closed: bool = False
    _counts: _Counts = field(default_factory=_Counts)

    @classmethod
    def of(cls, settings: GateConfig) -> Gate:
        """A gate by its settings."""
        return cls(settings.capacity, settings.queue, settings.deadline_seconds, settings.lost)

    async def run(self, call: Callable[[], T]) -> T:
        """Return what ``call()`` returns, computed in a thread of the gate; its exceptions pass through.

        Raises:
            Busy: all places and the whole queue are taken; says when to come back.
            DeadlinePassed: it took longer than the deadline, waiting included.
            Stalled: too many calls have stalled before.
            ClientGone: the client left while it waited (known where ``Presence`` is in front).
            Draining: the gate is closed.
        """
        job = self._admit(call)
        leaving = self._watch_client(job) if job in self._waiting else None
        try:
            return await job.answer
        except asyncio.CancelledError:
            self._leave(job)
            raise
        finally:
            if leaving is not None:
                leaving.cancel()

    def stats(self) -> GateStats:
        """Figures for the metrics."""
        c = self._counts
        return GateStats(
            self._running,
            len(self._waiting),
            self._given_up,
            self._seconds,
            c.admitted,
            c.finished,
            c.refused,
            c.expired,
            c.left,
        )

    async def drain(self, seconds: float = 8.0) -> bool:
        """Wait until everything admitted is answered; False when that took longer than ``seconds``."""
        until = time.monotonic() + seconds
        while self._running or self._waiting:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.01)
        return True

    def close(self) -> None:
        """Admit nobody any more; idle threads end, a stalled one is left behind (it does not hold the process)."""
        self._closed = True
        for _ in range(self._threads):
            self._work.put(None)
        self._threads = 0

    def retry_after(self) -> int:
        """Whole seconds until a place is likely: what is ahead, at the recent speed."""
        ahead = self._running + len(self._waiting)
        return min(max(1, math.ceil(ahead * self._seconds / self.capacity)), 60)

    def _admit(self, call: Callable[[], T]) -> _Job[T]:
        if self._closed:
            raise Draining(seconds=1)
        if self._given_up > self.lost:
            self._counts.refused += 1
            raise Stalled(count=self._given_up, seconds=max(1, math.ceil(self.deadline_seconds)))
        if self._running >= self.capacity and len(self._waiting) >= self.queue:
            self._counts.refused += 1
            raise Busy(what=f"{self._running} running, {len(self._waiting)} waiting", seconds=self.retry_after())
        loop = asyncio.get_running_loop()
        job = _Job(call, loop.create_future())
        job.timer = loop.call_later(self.deadline_seconds, self._expire, job)
        self._counts.admitted += 1
        self._waiting.append(job)
        self._start_waiting()
        return job

    def _start_waiting(self) -> None:
        """Give free places to those who wait, first come first served."""
        loop = asyncio.get_running_loop()
        while self._threads < self.capacity and not self._closed and self._given_up <= self.lost:
            self._threads += 1
            threading.Thread(target=_labour, args=(self._work, self._done), name="segue-gate", daemon=True).start()
        while self._waiting and self._running < min(self.capacity, self._threads):
            job = self._waiting.popleft()
            job.began = time.monotonic()
            self._running += 1
            self._work.put((job, loop))

    def _done(self, job: _Job[Any], result: Any, error: Exception | None) -> None:
        if job.given_up:
            self._given_up -= 1
            self._threads += 1
            if self._threads > self.capacity or self._closed:  # its place was given away: this thread may go
                self._threads -= 1
                self._work.put(None)
        else:
            self._running -= 1
            self._counts.finished += 1
            self._seconds += 0.1 * (time.monotonic() - job.began - self._seconds)
            assert job.timer is not None
            job.timer.cancel()
            if not job.answer.done():
                if error is None:
                    job.answer.set_result(result)
                else:
                    job.answer.set_exception(error)
        self._start_waiting()

    def _expire(self, job: _Job[Any]) -> None:
        """The deadline: free the place at once, whatever its thread still does."""
        self._counts.expired += 1
        if job in self._waiting:
            self._waiting.remove(job)
        else:
            job.given_up = True
            self._given_up += 1
            self._running -= 1
            self._threads -= 1
        if not job.answer.done():
            job.answer.set_exception(DeadlinePassed(seconds=self.deadline_seconds))
        self._start_waiting()

    def _leave(self, job: _Job[Any]) -> None:
        """A client has gone: its place in the queue is free; a call that runs is left to its end or deadline."""
        self._counts.left += 1
        if job in self._waiting:
            self._waiting.remove(job)
            assert job.timer is not None
            job.timer.cancel()

    def _watch_client(self, job: _Job[Any]) -> asyncio.Task[None] | None:
        receive = _client.get()
        if receive is None:
            return None

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            if job in self._waiting and not job.answer.done():
                self._leave(job)
                job.answer.set_exception(ClientGone())

        return asyncio.get_running_loop().create_task(watch())


def _labour(
    work: SimpleQueue[tuple[_Job[Any], asyncio.AbstractEventLoop] | None],
    done: Callable[[_Job[Any], Any, Exception | None], None],
) -> None:
    """A thread's life: one job after another, until told to go."""
    while (task := work.get()) is not None:
        job, loop = task
        result: Any = None
        error: Exception | None = None
        try:
            result = job.call()
        except StopIteration as raised:  # which no future can hold
            error = RuntimeError(repr(raised))
        except Exception as raised:  # noqa: BLE001 - it belongs to the one who waits
            error = raised
        try:
            loop.call_soon_threadsafe(done, job, result, error)
        except RuntimeError:  # the loop is closed: nobody waits any more
            return
        del task, job, result, error


class Presence:
    """ASGI middleware: lets the gate hear when the client of a request leaves while it waits."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Receive, send: Any) -> None:
        """Pass the request on."""
        token = _client.set(receive if scope["type"] == "http" else None)
        try:
            await self.app(scope, receive, send)
        finally:
            _client.reset(token)
