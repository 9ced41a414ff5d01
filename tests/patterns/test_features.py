"""Features of histories: where patterns occur, how often and when, held against a count by hand."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segue
from segue.errors import NoClock
from segue.patterns.features import (
    Patterns,
    bag,
    occurrences,
    pattern_features,
    plain_features,
    relabelled,
)
from segue.patterns.sequences import Sequences, sequences
from segue.patterns.spans import DAY


def made_of(*rows: list[tuple[int, int]], clock: bool = True) -> Sequences:
    """Sequences over symbols 1 to 4 from rows of (symbol, day); events of one day share a place."""
    flat = [pair for row in rows for pair in row]
    places = [sorted({day for _, day in row}).index(day) for row in rows for _, day in row]
    return Sequences(
        np.cumsum([0, *map(len, rows)]),
        np.array([symbol for symbol, _ in flat], dtype=np.int32),
        np.array(places, dtype=np.int32),
        np.array([day * DAY for _, day in flat], dtype=np.int64) if clock else None,
        pl.Series("pattern", [None, "a", "b", "c", "d"]),
    )


def by_hand(row: list[tuple[int, int]], pattern: tuple[int, ...], gap: float, span: float) -> int:
    """The most occurrences that follow each other without a shared place, over all ways to choose them."""
    spans = set()
    for chosen in combinations(row, len(pattern)):
        days = [day for _, day in chosen]
        apart = np.diff(days)
        if tuple(symbol for symbol, _ in chosen) != pattern or (apart <= 0).any() or (apart > gap).any():
            continue
        if days[-1] - days[0] <= span:
            spans.add((days[-1], days[0]))
    count, after = 0, -1
    for end, begin in sorted(spans):  # of intervals, those that end first fit most often
        if begin > after:
            count, after = count + 1, end
    return count


ROWS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 9)), max_size=9).map(
    lambda row: sorted(row, key=lambda p: p[1])
)


@given(
    st.lists(ROWS, min_size=1, max_size=3),
    st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=3), min_size=1, max_size=4),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, 2, 5]),
)
@settings(max_examples=60)
def test_the_count_is_the_most_that_fit_whatever_bounds_gap_and_span(rows, patterns, gap, span):
    far = [None if each is None else each * DAY for each in (gap, span)]
    count, _, _ = occurrences(made_of(*rows), Patterns.of(patterns), *far)
    bounds = (np.inf if gap is None else gap, np.inf if span is None else span)
    wanted = [[by_hand(row, tuple(pattern), *bounds) for pattern in patterns] for row in rows]
    np.testing.assert_array_equal(count.toarray(), wanted)


def test_each_pattern_has_readable_columns_with_days():
    found = made_of([(1, 0), (3, 1), (2, 4), (1, 5), (2, 7)], [(2, 3), (1, 6)])
    made = pattern_features(found, Patterns.of([(1, 2), (1,)]), at=10 * DAY)
    assert made.names == [
        "a > b: present",
        "a: present",
        "a > b: count",
        "a: count",
        "a > b: gap",
        "a > b: since",
        "a: since",
    ]
    # a > b twice, 4 and 2 days apart, the last three days before the asking
    np.testing.assert_allclose(made.matrix.toarray(), [[1, 1, 2, 2, 3, 3, 5], [0, 1, 0, 1, 0, 0, 4]])
    assert made.patterns.tolist() == [0, 1, 0, 1, 0, 0, 1]


def test_columns_that_would_say_the_same_twice_can_be_left_out():
    made = pattern_features(
        made_of([(1, 0), (2, 1), (2, 2)]), Patterns.of([(1,), (2,)]), counted=np.array([False, True])
    )
    assert made.names == ["a: present", "b: present", "b: count", "a: since", "b: since"]
    assert made.patterns.tolist() == [0, 1, 1, 0, 1]
    np.testing.assert_allclose(made.matrix.toarray(), [[1, 1, 2, 2, 0]])


def test_of_a_long_wait_the_latest_start_counts():
    _, gap, _ = occurrences(made_of([(1, 0), (1, 8), (2, 9)]), Patterns.of([(1, 2)]))
    assert gap.toarray() == [[1.0]]


def test_symbols_of_one_place_do_not_follow_each_other():
    count, _, _ = occurrences(made_of([(1, 2), (2, 2)], [(1, 2), (2, 3)]), Patterns.of([(1, 2)]))
    assert count.toarray().ravel().tolist() == [0, 1]


def test_without_a_clock_gaps_are_in_events_and_bounds_in_days_are_refused():
    found = made_of([(1, 0), (3, 5), (2, 6), (4, 9)], clock=False)
    made = pattern_features(found, Patterns.of([(1, 2)]))
    assert dict(zip(made.names, made.matrix.toarray()[0], strict=True))["a > b: gap"] == 2
    assert dict(zip(made.names, made.matrix.toarray()[0], strict=True))["a > b: since"] == 1
    with pytest.raises(NoClock, match="M004"):
        occurrences(found, Patterns.of([(1, 2)]), max_gap=3 * DAY)


def test_blocks_of_rows_give_what_one_block_gives(monkeypatch):
    rng = np.random.default_rng(0)
    found = made_of(*([(int(s), d) for d, s in enumerate(rng.integers(1, 5, 12))] for _ in range(9)))
    patterns = Patterns.of([(1, 2), (3,), (1, 2, 3)])
    whole = pattern_features(found, patterns).matrix.toarray()
    monkeypatch.setattr("segue.patterns.features._CELLS", 6)
    np.testing.assert_array_equal(pattern_features(found, patterns).matrix.toarray(), whole)


def test_no_history_and_no_pattern_are_rows_and_columns_of_nothing():
    made = pattern_features(made_of([], [(1, 0)]), Patterns.of([(1,)]))
    assert made.matrix.toarray()[0].tolist() == [0, 0, 0]
    assert pattern_features(made_of([(1, 0)]), Patterns.of([])).matrix.shape == (1, 0)


def test_plain_features_tell_length_gaps_actions_and_shares(data):
    users = np.arange(len(data.user_vocabulary) + 1)
    histories, categories = data.histories.take(users), sequences(data, "categories").take(users)
    at = int(data.events["timestamp"].max())
    made = plain_features(histories, True, at, actions=data.action_names, categories=categories)
    columns = dict(zip(made.names, made.matrix.toarray().T, strict=True))
    assert set(columns) == {
        *("length", "distinct items", "mean gap", "since the last event", "purchase: events", "view: events"),
        *("drama: share", "comedy: share", "crime: share"),
    }
    row = data.events.filter(pl.col("user") == 7)
    assert columns["length"][7] == len(row)
    assert columns["distinct items"][7] == row["item"].n_unique()
    assert columns["purchase: events"][7] == (row["action"] == "purchase").sum()
    assert columns["since the last event"][7] == pytest.approx((at - row["timestamp"].max()) / DAY)
    assert columns["mean gap"][7] == pytest.approx(row["timestamp"].diff().mean() / DAY)
    shares = sum(columns[f"{name}: share"] for name in ("drama", "comedy", "crime"))
    np.testing.assert_allclose(shares, [0, *np.ones(len(users) - 1)])
    assert all(column[0] == 0 for column in columns.values())


def test_other_codes_are_told_by_the_text_of_ids(log):
    numbers = log.with_columns(pl.col("item_id").str.slice(1).cast(pl.Int64))
    found = sequences(segue.Dataset.from_frames(numbers))
    made = relabelled(found, pl.Series("pattern", [None, "3", "5"]))
    counts = bag(made).toarray().sum(0)
    assert counts[1:].tolist() == [(numbers["item_id"] == 3).sum(), (numbers["item_id"] == 5).sum()]
