"""Sliding windows: counts by hand and against brute force, places with several symbols, time spans, bad values."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segue
from segue.data.frames import from_polars
from segue.errors import (
    ChoiceUnknown,
    ConstraintsContradict,
    CountUnusable,
    NoClock,
    SpanUnreadable,
    SupportUnusable,
    SymbolsMissing,
)
from segue.patterns.windows import windows

SECOND = 1_600_000_000
HOUR = 3_600
Event = tuple[str, str, int]


def log_of(events: list[Event]) -> pl.DataFrame:
    return pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")


def told(frame: pl.DataFrame) -> dict[tuple[Any, ...], tuple[int, int]]:
    return {tuple(row["pattern"]): (row["count"], row["support"]) for row in frame.iter_rows(named=True)}


def walk(user: str, items: str, hours: list[float] | None = None) -> list[Event]:
    hours = hours or list(range(len(items)))
    return [(user, item, SECOND + int(hour * HOUR)) for item, hour in zip(items, hours, strict=True)]


LOG = log_of([*walk("u", "abab"), *walk("v", "abc"), *walk("w", "a")])
CATALOGUE = pl.DataFrame({"item_id": list("abcd"), "kind": [["x", "y"], ["y"], None, ["z"]]})


def test_windows_are_counted_by_occurrence_and_by_user() -> None:
    assert told(windows(LOG, min_support=1)) == {
        ("a", "b"): (3, 2),
        ("b", "a"): (1, 1),
        ("b", "c"): (1, 1),
        ("a", "b", "a"): (1, 1),
        ("b", "a", "b"): (1, 1),
        ("a", "b", "c"): (1, 1),
    }


def test_the_frame_is_sorted_and_its_lift_follows_the_formula() -> None:
    frame = windows(LOG, min_length=1, max_length=2, min_support=1)
    assert frame.columns == ["pattern", "length", "count", "support", "users_share", "lift"]
    assert frame["pattern"].to_list() == [["a"], ["a", "b"], ["b"], ["b", "a"], ["b", "c"], ["c"]]
    pair = frame.row(1, named=True)
    assert pair["users_share"] == pytest.approx(2 / 3)
    # Five pairs of neighbours; of eight places four are a and three b.
    assert pair["lift"] == pytest.approx(3 / (5 * 4 / 8 * 3 / 8))
    assert frame.filter(pl.col("length") == 1)["lift"].to_list() == pytest.approx([1, 1, 1])


def test_a_window_fits_its_span_to_the_microsecond() -> None:
    log = log_of(walk("u", "abc", [0, 1, 3]))
    assert set(told(windows(log, min_support=1, within="2h"))) == {("a", "b"), ("b", "c")}
    assert set(told(windows(log, min_support=1, within="1h 59min"))) == {("a", "b")}
    assert ("a", "b", "c") in told(windows(log, min_support=1, within=0.125))


def test_one_symbol_of_each_place_is_chosen_and_events_without_one_stand_between() -> None:
    log = log_of(walk("u", "abdcad"))
    frame = windows(log, CATALOGUE, of="kind", min_support=1)
    assert told(frame) == {
        ("x", "y"): (1, 1),
        ("y", "y"): (1, 1),
        ("y", "z"): (2, 1),
        ("x", "z"): (1, 1),
        ("x", "y", "z"): (1, 1),
        ("y", "y", "z"): (1, 1),
    }


def test_events_of_one_moment_follow_the_log_or_stand_together() -> None:
    log = log_of(walk("u", "abc", [0, 0, 1]))
    assert set(told(windows(log, min_support=1, max_length=2))) == {("a", "b"), ("b", "c")}
    assert set(told(windows(log, min_support=1, ties="together"))) == {("a", "c"), ("b", "c")}


def test_actions_and_items_make_patterns_of_structs() -> None:
    log = log_of(walk("u", "ab")).with_columns(action=pl.Series(["view", "buy"]))
    first = windows(log, of="action+item", min_support=1)["pattern"].to_list()
    assert first == [[{"action": "view", "item_id": "a"}, {"action": "buy", "item_id": "b"}]]
    assert told(windows(log, of="action", min_support=1)) == {("view", "buy"): (1, 1)}


@pytest.mark.parametrize("kind", ["pandas", "arrow", "polars"])
def test_the_frame_is_of_the_kind_that_came_in(kind: Any) -> None:
    pytest.importorskip({"pandas": "pandas", "arrow": "pyarrow"}.get(kind, "polars"))
    assert type(windows(from_polars(LOG, kind))) is type(from_polars(LOG, kind))


def test_whole_number_ids_stay_whole_numbers() -> None:
    log = log_of(walk("u", "ab")).with_columns(item_id=pl.Series([10, 7]))
    assert windows(log, min_support=1)["pattern"].to_list() == [[10, 7]]


@pytest.mark.parametrize(
    "found",
    [windows(log_of(walk("u", "a"))), windows(LOG, min_support=50), windows(LOG, min_length=9, max_length=12)],
)
def test_where_there_is_nothing_the_frame_has_its_columns_and_no_rows(found: pl.DataFrame) -> None:
    assert found.height == 0
    assert found.schema == windows(LOG).schema


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"min_support": 0}, SupportUnusable),
        ({"min_support": 1.5}, SupportUnusable),
        ({"min_length": 4}, ConstraintsContradict),
        ({"min_length": 0}, CountUnusable),
        ({"max_length": 2.5}, CountUnusable),
        ({"within": "soon"}, SpanUnreadable),
        ({"ties": "togehter"}, ChoiceUnknown),
        ({"of": "brand"}, SymbolsMissing),
    ],
)
def test_a_value_that_cannot_be_used_is_refused(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        windows(LOG, **options)


def test_a_span_needs_a_clock() -> None:
    order = LOG.with_columns(timestamp=pl.int_range(pl.len()))
    assert told(windows(order)) == told(windows(LOG))
    with pytest.raises(NoClock, match="within"):
        windows(order, within="1d")


def brute(
    events: list[Event], kinds: dict[str, set[str]] | None, lengths: range, within: int | None, together: bool
) -> dict[tuple[str, ...], tuple[int, int, float]]:
    """Every window of every history, one after the other."""
    places: dict[str, list[tuple[set[str], int]]] = defaultdict(list)
    for user, item, moment in sorted(events, key=lambda event: event[2]):
        symbols = {item} if kinds is None else kinds[item]
        row = places[user]
        if together and row and row[-1][1] == moment:
            row[-1] = (row[-1][0] | symbols, moment)
        else:
            row.append((symbols, moment))
    every = [symbols for row in places.values() for symbols, _ in row if symbols]
    share = {symbol: sum(symbol in s for s in every) / len(every) for symbol in set().union(*every)}
    count: Counter[tuple[str, ...]] = Counter()
    users = defaultdict(set)
    total: Counter[int] = Counter()
    for length in lengths:
        for user, row in places.items():
            for start in range(len(row) - length + 1):
                window = row[start : start + length]
                if within is not None and window[-1][1] - window[0][1] > within:
                    continue
                total[length] += all(symbols for symbols, _ in window)
                for pattern in itertools.product(*(symbols for symbols, _ in window)):
                    count[pattern] += 1
                    users[pattern].add(user)
    lift = {p: n / (total[len(p)] * math.prod(share[s] for s in p)) for p, n in count.items()}
    return {pattern: (n, len(users[pattern]), lift[pattern]) for pattern, n in count.items()}


EVENTS = st.lists(
    st.tuples(st.sampled_from("uvw"), st.sampled_from("abcd"), st.integers(SECOND, SECOND + 12)),
    min_size=1,
    max_size=25,
)


@settings(max_examples=60)
@given(
    events=EVENTS,
    categories=st.booleans(),
    together=st.booleans(),
    within=st.none() | st.integers(0, 8),
    shortest=st.integers(1, 3),
    more=st.integers(0, 2),
    least=st.integers(1, 2),
)
def test_windows_are_those_of_brute_force(
    events: list[Event], categories: bool, together: bool, within: int | None, shortest: int, more: int, least: int
) -> None:
    kinds = {"a": {"x", "y"}, "b": {"y"}, "c": set[str](), "d": {"z"}} if categories else None
    data = segue.Dataset.from_frames(log_of(events), CATALOGUE, cleaning={"duplicates": False})
    frame = windows(
        data,
        of="kind" if categories else "item",
        min_length=shortest,
        max_length=shortest + more,
        within=None if within is None else f"{within}s",
        min_support=least,
        ties="together" if together else "log",
    )
    expected = brute(events, kinds, range(shortest, shortest + more + 1), within, together)
    expected = {pattern: found for pattern, found in expected.items() if found[1] >= least}
    got = {tuple(row[0]): row[1:] for row in frame.select("pattern", "count", "support", "lift").iter_rows()}
    assert {p: row[:2] for p, row in got.items()} == {p: row[:2] for p, row in expected.items()}
    assert [row[2] for row in got.values()] == pytest.approx([expected[p][2] for p in got])
    order = [(-row["support"], -row["count"], row["pattern"]) for row in frame.iter_rows(named=True)]
    assert order == sorted(order)
