"""Group commit: who is acknowledged when, and whose mistake is whose."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from segue.errors import AppendLate, RowRefused, StoreBusy, StoreFull, StoreUnavailable
from segue.serving.store import Appended, Event, ServedList, Store, Writer
from tests.serving.store.makers import event, shown


class Latched(Store):
    """Holds every commit until it is let go; may fail."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.go, self.begun = threading.Event(), threading.Event()
        self.fails: Exception | None = None
        self.sizes: list[list[int]] = []
        self.go.set()

    def append_batches(self, batches: Sequence[Sequence[Event]], lists: Sequence[ServedList] = ()) -> list[Appended]:
        self.begun.set()
        self.go.wait(30)
        self.sizes.append([len(batch) for batch in batches])
        if self.fails is not None:
            raise self.fails
        return super().append_batches(batches, lists)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Latched]:
    store = Latched.open(f"sqlite:///{tmp_path / 'store.db'}")
    yield store
    store.close()


@pytest.fixture
def writer(store: Latched) -> Iterator[Writer]:
    writer = Writer(store, queue=10, deadline_seconds=30)
    yield writer
    store.go.set()
    writer.close()


def held(store: Latched, writer: Writer) -> threading.Thread:
    """Keep the writer busy with one commit, so that what comes now waits."""
    store.go.clear()
    store.begun.clear()
    thread = threading.Thread(target=writer.append_now, args=([event()],))
    thread.start()
    assert store.begun.wait(30)
    return thread


def test_requests_that_wait_are_written_together_and_each_hears_of_its_own(store: Latched, writer: Writer) -> None:
    async def requests() -> list[Appended]:
        busy = held(store, writer)
        tasks = [asyncio.create_task(writer.append([event(event_id="a"), event()])) for _ in range(3)]
        await asyncio.sleep(0.05)
        store.go.set()
        answers = await asyncio.gather(*tasks)
        busy.join()
        return answers

    answers = asyncio.run(requests())
    assert [(each.stored, each.known) for each in answers] == [(2, 0), (1, 1), (1, 1)]
    assert store.sizes == [[1], [2, 2, 2]]
    assert writer.commits == 2


def test_nobody_is_acknowledged_before_the_commit(store: Latched, writer: Writer) -> None:
    async def request() -> bool:
        store.go.clear()
        task = asyncio.create_task(writer.append([event()]))
        await asyncio.sleep(0.1)
        early = task.done()
        store.go.set()
        await task
        return early

    assert asyncio.run(request()) is False


def test_a_transaction_holds_no_more_than_a_batch(store: Latched) -> None:
    writer = Writer(store, batch=3, deadline_seconds=30)
    busy = held(store, writer)
    threads = [threading.Thread(target=writer.append_now, args=([event(), event()],)) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: writer.waiting == 6)
    store.go.set()
    for thread in [busy, *threads]:
        thread.join()
    writer.close()
    assert store.sizes == [[1], [2], [2], [2]]


def test_more_than_may_wait_is_refused_at_once_and_room_comes_back(store: Latched, writer: Writer) -> None:
    async def requests() -> Appended:
        busy = held(store, writer)
        waits = [asyncio.create_task(writer.append([event() for _ in range(10)]))]
        await asyncio.sleep(0.05)
        start = time.perf_counter()
        with pytest.raises(StoreBusy):
            await writer.append([event()])
        assert time.perf_counter() - start < 0.5
        store.go.set()
        (all_of_them,) = await asyncio.gather(*waits)
        assert all_of_them.stored == 10
        busy.join()
        return await writer.append([event()])

    assert asyncio.run(requests()).stored == 1
    assert writer.waiting == 0


def test_a_request_past_its_deadline_is_told_so_and_what_waited_is_not_written(store: Latched, writer: Writer) -> None:
    async def request() -> None:
        busy = held(store, writer)
        with pytest.raises(AppendLate):
            await writer.append([event("late")], deadline_seconds=0.05)
        with pytest.raises(AppendLate):
            await asyncio.to_thread(writer.append_now, [event("late")], 0.05)
        store.go.set()
        await asyncio.to_thread(busy.join)

    asyncio.run(request())
    writer.append_now([event()])
    assert len(store.history("late", 5)) == 0


