"""Contrast patterns: two groups, two times, who did something; counts against brute force, p values against SciPy."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import segue
from segue.data.frames import from_polars
from segue.errors import (
    ActionUnknown,
    ChoiceUnknown,
    ColumnMissing,
    CountUnusable,
    DateUnreadable,
    GroupsUnusable,
    NoClock,
    SupportUnusable,
)
from segue.patterns.contrast import adjusted, contrast, fisher

SECOND = 1_600_000_000
DAY = 86_400
Event = tuple[str, str, int, str]


def log_of(events: list[Event]) -> pl.DataFrame:
    return pl.DataFrame(events, schema=["user_id", "item_id", "timestamp", "action"], orient="row")


def walk(user: str, items: str, actions: str | None = None) -> list[Event]:
    names = {"v": "view", "p": "purchase"}
    steps = zip(items, actions or "v" * len(items), strict=True)
    return [(user, item, SECOND + DAY * day, names[action]) for day, (item, action) in enumerate(steps)]


def told(frame: pl.DataFrame, *columns: str) -> dict[tuple[str, ...], tuple[Any, ...]]:
    return {tuple(row["pattern"]): tuple(row[name] for name in columns) for row in frame.iter_rows(named=True)}


LOG = log_of([*walk("u", "abc"), *walk("v", "acb"), *walk("w", "ab"), *walk("x", "ba"), *walk("y", "c")])
GROUPS = {"u": 1, "v": 1, "w": 1, "x": 0, "y": 0, "nobody": 0}


def test_every_measure_follows_from_the_four_cells() -> None:
    frame = contrast(LOG, groups=GROUPS, max_length=2, min_support=1)
    first = frame.columns[:6]
    assert first == ["pattern", "length", "support_1", "share_1", "support_0", "share_0"]
    row = frame.filter(pl.col("pattern") == ["a", "b"]).row(0, named=True)
    assert (row["support_1"], row["support_0"], row["share_1"], row["share_0"]) == (3, 0, 1, 0)
    assert row["growth"] == math.inf
    assert row["difference"] == 1
    assert row["odds_ratio"] == pytest.approx(3.5 * 2.5 / (0.5 * 0.5))
    assert row["p_value"] == pytest.approx(stats.fisher_exact([[3, 0], [0, 2]]).pvalue)
    row = frame.filter(pl.col("pattern") == ["c"]).row(0, named=True)
    assert row["growth"] == pytest.approx((2 / 3) / (1 / 2))
    assert row["odds_ratio"] == pytest.approx(2 * 1 / (1 * 1))


def test_a_pattern_needs_its_support_in_one_group_only() -> None:
    found = told(contrast(LOG, groups=GROUPS, min_support=0.9), "support_1", "support_0")
    assert found == {("a",): (3, 1), ("b",): (3, 1), ("a", "b"): (3, 0)}


def test_groups_come_as_a_mapping_or_a_frame_and_the_target_is_first() -> None:
    frame = pl.DataFrame({"user_id": list(GROUPS), "segment": list(GROUPS.values())})
    mapped = contrast(LOG, groups=GROUPS)
    assert contrast(LOG, groups=frame).equals(mapped)
    turned = contrast(LOG, groups=frame, target=0)
    assert turned.columns[2] == "support_0"
    assert told(turned, "difference") == {p: (-d,) for p, (d,) in told(mapped, "difference").items()}


def test_one_label_of_many_stands_against_the_rest() -> None:
    many = {"u": "gold", "v": "silver", "w": "none", "x": None, "y": "gold"}
    found = told(
        contrast(LOG, groups=many, target="gold", max_length=1, min_support=1), "support_gold", "support_others"
    )
    assert found == {("a",): (1, 2), ("b",): (1, 2), ("c",): (2, 1)}
    with pytest.raises(GroupsUnusable, match="3 labels"):
        contrast(LOG, groups=many)


def test_a_moment_parts_each_history_in_two_times() -> None:
    moment = dt.datetime.fromtimestamp(SECOND + DAY, dt.UTC)
    found = told(contrast(LOG, since=moment, max_length=1, min_support=1), "support_since", "support_before")
    assert found == {("a",): (1, 3), ("b",): (3, 1), ("c",): (2, 1)}
    near = told(contrast(LOG, since=moment, period="1d", min_support=1), "support_since", "support_before")
    assert near == {("a",): (1, 3), ("b",): (2, 1), ("c",): (1, 1)}


def test_a_date_is_read_in_the_time_zone_of_the_log() -> None:
    # Half past eight in the evening of 31 December in UTC is the new year in Tokyo.
    stamps = [dt.datetime(2023, 12, 31, 14, 30), dt.datetime(2023, 12, 31, 20, 30)]
    log = pl.DataFrame({"user_id": ["u", "u"], "item_id": ["a", "b"], "timestamp": stamps})
    zoned = log.with_columns(pl.col("timestamp").dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"))
    found = told(contrast(zoned, since="2024-01-01", min_support=1), "support_since", "support_before")
    assert found == {("a",): (0, 1), ("b",): (1, 0)}
    with pytest.raises(GroupsUnusable, match="since"):
        contrast(log, since="2024-01-01")


def test_a_log_of_an_order_is_parted_by_a_place_in_it() -> None:
    order = LOG.with_columns(timestamp=pl.int_range(pl.len()))
    found = told(contrast(order, since=6, max_length=1, min_support=1), "support_since", "support_before")
    assert found == {("a",): (2, 2), ("b",): (2, 2), ("c",): (1, 2)}
    with pytest.raises(NoClock):
        contrast(order, since=6, period="1d")
    with pytest.raises(NoClock):
        contrast(order, since=6, within="1d")
    with pytest.raises(DateUnreadable):
        contrast(order, since="2020-01-01")


def test_buyers_are_looked_at_before_their_first_purchase_alone() -> None:
    log = log_of([*walk("u", "abcd", "vvpv"), *walk("v", "ad", "vv"), *walk("w", "bb", "pp"), *walk("x", "ab", "vp")])
    found = told(
        contrast(log, action="purchase", min_support=1), "support_purchase", "support_others", "share_purchase"
    )
    # w has nothing before the first purchase.
    assert found == {
        ("a",): (2, 1, 1.0),
        ("b",): (1, 0, 0.5),
        ("d",): (0, 1, 0.0),
        ("a", "b"): (1, 0, 0.5),
        ("a", "d"): (0, 1, 0.0),
    }


def test_what_happens_at_the_moment_of_the_purchase_is_before_it_only_in_the_order_of_the_log() -> None:
    events = [("u", "a", SECOND - 9, "view"), ("u", "b", SECOND, "view"), ("u", "c", SECOND, "purchase")]
    log = log_of([*events, *walk("v", "z")])
    assert ("b",) in told(contrast(log, action="purchase", min_support=1))
    assert ("b",) not in told(contrast(log, action="purchase", min_support=1, ties="together"))


def test_events_taken_together_are_in_no_order() -> None:
    log = log_of(
        [("u", "a", SECOND, "view"), ("u", "b", SECOND, "view"), ("u", "c", SECOND + 1, "view"), *walk("v", "z")]
    )
    found = told(contrast(log, groups={"u": 1, "v": 0}, min_support=1, ties="together"))
    assert set(found) == {("a",), ("b",), ("c",), ("z",), ("a", "c"), ("b", "c")}
    moved = told(contrast(log, since=SECOND + 1, min_support=1, ties="together", max_length=2))
    assert set(moved) == {("a",), ("b",), ("c",), ("z",)}


def test_top_keeps_the_surest_and_corrects_for_all() -> None:
    whole = contrast(LOG, groups=GROUPS, min_support=1)
    assert contrast(LOG, groups=GROUPS, min_support=1, top=3).equals(whole.head(3))
    assert whole["p_value"].is_sorted()


def test_a_frame_goes_back_as_it_came() -> None:
    pandas = pytest.importorskip("pandas")
    assert isinstance(contrast(from_polars(LOG, "pandas"), groups=GROUPS), pandas.DataFrame)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, GroupsUnusable),
        ({"groups": GROUPS, "since": "2020-01-01"}, GroupsUnusable),
        ({"groups": {}}, GroupsUnusable),
        ({"groups": {"nobody": 1, "noone": 0}}, GroupsUnusable),
        ({"groups": {"u": 1, "v": 1}}, GroupsUnusable),
        ({"groups": GROUPS, "target": 2}, GroupsUnusable),
        ({"groups": pl.DataFrame({"user_id": ["u", "u"], "group": [1, 0]})}, GroupsUnusable),
        ({"groups": pl.DataFrame({"user_id": ["u"]})}, ColumnMissing),
        ({"groups": pl.DataFrame({"user": ["u"], "group": [1]})}, ColumnMissing),
        ({"since": "2010-01-01"}, GroupsUnusable),
        ({"since": "someday"}, DateUnreadable),
        ({"since": None, "action": "rent"}, ActionUnknown),
        ({"groups": GROUPS, "min_support": 0}, SupportUnusable),
        ({"groups": GROUPS, "top": 0}, CountUnusable),
        ({"groups": GROUPS, "correction": "holm"}, ChoiceUnknown),
    ],
)
def test_what_makes_no_two_groups_or_no_value_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        contrast(LOG, **options)


def test_an_action_that_everybody_did_leaves_no_others() -> None:
    with pytest.raises(GroupsUnusable, match="others"):
        contrast(LOG, action="view")


TABLE = st.tuples(st.integers(1, 60), st.integers(1, 60)).flatmap(
    lambda sizes: st.tuples(st.integers(0, sizes[0]), st.integers(0, sizes[1]), *map(st.just, sizes))
)


@given(TABLE)
def test_p_values_are_those_of_scipy(table: tuple[int, int, int, int]) -> None:
    left, right, left_size, right_size = table
    expected = stats.fisher_exact([[left, left_size - left], [right, right_size - right]]).pvalue
    found = fisher(np.array([left]), np.array([right]), left_size, right_size)
    assert found == pytest.approx([expected], rel=1e-6, abs=1e-300)


def test_a_tiny_p_value_of_large_groups_keeps_its_digits() -> None:
    expected = stats.fisher_exact([[900, 9_100], [400, 19_600]]).pvalue
    assert expected < 1e-100
    assert fisher(np.array([900]), np.array([400]), 10_000, 20_000) == pytest.approx([expected], rel=1e-5)


def test_corrections_never_make_a_p_value_smaller() -> None:
    p_values = np.array([0.01, 0.02, 0.5, 1.0])
    assert adjusted(p_values, "none") is p_values
    assert adjusted(p_values, "bonferroni") == pytest.approx([0.04, 0.08, 1, 1])
    assert adjusted(p_values, "benjamini-hochberg") == pytest.approx([0.04, 0.04, 2 / 3, 1])
    assert (adjusted(p_values, "benjamini-yekutieli") >= adjusted(p_values, "benjamini-hochberg")).all()


def holds(row: list[tuple[set[str], int]], pattern: tuple[str, ...], within: int | None) -> bool:
    return any(
        all(symbol in row[place][0] for symbol, place in zip(pattern, places, strict=True))
        and (within is None or row[places[-1]][1] - row[places[0]][1] <= within)
        for places in itertools.combinations(range(len(row)), len(pattern))
    )


@settings(max_examples=40)
@given(
    events=st.lists(
        st.tuples(st.sampled_from("uvwx"), st.sampled_from("abc"), st.integers(SECOND, SECOND + 9), st.just("view")),
        min_size=4,
        max_size=20,
    ),
    categories=st.booleans(),
    together=st.booleans(),
    within=st.none() | st.integers(0, 6),
    least=st.integers(1, 2),
)
def test_supports_are_those_of_brute_force(
    events: list[Event], categories: bool, together: bool, within: int | None, least: int
) -> None:
    kinds = {"a": {"x", "y"}, "b": {"y"}, "c": set[str]()} if categories else {item: {item} for item in "abc"}
    rows: dict[str, list[tuple[set[str], int]]] = {}
    for user, item, moment, _ in sorted(events, key=lambda event: event[2]):
        row = rows.setdefault(user, [])
        if together and row and row[-1][1] == moment:
            row[-1] = (row[-1][0] | kinds[item], moment)
        else:
            row.append((kinds[item], moment))
    sides = [[row for user, row in rows.items() if user in names and any(s for s, _ in row)] for names in ("uv", "wx")]
    items = pl.DataFrame({"item_id": list("abc"), "kind": [["x", "y"], ["y"], None]})
    data = segue.Dataset.from_frames(log_of(events), items, cleaning={"duplicates": False})
    options: dict[str, Any] = {
        "groups": {"u": "a", "v": "a", "w": "b", "x": "b"},
        "target": "a",
        "of": "kind" if categories else "item",
        "within": None if within is None else f"{within}s",
        "min_support": least,
        "ties": "together" if together else "log",
    }
    if not all(sides):
        with pytest.raises(GroupsUnusable):
            contrast(data, **options)
        return
    symbols = sorted(set().union(*kinds.values()))
    every = itertools.chain(*(itertools.product(symbols, repeat=length) for length in (1, 2, 3)))
    expected = {p: tuple(sum(holds(row, p, within) for row in side) for side in sides) for p in every}
    found = told(contrast(data, **options), "support_a", "support_b")
    assert found == {pattern: counts for pattern, counts in expected.items() if max(counts) >= least}
