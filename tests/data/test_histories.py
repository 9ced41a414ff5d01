"""Ragged rows in flat arrays, against plain lists of lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.histories import Histories, repeat_share

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
