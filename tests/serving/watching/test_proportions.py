"""Shares and their differences against published values and scipy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from segue.serving.watching.proportions import difference, wilson

COUNTS = st.integers(0, 10_000).flatmap(lambda of: st.tuples(st.integers(0, of), st.just(of)))


@given(COUNTS)
def test_the_interval_is_that_of_scipy_and_holds_the_share(counts: tuple[int, int]) -> None:
    hits, of = counts
    low, high = wilson(hits, of)
    assert 0 <= low <= (hits / of if of else 0.5) <= high <= 1
    if of:
        expected = binomtest(hits, of).proportion_ci(0.95, method="wilson")
        assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_nothing_tried_tells_nothing() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
    assert difference((0, 1), (0, 10)) is None


def test_the_difference_is_that_of_newcombe() -> None:
    # Newcombe, Statistics in Medicine 17 (1998), table II, method 10: 56/70 against 48/80 gives 0.0524 to 0.3339.
    found = difference((48, 56), (80, 70))
    assert found is not None
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.p == pytest.approx(0.00787, abs=2e-4)


@given(COUNTS, COUNTS)
def test_a_difference_has_its_value_within_and_turns_with_its_sides(a: tuple[int, int], b: tuple[int, int]) -> None:
    found, turned = difference((a[0], b[0]), (a[1], b[1])), difference((b[0], a[0]), (b[1], a[1]))
    if found is None or turned is None:
        assert 0 in (a[1], b[1])
        return
    assert -1 <= found.low <= found.value + 1e-12
    assert found.value - 1e-12 <= found.high <= 1
    assert 0 <= found.p <= 1
    assert (found.value, found.low, found.high) == pytest.approx((-turned.value, -turned.high, -turned.low))


def test_equal_shares_are_no_difference() -> None:
    found = difference((5, 5), (10, 10))
    assert found is not None
    assert (found.value, found.p) == (0.0, 1.0)
    assert difference((0, 0), (10, 10)).p == 1.0  # type: ignore[union-attr]
