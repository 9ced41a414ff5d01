"""The gate: who is admitted, who waits, who is told to come later. With latches, never sleeps."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from segue.errors import Busy, ClientGone, ConfigValue, DeadlinePassed, Draining, Stalled
from segue.serving.guard.gate import Gate, GateConfig, Presence


class Latch:
    """Calls that wait until they are let go."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.begun = threading.Semaphore(0)

    def __call__(self) -> str:
        self.begun.release()
        assert self.open.wait(20)
        return "answered"

    async def wait_begun(self, count: int) -> None:
        for _ in range(count):
            assert await asyncio.to_thread(self.begun.acquire, timeout=10)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until a condition holds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.002)


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        asyncio.run(test())

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@in_loop
async def test_an_answer_and_an_error_pass_through() -> None:
    gate = Gate(capacity=1)
    assert await gate.run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        await gate.run(lambda: 1 // 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await gate.run(lambda: next(iter(())))
    assert gate.stats().finished == 3
    gate.close()


@in_loop
async def test_capacity_and_queue_are_admitted_and_the_next_are_told_when_to_come_back() -> None:
    gate, latch = Gate(capacity=2, queue=3, deadline_seconds=20), Latch()
    admitted = [asyncio.create_task(gate.run(latch)) for _ in range(5)]
    await latch.wait_begun(2)
    for _ in range(10):
        began = time.perf_counter()
        with pytest.raises(Busy) as refused:
            await gate.run(latch)
        assert time.perf_counter() - began < 0.05
        assert 1 <= int(refused.value.headers["Retry-After"]) <= 60
        assert refused.value.status == 429
    assert (gate.stats().running, gate.stats().waiting, gate.stats().refused) == (2, 3, 10)
    latch.open.set()
    assert await asyncio.gather(*admitted) == ["answered"] * 5
    assert await gate.drain(5)
    gate.close()


@in_loop
async def test_more_is_answered_by_never_more_threads_than_places() -> None:
    gate, threads = Gate(capacity=3, queue=100, deadline_seconds=20), set()
    together, peak, lock = 0, 0, threading.Lock()

    def call() -> int:
        nonlocal together, peak
        with lock:
            together += 1
            peak = max(peak, together)
            threads.add(threading.get_ident())
        time.sleep(0.001)
        with lock:
            together -= 1
        return together

    await asyncio.gather(*[gate.run(call) for _ in range(100)])
    assert peak <= 3
    assert len(threads) <= 3
    gate.close()


@in_loop
async def test_a_deadline_frees_the_place_although_the_thread_goes_on() -> None:
    gate, latch = Gate(capacity=1, queue=0, deadline_seconds=0.1), Latch()
    began = time.perf_counter()
    with pytest.raises(DeadlinePassed) as passed:
        await gate.run(latch)
    assert time.perf_counter() - began < 0.3
    assert passed.value.status == 504
    assert await gate.run(lambda: "next") == "next"
    assert gate.stats().lost == 1
    latch.open.set()
    await until(lambda: gate.stats().lost == 0)
    assert await gate.run(lambda: "again") == "again"
    gate.close()


@in_loop
async def test_the_deadline_counts_from_admission_also_in_the_queue() -> None:
    gate, latch = Gate(capacity=1, queue=1, deadline_seconds=0.15, lost=0), Latch()
    began = time.perf_counter()
    results = await asyncio.gather(gate.run(latch), gate.run(latch), return_exceptions=True)
    assert [type(r) for r in results] == [DeadlinePassed, DeadlinePassed]
    assert time.perf_counter() - began < 0.35
    assert gate.stats().waiting == 0
    latch.open.set()
    gate.close()


@in_loop
async def test_stalled_threads_are_bounded_and_everybody_is_admitted_again_when_they_return() -> None:
    gate, latch = Gate(capacity=2, queue=10, deadline_seconds=0.05, lost=3), Latch()
    before = threading.active_count()
    for _ in range(4):
        with pytest.raises(DeadlinePassed):
            await gate.run(latch)
    with pytest.raises(Stalled) as refused:
        await gate.run(lambda: "no")
    assert refused.value.status == 503
    assert threading.active_count() - before <= 2 + 3
    latch.open.set()
    await until(lambda: gate.stats().lost == 0)
    assert await gate.run(lambda: "yes") == "yes"
    await until(lambda: threading.active_count() - before <= 2)
    gate.close()


@in_loop
async def test_who_is_cancelled_in_the_queue_frees_its_place() -> None:
    gate, latch = Gate(capacity=1, queue=1, deadline_seconds=20), Latch()
    first = asyncio.create_task(gate.run(latch))
    await latch.wait_begun(1)
    second = asyncio.create_task(gate.run(latch))
    await until(lambda: gate.stats().waiting == 1)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    assert gate.stats().waiting == 0
    third = asyncio.create_task(gate.run(lambda: "third"))
    latch.open.set()
    assert [await first, await third] == ["answered", "third"]
    gate.close()


@in_loop
async def test_a_client_that_goes_away_frees_its_place_in_the_queue() -> None:
    gate, latch, gone = Gate(capacity=1, queue=1, deadline_seconds=20), Latch(), asyncio.Event()
    outcome: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await gate.run(latch)
        except ClientGone as error:
            outcome.append(error)

    async def receive() -> dict[str, Any]:
        await gone.wait()
        return {"type": "http.disconnect"}

    first = asyncio.create_task(gate.run(latch))
    await latch.wait_begun(1)
    second = asyncio.create_task(Presence(app)({"type": "http"}, receive, None))
    await until(lambda: gate.stats().waiting == 1)
    gone.set()
    await second
    assert len(outcome) == 1
    assert (gate.stats().waiting, gate.stats().left) == (0, 1)
    latch.open.set()
    await first
    gate.close()


@in_loop
async def test_a_closed_gate_answers_who_was_admitted_and_nobody_else() -> None:
    gate, latch = Gate(capacity=1, queue=1, deadline_seconds=20), Latch()
    admitted = asyncio.create_task(gate.run(latch))
    await latch.wait_begun(1)
    assert not await gate.drain(0.02)
    gate.close()
    with pytest.raises(Draining):
        await gate.run(latch)
    latch.open.set()
    assert await admitted == "answered"


def test_settings_make_a_gate_and_refuse_nonsense() -> None:
    gate = Gate.of(GateConfig(capacity=3, queue=4, deadline_seconds=1.5, lost=2))
    assert (gate.capacity, gate.queue, gate.deadline_seconds, gate.lost) == (3, 4, 1.5, 2)
    with pytest.raises(ConfigValue):
        GateConfig.parse({"capacity": 0})
