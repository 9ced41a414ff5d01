"""Following a store: all that is new, in order, to everyone, whatever fails on the way."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segue.errors import StoreUnavailable
from segue.serving.store import Follower, ModelRow, Store, StoredEvent, Writer
from tests.serving.store.makers import event

LONG = 60.0


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store.open(url)
    yield store
    store.close()


@pytest.fixture
def follower(store: Store) -> Iterator[Follower]:
    follower = Follower(store, poll_seconds=0.02)
    yield follower
    follower.stop()


def test_events_of_another_process_are_told_in_the_order_of_commits(url: str, follower: Follower) -> None:
    told: list[int] = []
    follower.subscribe(lambda events: told.extend(e.seq for e in events))
    follower.start()
    others = [Store.open(url) for _ in range(2)]

    def write(into: Store) -> None:
        for _ in range(20):
            into.append([event(), event()])

    threads = [threading.Thread(target=write, args=(each,)) for each in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert follower.wait_for("events", 80, 30)
    for each in others:
        each.close()
    assert told == list(range(1, 81))


@pytest.mark.parametrize(("start", "expected"), [(0, [1, 2, 3]), (1, [2, 3]), (None, [3])])
def test_it_begins_after_the_number_given_or_now(store: Store, start: int | None, expected: list[int]) -> None:
    store.append([event(), event()])
    told: list[int] = []
    follower = Follower(store, events=start, poll_seconds=0.02)
    follower.subscribe(lambda events: told.extend(e.seq for e in events))
    follower.start()
    assert follower.wait_for("events", store.append([event()]).seq, 30)
    follower.stop()
    assert told == expected


def test_rows_of_the_catalogue_and_models_are_told(store: Store, follower: Follower) -> None:
    items: list[Any] = []
    models: list[list[str]] = []
    follower.subscribe_items(items.extend)
    follower.subscribe_models(lambda rows: models.append([row.name for row in rows]))
    follower.start()
    store.put_items([{"item_id": "a"}])
    store.write_model_rows(lambda rows: [ModelRow("m", "p", "s", "active", 1, 1)])
    assert follower.wait_for("items", 1, 30)
    assert follower.wait_for("models", 1, 30)
    store.write_model_rows(lambda rows: [])
    assert follower.wait_for("models", 2, 30)
    assert (items, models) == ([(1, {"item_id": "a"})], [["m"], []])


def test_a_subscriber_that_fails_is_counted_and_the_others_are_told(
    store: Store, follower: Follower, caplog: pytest.LogCaptureFixture
) -> None:
    told: list[StoredEvent] = []

    def broken(events: list[StoredEvent]) -> None:
        raise ZeroDivisionError("on purpose")

    follower.subscribe(broken)
    follower.subscribe(told.extend)
    follower.start()
    for _ in range(2):
        assert follower.wait_for("events", store.append([event()]).seq, 30)
    assert (len(told), follower.errors) == (2, 2)
    assert "a subscriber to events failed" in caplog.text


def test_a_store_that_goes_away_is_asked_until_it_is_back_and_nothing_is_skipped(
    store: Store, follower: Follower, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []
    follower.subscribe(lambda events: told.extend(e.seq for e in events))
    follower.start()

    def away() -> dict[str, int]:
        raise StoreUnavailable(url="x", reason="away")

    monkeypatch.setattr("segue.serving.store.follow._AWAY_S", 0.02)
    with monkeypatch.context() as patch:
        patch.setattr(store, "newest", away)
        wait_until(lambda: follower.away)
        store.append([event(), event()])
        assert told == []
    assert follower.wait_for("events", 2, 30)
    assert told == [1, 2]
    wait_until(lambda: not follower.away)


def test_a_commit_here_is_told_at_once_though_it_polls_seldom(store: Store) -> None:
    follower, writer = Follower(store, poll_seconds=LONG), Writer(store)
    writer.wake = follower.wake
    follower.start()
    time.sleep(0.05)
    start = time.monotonic()
    assert follower.wait_for("events", writer.append_now([event()]).seq, 30)
    assert time.monotonic() - start < LONG / 3
    follower.stop()
    writer.close()


def test_stopping_does_not_wait_for_the_next_poll(store: Store) -> None:
    follower = Follower(store, poll_seconds=LONG)
    follower.start()
    start = time.monotonic()
    follower.stop()
    assert time.monotonic() - start < LONG / 3


def wait_until(true: Any, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until
        time.sleep(0.005)
