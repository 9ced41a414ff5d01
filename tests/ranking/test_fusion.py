from __future__ import annotations

import numpy as np
import pytest

from segue.ranking.fusion import reciprocal_ranks, standardised


def block(rows: int = 5, catalogue: int = 40) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, catalogue + 1)).astype(np.float32)


def test_standardised_rows_have_mean_zero_and_deviation_one_over_the_catalogue() -> None:
    found = standardised(block())
    np.testing.assert_allclose(found[:, 1:].mean(1), 0, atol=1e-6)
    np.testing.assert_allclose(found[:, 1:].std(1), 1, rtol=1e-5)
    assert (found[:, 0] == 0).all()


@pytest.mark.parametrize(("scale", "offset"), [(1000, 0), (1e-6, 0), (1, 500), (3, -7)])
def test_neither_scale_nor_offset_of_scores_matters(scale: float, offset: float) -> None:
    np.testing.assert_allclose(standardised(scale * block() + offset), standardised(block()), atol=2e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, -1e7, 3e-9])
def test_a_row_of_equal_scores_says_nothing(value: float) -> None:
    assert (standardised(np.full((2, 8), value, dtype=np.float32)) == 0).all()


def test_padding_has_no_part_in_either() -> None:
    scores = block()
    other = scores.copy()
    other[:, 0] = 1e6
    prior = np.zeros(scores.shape[1])
    assert (standardised(scores) == standardised(other)).all()
    assert (reciprocal_ranks(scores, prior) == reciprocal_ranks(other, prior)).all()


def test_reciprocal_ranks_see_order_alone() -> None:
    scores = np.array([[9, 1, 3, 2], [9, 0.1, 900, 0.2]], dtype=np.float32)
    expected = np.array([0, 1 / 63, 1 / 61, 1 / 62], dtype=np.float32)
    np.testing.assert_array_equal(reciprocal_ranks(scores, np.zeros(4)), [expected, expected])


def test_ties_are_ranked_by_popularity_and_then_by_code() -> None:
    found = reciprocal_ranks(np.array([[0, 5, 5, 5, 7]], dtype=np.float32), np.array([0, 1, 3, 1, 0]))
    np.testing.assert_allclose(60 - 1 / found[0, 1:] + 0, [-3, -2, -4, -1], rtol=1e-5)
