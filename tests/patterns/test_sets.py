"""Itemsets as elements of patterns, against counting every subsequence of every user."""

from __future__ import annotations

import itertools
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segue
from segue import errors

Pattern = tuple[tuple[int, ...], ...]
events = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=18)
_DAY = 86_400
_BOUNDS: list[dict[str, Any]] = [
    {},
    {"max_gap": 1},
    {"max_span": 2},
    {"max_gap": 2, "max_span": 3},
    {"max_gap_time": "1d"},
    {"max_span_time": "2d"},
    {"min_gap_time": "2d"},
    {"min_gap_time": "1d", "max_gap_time": "2d", "max_span": 2},
]


def log_of(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    """Rows of user, day and item."""
    frame = pl.DataFrame(rows, ["user_id", "day", "item_id"], orient="row")
    return frame.with_columns(timestamp=1_600_000_000 + _DAY * pl.col("day")).drop("day")


def matches(pattern: Pattern, moments: list[tuple[int, set[int]]], bounds: dict[str, Any]) -> bool:
    """Whether any choice of places holds the elements within the bounds."""
    days = {name: int(bounds[name][0]) for name in ("max_gap_time", "max_span_time", "min_gap_time") if name in bounds}
    for places in itertools.combinations(range(len(moments)), len(pattern)):
        if not all(set(element) <= moments[place][1] for element, place in zip(pattern, places, strict=True)):
            continue
        steps = list(itertools.pairwise(places))
        times = [moments[after][0] - moments[before][0] for before, after in steps]
        span, time = places[-1] - places[0], moments[places[-1]][0] - moments[places[0]][0]
        if (
            all(after - before <= bounds.get("max_gap", 99) for before, after in steps)
            and span <= bounds.get("max_span", 99)
            and all(days.get("min_gap_time", 0) <= each <= days.get("max_gap_time", 99) for each in times)
            and time <= days.get("max_span_time", 99)
        ):
            return True
    return False


def brute_force(
    rows: list[tuple[int, int, int]], least: int, longest: int, bounds: dict[str, Any]
) -> dict[Pattern, int]:
    """Every pattern of up to ``longest`` symbols with its users."""
    users: dict[int, dict[int, set[int]]] = {}
    for user, day, item in rows:
        users.setdefault(user, {}).setdefault(day, set()).add(item)
    items = sorted({item for _, _, item in rows})
    sets = [each for size in range(1, longest + 1) for each in itertools.combinations(items, size)]
    found = {}
    for count in range(1, longest + 1):
        for pattern in itertools.product(sets, repeat=count):
            if sum(map(len, pattern)) <= longest:
                support = sum(matches(pattern, sorted(each.items()), bounds) for each in users.values())
                if support >= least:
                    found[pattern] = support
    return found


@settings(max_examples=300, deadline=None)
@given(events, st.integers(1, 2), st.sampled_from(_BOUNDS))
def test_patterns_of_sets_are_those_of_trying_every_choice_of_moments(
    rows: list[tuple[int, int, int]], least: int, bounds: dict[str, Any]
) -> None:
    log = log_of(rows)
    found = segue.mine(log, elements="sets", min_support=least, max_length=3, progress=False, **bounds)
    patterns = {
        tuple(tuple(sorted(element)) for element in row): n for row, n in found.select("pattern", "support").rows()
    }
    assert len(patterns) == found.height
    assert patterns == brute_force(rows, least, 3, bounds)
    assert found["length"].to_list() == [sum(map(len, pattern)) for pattern in found["pattern"].to_list()]


def test_sets_take_no_order_from_the_log_and_single_symbols_no_sets() -> None:
    log = log_of([(user, day, item) for user in range(3) for day, item in ((0, 2), (0, 1), (1, 3))])
    sets = segue.mine(log, elements="sets", min_support=3, progress=False)
    assert [[1, 2], [3]] in [[sorted(each) for each in row] for row in sets["pattern"].to_list()]
    assert sets["support"].to_list() == [3] * 7
    single = segue.mine(log, ties="together", min_support=3, progress=False)
    assert single.height == 5
    top = segue.mine(log, elements="sets", top=4, progress=False)
    assert top.height == 4
    assert segue.mine(log, elements="sets", containing=[3], min_support=3, progress=False).height == 4


@pytest.mark.parametrize("settings", [{"keep": "closed"}, {"keep": "maximal"}, {"measures": ["days"]}])
def test_what_sets_do_not_come_with_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(errors.SetsUnsupported):
        segue.mine(log_of([(0, 0, 1)]), elements="sets", **settings)
