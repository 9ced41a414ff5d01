from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from segue.data.histories import Histories
from segue.patterns.interests import WINDOW, Interests, _held, interests
from segue.patterns.sequences import Sequences


def sequences_of(rows: list[list[int]], size: int) -> Sequences:
    offsets = np.cumsum([0, *map(len, rows)])
    flat = np.array([symbol for row in rows for symbol in row], dtype=np.int32)
    places = np.array([place for row in rows for place in range(len(row))], dtype=np.int32)
    return Sequences(offsets, flat, places, None, pl.Series("pattern", [None, *(f"i{n}" for n in range(1, size))]))


def three_groups(people: int = 60) -> list[list[int]]:
    """Symbols 1 to 8, 9 to 16 and 17 to 24; everybody stays in one range, and takes 25 besides."""
    rng = np.random.default_rng(0)
    return [[], *([25, *(1 + 8 * (n % 3) + rng.permutation(8)[:5]).tolist()] for n in range(people))]


@pytest.fixture(scope="module")
def mined() -> Interests:
    return interests(sequences_of(three_groups(), 26), 3)


def test_people_who_share_habits_share_an_interest(mined: Interests) -> None:
    nearest = mined.members[1:].argmax(1)
    assert all(len(set(nearest[group::3])) == 1 for group in range(3))
    assert len(set(nearest)) == 3


def test_shares_sum_to_one_and_to_nothing_for_those_without_habits(mined: Interests) -> None:
    np.testing.assert_allclose(mined.members.sum(1), [0, *[1] * 60], rtol=1e-5)


def test_what_tells_an_interest_is_what_others_do_not_do(mined: Interests) -> None:
    told = mined.telling(3)
    assert told["interest"].unique().sort().to_list() == [0, 1, 2]
    assert (told["lift"] > 2).all()
    assert ["i25"] not in told["pattern"].to_list()
    ranges = told.group_by("interest").agg(pl.col("pattern").list.last().str.slice(1).cast(int).sub(1).floordiv(8))
    assert all(len(set(each)) == 1 for each in ranges["pattern"].to_list())


def test_figures_are_those_of_the_matrix(mined: Interests) -> None:
    row = mined.telling(1).row(0, named=True)
    users = np.flatnonzero((mined.members.argmax(1) == row["interest"]) & mined.members.any(1))
    codes = [int(label[1:]) for label in row["pattern"]]
    held = np.asarray(mined.held[users][:, mined.patterns.index(codes)].sum())
    assert (row["users"], row["support"]) == (len(users), int(held))


def test_a_row_holds_pairs_in_order_and_within_the_window() -> None:
    far = [1, *[3] * WINDOW, 2]
    rows = [[1, 2], [1, 3, 2], [2, 1], [2, 1], far]
    made = sequences_of(rows, 4)
    held, patterns = _held(Histories(made.offsets, made.symbols.astype(np.int64)), 4, 2)
    column = held[:, patterns.index([1, 2])].toarray().ravel()
    assert column.tolist() == [1, 1, 0, 0, 0]


def test_the_same_comes_out_again() -> None:
    made = sequences_of(three_groups(), 26)
    np.testing.assert_array_equal(interests(made, 5, seed=2).members, interests(made, 5, seed=2).members)


@pytest.mark.parametrize("rows", [[[]], [[1]], [[1, 2], [1, 2], [1, 2], [1, 2], [1, 2]], [[1, 2], []]])
def test_too_few_people_or_patterns_are_no_error(rows: list[list[int]]) -> None:
    members = interests(sequences_of(rows, 3), 4, min_support=1).members
    assert members.shape == (len(rows), 4)
    assert np.isfinite(members).all()
