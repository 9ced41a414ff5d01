"""One thread that does one thing again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from segue.errors import StoreUnavailable
from segue.serving.ticker import Ticker


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)


def test_it_steps_until_it_is_stopped_and_again_when_started_again() -> None:
    steps: list[int] = []
    ticker = Ticker("ticks", 0.01, lambda: steps.append(1))
    for _ in range(2):
        before = len(steps)
        ticker.start()
        until(lambda: len(steps) > before + 2)  # noqa: B023
        assert not ticker.ending
        ticker.stop()
        assert ticker.ending
        ended = len(steps)
        time.sleep(0.05)
        assert len(steps) == ended


def test_it_is_woken_before_its_time() -> None:
    steps: list[int] = []
    ticker = Ticker("ticks", 60, lambda: steps.append(1))
    ticker.start()
    ticker.wake()
    until(lambda: steps == [1])
    began = time.monotonic()
    ticker.stop()
    assert time.monotonic() - began < 5
    assert steps == [1]


def test_a_failure_is_told_once_and_so_is_its_end(caplog: pytest.LogCaptureFixture) -> None:
    steps: list[int] = []

    def step() -> None:
        steps.append(1)
        if len(steps) < 5:
            raise StoreUnavailable(url="sqlite:///shop.db", reason="away")

    ticker = Ticker("ticks", 0.005, step)
    ticker.start()
    until(lambda: len(steps) > 8)
    ticker.stop()
    told = [record.getMessage() for record in caplog.records]
    assert [text.split(":")[0] for text in told] == ["ticks failed and will try again", "ticks works again"]
    assert all(record.exc_info is None for record in caplog.records)


def test_a_step_that_hangs_is_left_behind() -> None:
    go = threading.Event()
    ticker = Ticker("ticks", 0.001, go.wait)
    ticker.start()
    time.sleep(0.05)
    began = time.monotonic()
    ticker.stop(timeout=0.05)
    assert time.monotonic() - began < 5
    go.set()
