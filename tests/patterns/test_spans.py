"""Spans of time: what a person writes, as microseconds; and how many users a habit must have."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.errors import SpanUnreadable, SupportUnusable
from segue.patterns.spans import DAY, microseconds
from segue.patterns.support import least_users

HOUR = DAY // 24


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ("7d", 7 * DAY),
        ("36h", 36 * HOUR),
        ("1d 12h", 36 * HOUR),
        ("1d12h", 36 * HOUR),
        (" 2 W ", 14 * DAY),
        ("90min", HOUR * 3 // 2),
        ("90m", HOUR * 3 // 2),
        ("30 seconds", 30_000_000),
        ("1 hour 1 minute", HOUR + 60_000_000),
        ("1.5 days", 36 * HOUR),
        ("250ms", 250_000),
        ("1us", 1),
        ("0d", 0),
        (7, 7 * DAY),
        (0.5, DAY // 2),
        (np.int64(2), 2 * DAY),
        (np.float32(0.25), DAY // 4),
        (np.timedelta64(36, "h"), 36 * HOUR),
        (dt.timedelta(days=1, microseconds=1), DAY + 1),
    ],
)
def test_a_span_is_read_as_it_is_written(span: Any, expected: int) -> None:
    assert microseconds(span) == expected


@given(st.timedeltas(dt.timedelta(0), dt.timedelta(days=10_000)))
def test_a_timedelta_keeps_every_microsecond(span: dt.timedelta) -> None:
    assert microseconds(span) == microseconds(f"{span.days}d {span.seconds}s {span.microseconds}us")
    assert dt.timedelta(microseconds=microseconds(span)) == span


@pytest.mark.parametrize(
    "span",
    [
        "",
        "7",
        "d",
        "7x",
        "7d,",
        "7d and",
        "-7d",
        "7 mon",
        "٧d",
        "1e3d",
        None,
        True,
        [],
        math.nan,
        math.inf,
        -1,
        "9" * 400 + "d",
        1e300,
        np.timedelta64("NaT"),
        np.timedelta64(1, "M"),
        dt.timedelta(-1),
        dt.timedelta.max,
    ],
)
def test_what_is_no_span_is_refused_with_a_remedy(span: Any) -> None:
    with pytest.raises(SpanUnreadable, match="7d"):
        microseconds(span)


def test_a_pandas_timedelta_is_a_span_and_not_a_time_is_none() -> None:
    pandas = pytest.importorskip("pandas")
    assert microseconds(pandas.Timedelta("36h")) == 36 * HOUR
    with pytest.raises(SpanUnreadable):
        microseconds(pandas.NaT)


@pytest.mark.parametrize(
    ("min_support", "users", "expected"),
    [(1, 100, 1), (500, 100, 500), (0.01, 100, 1), (0.07, 100, 7), (0.071, 100, 8), (1.0, 100, 100), (0.01, 3, 1)],
)
def test_a_share_of_users_becomes_the_fewest_that_meet_it(min_support: float, users: int, expected: int) -> None:
    assert least_users(min_support, users) == expected


@pytest.mark.parametrize("value", [0, -1, 0.0, 1.5, -0.1, math.nan, True, None, "1%"])
def test_a_support_that_is_no_share_and_no_number_is_refused(value: Any) -> None:
    with pytest.raises(SupportUnusable):
        least_users(value, 100)
