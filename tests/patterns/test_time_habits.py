"""Hours and weekdays: counts of hand-made habits, the time zone of the log, and the test against all others."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from segue.data.frames import from_polars
from segue.errors import ActionUnknown, ChoiceUnknown, CountUnusable, NoClock, SymbolsMissing
from segue.patterns.time_habits import habits_of_time

MONDAY = dt.datetime(2024, 1, 1)


def log_of(rows: list[tuple[str, str, float]], zone: str = "UTC") -> pl.DataFrame:
    """Users, items and hours since a Monday in that zone."""
    stamps = [MONDAY + dt.timedelta(hours=hours) for _, _, hours in rows]
    frame = pl.DataFrame({"user_id": [r[0] for r in rows], "item_id": [r[1] for r in rows], "timestamp": stamps})
    return frame.with_columns(pl.col("timestamp").dt.replace_time_zone(zone))


def busy(seed: int = 0) -> pl.DataFrame:
    """Coffee in the morning, wine on Saturday evenings, bread at any time."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(40):
        for week in range(8):
            hours = {
                "coffee": 24 * rng.integers(7) + rng.integers(7, 10),
                "wine": 24 * 5 + rng.integers(18, 22),
                "bread": 24 * rng.integers(7) + rng.integers(7, 22),
            }
            rows += [(f"u{user}", item, float(24 * 7 * week + hour)) for item, hour in hours.items()]
    return log_of(rows)


def counts(frame: pl.DataFrame, cycle: str, **of: str) -> dict[str, int]:
    found = frame.filter(pl.col("cycle") == cycle, pl.col("count") > 0, **of)
    return dict(found.select("name", "count").iter_rows())


def test_every_symbol_has_24_hours_and_7_weekdays_whose_shares_are_one() -> None:
    frame = habits_of_time(busy(), of="item")
    per = frame.group_by("item_id", "cycle").agg(pl.len(), pl.col("share").sum(), pl.col("value").max())
    assert sorted(per.select("item_id", "cycle", "len", "value").rows()) == [
        (item, cycle, length, length - 1)
        for item in ("bread", "coffee", "wine")
        for cycle, length in (("hour", 24), ("weekday", 7))
    ]
    assert per["share"].to_list() == pytest.approx([1] * 6)


def test_habits_stand_out_and_what_has_none_does_not() -> None:
    frame = habits_of_time(busy(), of="item")
    wine = frame.filter(item_id="wine", cycle="weekday").sort("lift").row(-1, named=True)
    assert (wine["name"], wine["share"]) == ("Saturday", 1.0)
    assert wine["lift"] > 1.5
    assert wine["adjusted_p_value"] < 1e-10
    coffee = frame.filter(item_id="coffee", cycle="hour")
    assert coffee["p_value"][0] < 1e-10
    assert set(counts(frame, "hour", item_id="coffee")) == {"07:00", "08:00", "09:00"}


def test_an_hour_of_a_day_and_a_day_count_once_for_a_user() -> None:
    frame = habits_of_time(log_of([("u", "a", hour) for hour in (8, 8.2, 8.9, 9, 32)]), min_users=1)
    assert "item_id" not in frame.columns
    assert counts(frame, "hour") == {"08:00": 2, "09:00": 1}
    assert counts(frame, "weekday") == {"Monday": 1, "Tuesday": 1}


def test_hours_and_weekdays_are_those_of_the_logs_time_zone() -> None:
    utc = log_of([("u", "a", 20)])
    tokyo = utc.with_columns(pl.col("timestamp").dt.convert_time_zone("Asia/Tokyo"))
    assert counts(habits_of_time(utc, min_users=1), "hour") == {"20:00": 1}
    assert counts(habits_of_time(tokyo, min_users=1), "hour") == {"05:00": 1}
    assert counts(habits_of_time(tokyo, min_users=1), "weekday") == {"Tuesday": 1}


def test_summer_time_moves_no_habit() -> None:
    days = [(dt.datetime(2024, month, 3), month) for month in range(1, 13)]
    rows = [("u", "a", (day - MONDAY).total_seconds() / 3_600 + 8) for day, _ in days]
    assert counts(habits_of_time(log_of(rows, "Europe/Rome"), min_users=1), "hour") == {"08:00": 12}


