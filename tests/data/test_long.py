from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.histories import Histories
from segue.data.long import shortened


def of(*rows: list[int]) -> Histories:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    items = np.array([item for row in rows for item in row], dtype=np.int64)
    return Histories(offsets, items, timestamps=np.arange(len(items)) * 10)


@pytest.mark.parametrize("how", ["newest", "representatives"])
def test_histories_that_fit_stay_as_they_are(how: str) -> None:
    histories = of([1, 2, 3], [], [4])
    assert shortened(histories, 3, how) is histories  # type: ignore[arg-type]


def test_the_newest_are_the_last_events_of_each_row() -> None:
    cut = shortened(of([1, 2, 3, 4], [5]), 2)
    assert [cut.row(0).tolist(), cut.row(1).tolist()] == [[3, 4], [5]]


def test_representatives_leave_three_quarters_to_the_newest() -> None:
    cut = shortened(of(list(range(1, 101))), 20, "representatives")
    assert cut.lengths.tolist() == [20]
    assert cut.row(0)[-15:].tolist() == list(range(86, 101))
    assert (np.diff(cut.row(0)) > 0).all()


def test_representatives_come_from_every_stretch_of_the_older_events() -> None:
    cut = shortened(of(list(range(1, 101))), 20, "representatives")
    older = cut.row(0)[:5] - 1
    assert (older // 17).tolist() == [0, 1, 2, 3, 4]  # 85 older events in five stretches


def test_a_representative_is_what_the_user_met_most_and_is_not_kept_already() -> None:
    older = [7, 9, 7, 3, 7, 9, 5, 6] * 5
    cut = shortened(of([*older, 5, 5, 6]), 4, "representatives")
    assert cut.row(0).tolist() == [7, 5, 5, 6]
    cut = shortened(of([*older, 7, 5, 6]), 4, "representatives")
    assert cut.row(0).tolist() == [9, 7, 5, 6]


def test_every_event_keeps_its_own_time_and_the_row_its_question() -> None:
    histories = of(list(range(1, 51)))
    asked = Histories(histories.offsets, histories.items, histories.timestamps, at=np.array([10_000]))
    cut = shortened(asked, 8, "representatives")
    assert cut.timestamps is not None
    assert (cut.timestamps == (cut.items - 1) * 10).all()
    assert cut.at is not None
    assert cut.at.tolist() == [10_000]


@given(st.lists(st.lists(st.integers(1, 6), max_size=40), min_size=1, max_size=5), st.integers(1, 12))
def test_any_history_is_cut_to_the_length_with_its_newest_event_last(rows: list[list[int]], length: int) -> None:
    histories = of(*rows)
    cut = shortened(histories, length, "representatives")
    assert cut.lengths.tolist() == [min(len(row), length) for row in rows]
    for number, row in enumerate(rows):
        assert cut.row(number)[-1:].tolist() == row[-1:]