def test_one_request_that_cannot_be_stored_does_not_spoil_the_others(store: Latched, writer: Writer) -> None:
    async def requests() -> list[Any]:
        busy = held(store, writer)
        batches = [[event("a")], [event("b"), event("b", timestamp=2**70)], [event("c")]]
        tasks = [asyncio.create_task(writer.append(batch)) for batch in batches]
        writer.log([shown()])
        await asyncio.sleep(0.05)
        store.go.set()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(busy.join)
        return answers

    first, second, third = asyncio.run(requests())
    assert (first.stored, third.stored) == (1, 1)
    assert isinstance(second, RowRefused)
    assert [len(store.history(user, 5)) for user in "abc"] == [1, 0, 1]
    wait_until(lambda: store.served("r1") is not None)


@pytest.mark.parametrize("error", [StoreFull(url="x", reason="full"), StoreUnavailable(url="x", reason="away")])
def test_a_store_that_is_full_or_away_is_told_to_all_and_works_again_later(
    store: Latched, writer: Writer, error: Exception
) -> None:
    store.fails = error
    for _ in range(2):
        with pytest.raises(type(error)):
            writer.append_now([event()])
    store.fails = None
    assert writer.append_now([event()]).stored == 1


def test_lists_wait_for_a_store_that_is_away_and_the_oldest_are_lost_first(store: Latched, writer: Writer) -> None:
    store.fails = StoreUnavailable(url="x", reason="away")
    writer.log([shown(f"r{n}") for n in range(12)])
    wait_until(lambda: len(store.sizes) > 0)
    store.fails = None
    wait_until(lambda: store.served("r11") is not None)
    assert writer.lost_lists == 2
    assert [store.served(f"r{n}") is not None for n in range(12)] == [False] * 2 + [True] * 10


def test_of_many_lists_only_the_one_that_cannot_be_stored_is_lost(store: Latched, writer: Writer) -> None:
    busy = held(store, writer)
    writer.log([shown(f"r{n}", "x" * 600 if n == 4 else "u1") for n in range(9)])
    store.go.set()
    busy.join()
    wait_until(lambda: store.served("r8") is not None and writer.lost_lists)
    assert [n for n in range(9) if store.served(f"r{n}") is None] == [4]
    assert writer.lost_lists == 1


def test_lists_that_the_store_never_takes_keep_no_event_waiting(
    store: Latched, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise StoreUnavailable(url="x", reason="not these")

    with monkeypatch.context() as patched:
        patched.setattr("segue.serving.store.served.log", refuse)
        writer.log([shown()])
        with contextlib.suppress(StoreUnavailable):
            writer.append_now([event()])
        assert [writer.append_now([event()]).stored for _ in range(3)] == [1, 1, 1]
    wait_until(lambda: store.served("r1") is not None)
    assert writer.lost_lists == 0


def test_closing_writes_what_waits_and_refuses_what_comes_later(store: Latched) -> None:
    writer = Writer(store, deadline_seconds=30)
    busy = held(store, writer)
    waits = threading.Thread(target=writer.append_now, args=([event("waited")],))
    waits.start()
    wait_until(lambda: writer.waiting == 1)
    writer.log([shown()])
    store.go.set()
    writer.close()
    for thread in (busy, waits):
        thread.join()
    assert len(store.history("waited", 1)) == 1
    assert store.served("r1") is not None
    with pytest.raises(StoreUnavailable):
        writer.append_now([event()])


def test_a_commit_wakes_who_follows(store: Latched, writer: Writer) -> None:
    woken = threading.Event()
    writer.wake = woken.set
    writer.append_now([event()])
    assert woken.wait(30)


def wait_until(true: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)
