from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.counts import CountsOverTime
from segue.data.histories import UNKNOWN_TIME

ITEMS = 5
HALF_LIVES = np.array([3.0, 40.0, np.inf])


def by_hand(stamps: np.ndarray, items: np.ndarray, moment: int) -> np.ndarray:
    """(catalogue + 1, half-lives) from the definition."""
    before = stamps < moment
    weights = [0.5 ** ((moment - stamps[before]) / each) for each in HALF_LIVES]
    counts = np.stack([np.bincount(items[before], weights=each, minlength=ITEMS + 1) for each in weights], axis=1)
    counts[0] = counts.sum(0)
    return counts


events = st.lists(st.tuples(st.integers(-50, 50), st.integers(1, ITEMS)), min_size=1, max_size=30)
moments = st.lists(st.integers(-60, 60), min_size=1, max_size=8)


@given(events, moments)
def test_the_sweep_counts_what_the_definition_counts(log: list[tuple[int, int]], asked: list[int]) -> None:
    stamps, items = np.array(log).T
    counts = CountsOverTime(stamps, items, ITEMS, HALF_LIVES)
    for _ in range(2):  # the second call finds the cursor where the first left it
        found = counts.at(np.array(asked))
        for moment, each in zip(asked, found, strict=True):
            np.testing.assert_allclose(each, by_hand(stamps, items, min(moment, int(stamps.max()) + 1)), rtol=1e-5)


@given(events, moments, events)
def test_events_at_or_after_a_moment_never_count(
    log: list[tuple[int, int]], asked: list[int], others: list[tuple[int, int]]
) -> None:
    stamps, items = np.array(log).T
    moment = min(min(asked), int(stamps.max()))
    later, theirs = np.array(others).T
    later = moment + np.abs(later)
    more = CountsOverTime(np.concatenate([stamps, later]), np.concatenate([items, theirs]), ITEMS, HALF_LIVES)
    fewer = CountsOverTime(stamps, items, ITEMS, HALF_LIVES)
    at = np.array([moment])
    np.testing.assert_array_equal(more.at(at), fewer.at(at))


def test_a_count_that_holds_the_very_moment_would_be_caught() -> None:
    stamps, items = np.array([5, 5]), np.array([1, 2])
    counts = CountsOverTime(stamps, items, ITEMS, HALF_LIVES)
    assert counts.at(np.array([5])).sum() == 0
    leaky = counts.at(np.array([5]) + 1)  # the broken twin
    assert leaky.sum() > 0


def test_later_and_unknown_moments_are_the_end_of_the_log() -> None:
    counts = CountsOverTime(np.array([1, 9]), np.array([1, 2]), ITEMS, HALF_LIVES)
    found = counts.at(np.array([10_000, UNKNOWN_TIME, 10]))
    assert counts.end == 10
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_array_equal(found[1], found[2])
    assert found[0, 0, 2] == 2


def test_some_items_are_the_same_columns() -> None:
    counts = CountsOverTime(np.array([1, 2, 3]), np.array([1, 2, 2]), ITEMS, HALF_LIVES)
    at, items = np.array([3, 2]), np.array([2, 0])
    np.testing.assert_array_equal(counts.at(at, items), counts.at(at)[:, items])


def test_gaps_of_years_and_a_log_of_one_moment_are_finite() -> None:
    year = 365 * 86_400_000_000
    counts = CountsOverTime(np.array([0, 30 * year]), np.array([1, 2]), ITEMS, HALF_LIVES)
    found = counts.at(np.array([30 * year, 30 * year + 1]))
    assert np.isfinite(found).all()
    assert found[0, 1].tolist() == [0, 0, 1]
    assert CountsOverTime(np.array([7, 7]), np.array([1, 1]), ITEMS, HALF_LIVES).at(np.array([8]))[0, 1, 2] == 2


def test_the_first_event_of_each_item_is_known() -> None:
    first = CountsOverTime(np.array([4, 2, 9]), np.array([1, 1, 3]), 3, HALF_LIVES).first
    assert first[[1, 3]].tolist() == [2, 9]
    assert first[2] == pytest.approx(np.iinfo(np.int64).max)
