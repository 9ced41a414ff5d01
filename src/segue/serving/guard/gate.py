"""Admission control for computed answers: a bounded number of worker threads, a bounded queue, a deadline for each.

``Gate.run`` queues a plain function and waits for what it returns. Worker threads take their next job from the queue
themselves, so that a busy event loop never leaves a worker without work. The queue is fair between API keys (start-time
fair queueing, Goyal, Vin and Cheng, 1996): a key pays for the estimated cost of its jobs with its place. A job of high
estimated cost never takes the last worker, so cheap jobs go on beside it. A thread that stalls cannot be stopped; at
the deadline its place goes to a new thread, and beyond a number of such threads every job is refused until some return.
Routes of health do not pass the gate.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import Field

from segue.config import Config
from segue.errors import Busy, ClientGone, DeadlinePassed, Draining, Stalled

T = TypeVar("T")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
# How the client of the present request is heard; set by ``Presence``.
_client: ContextVar[Receive | None] = ContextVar("segue_client", default=None)
_SCALE_STEP = 0.05
_SCALE_RANGE = (0.2, 20.0)


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
    heavy_ms: float = Field(25.0, gt=0)
    """Estimated milliseconds from which a request is heavy; one worker never takes a heavy request."""


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
    loop: asyncio.AbstractEventLoop
    cost_ms: float
    heavy: bool
    timer: asyncio.TimerHandle | None = None
    began: float = 0.0
    state: Literal["waiting", "running", "finished", "abandoned"] = "waiting"
    result: Any = None
    error: Exception | None = None


@dataclass(slots=True)
class _Counts:
    admitted: int = 0
    finished: int = 0
    refused: int = 0
    expired: int = 0
    left: int = 0


@dataclass(slots=True)
class _Lane:
    """The waiting jobs of one weight class, in the order of their start tags, and the cost of those in flight."""

    heap: list[tuple[float, int, _Job[Any]]] = field(default_factory=list)
    running: int = 0
    cost_ms: float = 0.0


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
    heavy_ms: float = 25.0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _light: _Lane = field(default_factory=_Lane)
    _heavy: _Lane = field(default_factory=_Lane)
    _idle: list[threading.Lock] = field(default_factory=list)
    _answers: deque[_Job[Any]] = field(default_factory=deque)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _tags: dict[str | None, float] = field(default_factory=dict)
    _virtual_ms: float = 0.0
    _waiting: int = 0
    _running: int = 0
    _threads: int = 0
    _given_up: int = 0
    _seconds: float = 0.01
    _scale: float = 1.0
    _closed: bool = False
    _counts: _Counts = field(default_factory=_Counts)

    @classmethod
    def of(cls, settings: GateConfig) -> Gate:
        """A gate by its settings."""
        return cls(settings.capacity, settings.queue, settings.deadline_seconds, settings.lost, settings.heavy_ms)

    async def run(self, call: Callable[[], T], *, cost_ms: float = 1.0, key: str | None = None) -> T:
        """Return what ``call()`` returns, computed in a thread of the gate; its exceptions pass through.

        Args:
            call: a plain function.
            cost_ms: its estimated milliseconds; the gate corrects the estimate by what recent calls took.
            key: the flow that the call belongs to; flows share the workers fairly.

        Raises:
            Busy: all places and the whole queue are taken, or the work that waits would take longer than the
                deadline; says when to come back.
            DeadlinePassed: it took longer than the deadline, waiting included.
            Stalled: too many calls have stalled before.
            ClientGone: the client left while it waited (known where ``Presence`` is in front).
            Draining: the gate is closed.
        """
        job = self._admit(call, cost_ms, key)
        leaving = self._watch_client(job) if job.state == "waiting" else None
        try:
            return await job.answer
        except asyncio.CancelledError:
            self._leave(job)
            raise
        finally:
            if leaving is not None:
                leaving.cancel()

    def full(self) -> bool:
        """Whether the next call would be refused because the queue is full."""
        return self._waiting + self._running >= self.capacity + self.queue

    def stats(self) -> GateStats:
        """Figures for the metrics."""
        c = self._counts
        return GateStats(
            self._running,
            self._waiting,
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
        while self._running or self._waiting or self._answers:
            if time.monotonic() > until:
                return False
            await asyncio.sleep(0.01)
        return True

    def close(self) -> None:
        """Admit nobody any more; idle threads end, a stalled one is left behind (it does not hold the process)."""
        with self._lock:
            self._closed = True
            self._ring(len(self._idle))

    def retry_after(self) -> int:
        """Whole seconds until a place is likely: what is ahead, at the recent speed."""
        ahead = self._running + self._waiting
        return min(max(1, math.ceil(ahead * self._seconds / self.capacity)), 60)

    def refuse(self) -> Busy:
        """Count a refusal and return the error that says when to come back."""
        self.count_refusal()
        return Busy(what=f"{self._running} running, {self._waiting} waiting", seconds=self.retry_after())

    def count_refusal(self) -> None:
        """A request was refused before it came to the gate."""
        self._counts.refused += 1

    @property
    def _heavy_workers(self) -> int:
        return max(1, self.capacity - 1)

    def _admit(self, call: Callable[[], T], cost_ms: float, key: str | None) -> _Job[T]:
        if self._closed:
            raise Draining(seconds=1)
        if self._given_up > self.lost:
            self._counts.refused += 1
            raise Stalled(count=self._given_up, seconds=max(1, math.ceil(self.deadline_seconds)))
        if self.full():
            raise self.refuse()
        loop = asyncio.get_running_loop()
        heavy = cost_ms > self.heavy_ms
        cost_ms *= self._scale
        lane, workers = (self._heavy, self._heavy_workers) if heavy else (self._light, self.capacity)
        # Work that would wait past its deadline is refused now rather than computed for nobody.
        if lane.cost_ms and (lane.cost_ms + cost_ms) / workers > 1e3 * self.deadline_seconds:
            self._counts.refused += 1
            seconds = min(max(1, math.ceil(lane.cost_ms / workers / 1e3)), 60)
            raise Busy(what=f"{lane.cost_ms / 1e3:.1f} s of such requests ahead", seconds=seconds)
        job = _Job(call, loop.create_future(), loop, cost_ms, heavy)
        job.timer = loop.call_later(self.deadline_seconds, self._expire, job)
        self._counts.admitted += 1
        with self._lock:
            start = max(self._virtual_ms, self._tags.get(key, 0.0))
            self._tags[key] = start + cost_ms
            heapq.heappush(lane.heap, (start, next(self._numbers), job))
            lane.cost_ms += cost_ms
            self._waiting += 1
            self._start_threads()
            self._ring(1)
        return job

    def _start_threads(self) -> None:
        """Make up for threads that were given up; the lock is held."""
        while self._threads < self.capacity and not self._closed and self._given_up <= self.lost:
            self._threads += 1
            threading.Thread(target=self._work, name="segue-gate", daemon=True).start()

    def _ring(self, count: int) -> None:
        """Wake idle workers; the lock is held."""
        for _ in range(min(count, len(self._idle))):
            self._idle.pop().release()

    def _pick(self) -> _Job[Any] | None:
        """The waiting job with the smallest start tag that may run now, marked as running; the lock is held."""
        if self._running >= self.capacity:
            return None
        lanes = [self._light] if self._heavy.running >= self._heavy_workers else [self._light, self._heavy]
        for lane in lanes:
            while lane.heap and lane.heap[0][2].state != "waiting":
                heapq.heappop(lane.heap)
        lanes = [lane for lane in lanes if lane.heap]
        if not lanes:
            return None
        lane = min(lanes, key=lambda each: each.heap[0][:2])
        self._virtual_ms, _, job = heapq.heappop(lane.heap)
        self._waiting -= 1
        if not self._waiting:
            self._tags.clear()  # nobody waits, so every key begins anew
            self._virtual_ms = 0.0
        self._running += 1
        lane.running += 1
        job.state, job.began = "running", time.monotonic()
        return job

    def _work(self) -> None:
        """The life of a worker thread: one job after another, until the gate closes or its place was given away."""
        bell = threading.Lock()
        bell.acquire()
        while True:
            with self._lock:
                job = self._pick()
                if job is None:
                    if self._closed and not self._waiting:
                        self._threads -= 1
                        return
                    self._idle.append(bell)
            if job is None:
                bell.acquire()
                continue
            try:
                job.result = job.call()
            except StopIteration as raised:  # which no future can hold
                job.error = RuntimeError(repr(raised))
            except Exception as raised:  # noqa: BLE001 - it belongs to the one who waits
                job.error = raised
            if not self._finish(job):
                return
            del job

    def _finish(self, job: _Job[Any]) -> bool:
        """Account for a call that has returned; whether its thread still has a place."""
        with self._lock:
            abandoned = job.state == "abandoned"
            if abandoned:
                self._given_up -= 1
                stays = self._threads < self.capacity and not self._closed
                self._threads += stays
                self._start_threads()
            else:
                stays = True
                seconds = time.monotonic() - job.began
                job.state = "finished"
                self._release(job)
                self._counts.finished += 1
                self._seconds += 0.1 * (seconds - self._seconds)
                # In logarithms and within bounds, so that one stalled call does not make the next ones look heavy.
                ratio = min(max(1e3 * seconds / job.cost_ms, 0.25), 4.0)
                self._scale = min(max(self._scale * ratio**_SCALE_STEP, _SCALE_RANGE[0]), _SCALE_RANGE[1])
                if job.heavy:
                    self._ring(1)  # a heavy job may wait for this lane while another worker is idle
            quiet = not self._answers
            self._answers.append(job)
        if quiet or abandoned:
            try:
                job.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:  # the loop is closed: nobody waits any more
                self._answers.clear()
        return stays

    def _release(self, job: _Job[Any]) -> None:
        """Free the place of a job that runs; the lock is held."""
        lane = self._heavy if job.heavy else self._light
        self._running -= 1
        lane.running -= 1
        lane.cost_ms = max(lane.cost_ms - job.cost_ms, 0.0)

    def _deliver(self) -> None:
        """Give the results that have gathered to those who wait; on the event loop."""
        while self._answers:
            job = self._answers.popleft()
            if job.state != "finished":
                continue
            assert job.timer is not None
            job.timer.cancel()
            if not job.answer.done():
                if job.error is None:
                    job.answer.set_result(job.result)
                else:
                    job.answer.set_exception(job.error)

    def _expire(self, job: _Job[Any]) -> None:
        """The deadline: free the place at once, whatever its thread still does."""
        with self._lock:
            if job.state == "finished":  # its answer is on the way
                return
            if job.state == "waiting":
                self._drop(job)
            else:
                job.state = "abandoned"
                self._release(job)
                self._given_up += 1
                self._threads -= 1
                self._start_threads()
                self._ring(1)
        self._counts.expired += 1
        if not job.answer.done():
            job.answer.set_exception(DeadlinePassed(seconds=self.deadline_seconds))

    def _drop(self, job: _Job[Any]) -> None:
        """Take a job out of the queue; the lock is held, and the heap lets go of it later."""
        job.state = "abandoned"
        lane = self._heavy if job.heavy else self._light
        lane.cost_ms = max(lane.cost_ms - job.cost_ms, 0.0)
        self._waiting -= 1

    def _leave(self, job: _Job[Any]) -> bool:
        """A client has gone: its place in the queue is free; a call that runs is left to its end or deadline."""
        with self._lock:
            waited = job.state == "waiting"
            if waited:
                self._drop(job)
        self._counts.left += 1
        if waited and job.timer is not None:
            job.timer.cancel()
        return waited

    def _watch_client(self, job: _Job[Any]) -> asyncio.Task[None] | None:
        receive = _client.get()
        if receive is None:
            return None

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            if job.state == "waiting" and not job.answer.done() and self._leave(job):
                job.answer.set_exception(ClientGone())

        return asyncio.get_running_loop().create_task(watch())


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
