"""Time regularity: intervals of hand-made habits, how regular they are, and who is due."""

from __future__ import annotations

import datetime as dt
import itertools
import statistics
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segue
from segue.data.frames import from_polars
from segue.errors import (
    ActionUnknown,
    CountUnusable,
    DateUnreadable,
    NoClock,
    NumberUnusable,
    SpanUnreadable,
    SymbolsMissing,
)
from segue.patterns.regularity import due, refills

START = dt.datetime(2024, 1, 1, 12)
Event = tuple[str, str, float]
FEW: dict[str, Any] = {"min_users": 1, "min_repeats": 1}


def log_of(events: list[Event]) -> pl.DataFrame:
    rows = [(user, item, START + dt.timedelta(days=day)) for user, item, day in events]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def visits(user: str, item: str, *days: float) -> list[Event]:
    return [(user, item, day) for day in days]


LOG = log_of(
    [
        *visits("u", "ink", 0, 30, 60, 90),
        *visits("v", "ink", 0, 20, 40),
        *visits("w", "ink", 5, 50),
        *visits("x", "ink", 10),
        *visits("u", "lamp", 3),
        *visits("v", "soap", 0, 1, 10),
    ]
)


def rows_of(frame: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["item_id"]: row for row in frame.iter_rows(named=True)}


def test_intervals_are_medians_over_users_of_each_users_own_median() -> None:
    found = rows_of(refills(LOG, **FEW))
    assert list(found) == ["ink", "soap"]
    assert found["ink"] == {
        "item_id": "ink",
        "users": 4,
        "returning_users": 3,
        "returning_share": 0.75,
        "repeats": 6,
        "median_days": 30.0,
        "lower_days": 25.0,
        "upper_days": 37.5,
        "regularity": 1.0,
    }
    assert found["soap"]["regularity"] == pytest.approx(1 - 3 * (8 / 10) ** 2)


def test_regularity_is_unknown_where_nobody_has_two_intervals() -> None:
    assert rows_of(refills(log_of(visits("u", "a", 0, 7)), **FEW))["a"]["regularity"] is None


def test_a_clock_is_regular_chance_is_not_and_bursts_are_less() -> None:
    rng = np.random.default_rng(0)
    gaps = {
        "clock": rng.normal(30, 1, (40, 40)),
        "chance": rng.exponential(30, (40, 40)),
        "bursts": np.where(rng.random((40, 40)) < 0.5, 1, 60.0),
    }
    events = [
        (f"u{user}", name, float(day))
        for name, table in gaps.items()
        for user, row in enumerate(table)
        for day in row.cumsum()
    ]
    found = {name: row["regularity"] for name, row in rows_of(refills(log_of(events), merge=0)).items()}
    assert found["clock"] > 0.99
    assert found["chance"] == pytest.approx(0, abs=0.1)
    assert found["bursts"] < -0.2


def test_users_of_different_pace_do_not_blur_the_regularity() -> None:
    paces = [event for user in range(1, 9) for event in visits(f"u{user}", "a", *(user * 5 * n for n in range(5)))]
    assert rows_of(refills(log_of(paces)))["a"]["regularity"] == 1.0


def test_events_close_together_are_one_visit() -> None:
    log = log_of(visits("u", "a", 0, 0.1, 0.2, 10, 10.4, 20))
    assert rows_of(refills(log, **FEW))["a"]["repeats"] == 2
    assert rows_of(refills(log, **FEW, merge="1h"))["a"]["repeats"] == 5
    together = log_of(visits("u", "a", 0, 0, 7))
    data = segue.Dataset.from_frames(together, cleaning={"duplicates": False})
    assert rows_of(refills(data, **FEW, merge=0))["a"]["repeats"] == 1


def test_symbols_with_too_few_users_or_repeats_are_left_out() -> None:
    assert set(rows_of(refills(LOG, min_users=3, min_repeats=1))) == {"ink"}
    assert refills(LOG, min_users=3, min_repeats=7).is_empty()
    assert refills(log_of(visits("u", "a", 0)), **FEW).schema == refills(LOG, **FEW).schema


def test_one_kind_of_action_alone_is_looked_at() -> None:
    log = LOG.with_columns(action=pl.when(pl.col("item_id") == "soap").then(pl.lit("view")).otherwise(pl.lit("buy")))
    assert set(rows_of(refills(log, action="buy", **FEW))) == {"ink"}
    with pytest.raises(ActionUnknown, match="buy"):
        refills(log, action="bye")
    both = refills(log, of="action+item", **FEW)
    assert both.select("action", "item_id").rows() == [("buy", "ink"), ("view", "soap")]


def test_a_category_is_refilled_by_any_of_its_items_and_items_without_one_by_none() -> None:
    items = pl.DataFrame({"item_id": ["ink", "lamp", "soap"], "users": ["desk", "desk", None]})
    found = refills(LOG, items, of="users", **FEW)
    assert found["users_"].to_list() == ["desk"]  # the name of a measure is taken
    assert found["repeats"].to_list() == [7]