def test_the_test_is_the_chi_square_of_a_symbol_against_the_others() -> None:
    frame = habits_of_time(busy(), of="item")
    table = np.array(
        [frame.filter(item_id=name, cycle="weekday")["count"].to_list() for name in ("bread", "wine", "coffee")]
    )
    expected = stats.chi2_contingency([table[0], table[1:].sum(axis=0)], correction=False).pvalue
    row = frame.filter(item_id="bread", cycle="weekday").row(0, named=True)
    assert row["p_value"] == pytest.approx(expected)
    overall = table.sum(axis=0) / table.sum()
    apart = np.abs(table[0] / table[0].sum() - overall).sum() / 2
    assert row["concentration"] == pytest.approx(apart)
    assert row["lift"] == pytest.approx(row["share"] / overall[0])


def test_all_events_as_one_are_held_against_an_even_spread() -> None:
    frame = habits_of_time(busy())
    week = frame.filter(cycle="weekday")
    assert week["p_value"][0] == pytest.approx(stats.chisquare(week["count"].to_numpy()).pvalue)
    assert week["lift"].to_list() == pytest.approx((week["share"] * 7).to_list())


def test_too_few_counts_have_no_p_value() -> None:
    frame = habits_of_time(log_of([("u", "a", 1), ("u", "b", 2)]), of="item", min_users=1)
    assert frame["p_value"].null_count() == frame.height == 62
    assert frame["adjusted_p_value"].null_count() == 62
    assert frame.filter(item_id="a", cycle="hour", value=1)["lift"].item() == pytest.approx(2)
    assert frame.filter(item_id="a", cycle="hour", value=5)["lift"].item() is None


def test_the_correction_is_for_every_test_and_the_users_asked_for_are_needed() -> None:
    rows = pl.concat([busy(), log_of([("u1", "rare", 5)])])
    frame = habits_of_time(rows, of="item", correction="bonferroni").select(
        "item_id", "cycle", "p_value", "adjusted_p_value"
    )
    tests = frame.drop_nulls().unique()
    assert "rare" not in frame["item_id"]
    assert tests["adjusted_p_value"].to_list() == pytest.approx((tests["p_value"] * tests.height).clip(0, 1).to_list())


def test_categories_are_symbols_and_items_without_one_are_left_out() -> None:
    items = pl.DataFrame({"item_id": ["a", "b"], "share": [["x", "y"], None]})
    frame = habits_of_time(log_of([("u", "a", 1), ("u", "b", 2)]), items, of="share", min_users=1)
    assert frame["share_"].unique().sort().to_list() == ["x", "y"]
    assert counts(frame, "hour") == {"01:00": 1}


def test_nobody_is_enough_for_no_rows_and_the_same_columns() -> None:
    none = habits_of_time(busy(), of="item", min_users=1_000)
    assert none.is_empty()
    assert none.schema == habits_of_time(busy(), of="item").schema


def test_a_frame_goes_back_as_it_came() -> None:
    pandas = pytest.importorskip("pandas")
    assert isinstance(habits_of_time(from_polars(busy(), "pandas")), pandas.DataFrame)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"min_users": 0}, CountUnusable),
        ({"correction": "holm"}, ChoiceUnknown),
        ({"of": "brand"}, SymbolsMissing),
        ({"action": "buy"}, ActionUnknown),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        habits_of_time(busy(), **options)


def test_an_order_alone_has_no_hours() -> None:
    with pytest.raises(NoClock):
        habits_of_time(busy().with_columns(timestamp=pl.int_range(pl.len())))


@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("uv"), st.sampled_from("ab"), st.integers(0, 400)), min_size=1, max_size=40
    ),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York"]),
)
def test_counts_are_those_of_brute_force(rows: list[tuple[str, str, int]], zone: str) -> None:
    frame = habits_of_time(log_of([(u, i, hours / 2) for u, i, hours in rows], zone), of="item", min_users=1)
    moments = {(user, item, MONDAY + dt.timedelta(hours=half / 2)) for user, item, half in rows}
    hours = {(user, item, moment.date(), moment.hour) for user, item, moment in moments}
    days = {(user, item, moment.date()) for user, item, moment in moments}
    for item in {row[1] for row in rows}:
        by_hour = Counter(f"{hour:02}:00" for _, name, _, hour in hours if name == item)
        by_day = Counter(day.strftime("%A") for _, name, day in days if name == item)
        assert counts(frame, "hour", item_id=item) == dict(by_hour)
        assert counts(frame, "weekday", item_id=item) == dict(by_day)
