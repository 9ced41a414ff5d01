"""Ragged rows in flat arrays, against plain lists of lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.histories import UNKNOWN_TIME, Histories, repeat_share

rows_of = st.lists(st.lists(st.integers(0, 9), max_size=6), max_size=8)


def build(rows: list[list[int]], stamped: bool = True) -> Histories:
    items = np.array([item for row in rows for item in row], dtype=np.int64)
    numbers = np.repeat(np.arange(len(rows)), [len(row) for row in rows]).astype(np.int64)
    return Histories.from_rows(numbers, items, len(rows), timestamps=np.arange(len(items)) if stamped else None)


def lists(histories: Histories) -> list[list[int]]:
    return [histories.row(number).tolist() for number in range(len(histories))]


@given(rows_of)
def test_rows_come_back_as_they_went_in(rows: list[list[int]]) -> None:
    histories = build(rows)
    assert lists(histories) == rows
    assert histories.lengths.tolist() == [len(row) for row in rows]
    assert histories.rows().tolist() == [number for number, row in enumerate(rows) for _ in row]


@given(rows_of.filter(len), st.data(), st.none() | st.integers(1, 7))
def test_taking_rows_is_picking_from_a_list(rows: list[list[int]], data: st.DataObject, last: int | None) -> None:
    picked = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=10))
    taken = build(rows).take(np.array(picked, dtype=np.int64), last)
    assert lists(taken) == [rows[number][-last:] if last else rows[number] for number in picked]
    assert taken.offsets[0] == 0
    assert taken.timestamps is not None
    whole = build(rows)
    for number, row in zip(picked, range(len(taken)), strict=True):
        begin, end = whole.offsets[number], whole.offsets[number + 1]
        expected = np.arange(begin, end)[-last:] if last else np.arange(begin, end)
        assert taken.timestamps[taken.offsets[row] : taken.offsets[row + 1]].tolist() == expected.tolist()


@given(rows_of, st.booleans())
def test_unknown_items_are_left_out_and_the_rest_stays_in_order(rows: list[list[int]], stamped: bool) -> None:
    known = build(rows, stamped).known()
    assert lists(known) == [[item for item in row if item] for row in rows]
    flat = [item for row in rows for item in row]
    if stamped:
        assert known.timestamps is not None
        assert known.timestamps.tolist() == [place for place, item in enumerate(flat) if item]
    else:
        assert known.timestamps is None


@given(rows_of)
def test_the_share_of_repeats_is_counted_event_by_event(rows: list[list[int]]) -> None:
    repeats = sum(item in row[:place] for row in rows for place, item in enumerate(row))
    later = sum(max(0, len(row) - 1) for row in rows)
    assert repeat_share(build(rows)) == pytest.approx(repeats / later if later else 0.0)


def test_rows_that_nobody_has_are_empty() -> None:
    histories = Histories.from_rows(np.array([2]), np.array([7]), 4)
    assert lists(histories) == [[], [], [7], []]


def full() -> Histories:
    """Two histories and an empty one, with every column."""
    return Histories(
        np.array([0, 3, 3, 5]),
        np.array([7, 8, 9, 7, 0]),
        timestamps=np.array([10, 20, 20, 5, 30]),
        actions=np.array([1, 2, 1, 0, 2]),
        values=np.array([1, 2, np.nan, 4, 5], dtype=np.float32),
        at=np.array([100, UNKNOWN_TIME, 300]),
        wanted=np.array([0, 1, 2]),
    )


def test_taking_rows_takes_every_column_with_them() -> None:
    taken = full().take(np.array([2, 0, 2]), last=2)
    assert lists(taken) == [[7, 0], [8, 9], [7, 0]]
    assert taken.timestamps is not None
    assert taken.actions is not None
    assert taken.at is not None
    assert taken.wanted is not None
    assert taken.timestamps.tolist() == [5, 30, 20, 20, 5, 30]
    assert taken.actions.tolist() == [0, 2, 2, 1, 0, 2]
    np.testing.assert_array_equal(taken.values, [4, 5, 2, np.nan, 4, 5])
    assert (taken.at.tolist(), taken.wanted.tolist()) == ([300, 100, 300], [2, 0, 2])


def test_keeping_some_events_keeps_all_rows_and_what_they_ask() -> None:
    kept = full().keep(np.array([False, True, False, True, True]))
    assert lists(kept) == [[8], [], [7, 0]]
    assert kept.timestamps is not None
    assert kept.timestamps.tolist() == [20, 5, 30]
    np.testing.assert_array_equal(kept.at, full().at)
    np.testing.assert_array_equal(kept.wanted, full().wanted)
    np.testing.assert_array_equal(full().known().actions, [1, 2, 1, 0])


def test_events_after_the_moment_asked_about_are_left_out_and_those_at_it_stay() -> None:
    asked = full().asked(at=np.array([20, 20, 4]), wanted=np.array([1, 1, 1]))
    assert lists(asked) == [[7, 8, 9], [], []]
    assert lists(full().asked(at=np.array([19, UNKNOWN_TIME, UNKNOWN_TIME]))) == [[7], [], [7, 0]]
    np.testing.assert_array_equal(asked.at, [20, 20, 4])
    np.testing.assert_array_equal(asked.wanted, [1, 1, 1])


def test_a_new_question_replaces_the_old_one() -> None:
    asked = full().asked()
    assert lists(asked) == lists(full())
    assert asked.at is None
    assert asked.wanted is None


def test_without_timestamps_nothing_is_left_out() -> None:
    asked = build([[1, 2], [3]], stamped=False).asked(at=np.array([0, 0]))
    assert lists(asked) == [[1, 2], [3]]


def test_an_event_repeats_another_where_every_column_agrees():
    nan = float("nan")
    rows = Histories(
        np.array([0, 6, 7]),
        np.array([1, 1, 1, 1, 2, 1, 1]),
        np.array([5, 5, 5, 6, 5, 5, 5]),
        np.array([1, 1, 2, 1, 1, 1, 1]),
        np.array([nan, nan, nan, nan, nan, 3.0, nan], dtype=np.float32),
    )
    assert rows.repeats().tolist() == [False, True, False, False, False, False, False]
    bare = Histories(np.array([0, 3]), np.array([4, 4, 5]))
    assert bare.repeats().tolist() == [False, True, False]