def test_who_is_due_is_told_by_the_users_own_pace_or_the_usual_one() -> None:
    found = due(LOG, at="2024-04-01 12:00", ahead="30d", **FEW)
    # u comes every 30 days, v every 20 and is gone; w came back once, and 30 days are usual.
    assert found.columns == ["user_id", "item_id", "last", "expected", "days_late", "interval_days"]
    assert found.rows() == [
        ("w", "ink", *_moments(50, 80), 11.0, 30.0),
        ("u", "ink", *_moments(90, 120), -29.0, 30.0),
    ]
    patient = due(LOG, at="2024-04-01 12:00", lapsed=3, **FEW)
    assert patient["user_id"].to_list() == ["v", "w"]


def _moments(*days: float) -> list[dt.datetime]:
    return [(START + dt.timedelta(days=day)).replace(tzinfo=dt.UTC) for day in days]


def test_nothing_after_the_moment_is_looked_at() -> None:
    early = log_of([event for event in _events(LOG) if event[2] <= 45])
    options: dict[str, Any] = {"at": START + dt.timedelta(days=45), "ahead": "20d", **FEW}
    asked = due(LOG, **options)
    assert asked.equals(due(early, **options))
    # v's own pace is 20 days; u came back once so far, and the usual is between u's 30 and v's 20.
    assert asked.select("user_id", "days_late").rows() == [("u", -10.0), ("v", -15.0)]


def _events(log: pl.DataFrame) -> list[Event]:
    return [(user, item, (moment - START).total_seconds() / 86_400) for user, item, moment in log.iter_rows()]


def test_moments_are_given_and_read_in_the_time_zone_of_the_log() -> None:
    zoned = LOG.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"))
    found = due(zoned, at="2024-04-01 21:00", ahead="30d", **FEW)
    assert found.schema["last"] == pl.Datetime("us", "Asia/Tokyo")
    assert found["days_late"].to_list() == [11.0, -29.0]


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_frames_go_back_as_they_came(kind: Any) -> None:
    pytest.importorskip({"pandas": "pandas", "arrow": "pyarrow"}[kind])
    log = from_polars(LOG, kind)
    assert type(refills(log, **FEW)) is type(log)
    assert type(due(log, **FEW)) is type(log)


@pytest.mark.parametrize("ask", [refills, due])
@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"min_users": 0}, CountUnusable),
        ({"min_repeats": 1.5}, CountUnusable),
        ({"merge": "often"}, SpanUnreadable),
        ({"of": "brand"}, SymbolsMissing),
        ({"action": "buy"}, ActionUnknown),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(ask: Any, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(LOG, **options)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"at": "soon"}, DateUnreadable),
        ({"at": 3}, DateUnreadable),
        ({"at": True}, DateUnreadable),
        ({"ahead": "soon"}, SpanUnreadable),
        ({"lapsed": -1}, NumberUnusable),
        ({"lapsed": "late"}, NumberUnusable),
        ({"lapsed": float("nan")}, NumberUnusable),
    ],
)
def test_a_moment_that_cannot_be_read_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        due(LOG, **options)


@pytest.mark.parametrize("ask", [refills, due])
def test_an_order_alone_has_no_intervals(ask: Any) -> None:
    with pytest.raises(NoClock):
        ask(LOG.with_columns(timestamp=pl.int_range(pl.len())))


@settings(max_examples=50)
@given(
    events=st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("ab"), st.integers(0, 40)), min_size=1),
    merge=st.integers(0, 3),
)
def test_measures_are_those_of_brute_force(events: list[Event], merge: int) -> None:
    found = rows_of(refills(log_of(events), merge=merge, **FEW))
    expected = {}
    for item in "ab":
        gaps = []
        for user in "uvw":
            days = sorted({day for u, i, day in events if (u, i) == (user, item)})
            kept = [day for place, day in enumerate(days) if place == 0 or day - days[place - 1] > merge]
            if days:
                gaps.append([right - left for left, right in itertools.pairwise(kept)])
        back = [statistics.median(row) for row in gaps if row]
        if back:
            local = [3 * ((a - b) / (a + b)) ** 2 for row in gaps for a, b in itertools.pairwise(row)]
            low, middle, high = np.quantile(back, [0.25, 0.5, 0.75])
            expected[item] = (len(gaps), len(back), sum(map(len, gaps)), middle, low, high)
            assert found[item]["regularity"] == (pytest.approx(1 - statistics.fmean(local)) if local else None)
    columns = ("users", "returning_users", "repeats", "median_days", "lower_days", "upper_days")
    assert found.keys() == expected.keys()
    for item, row in found.items():
        assert [row[name] for name in columns] == pytest.approx(expected[item])
