from __future__ import annotations

import numpy as np
import pytest

from segue.ranking.candidates import candidates

NONE = (np.array([0, 0]), np.zeros(0, dtype=np.int64))


def row(*scores: float) -> np.ndarray:
    return np.array([[0.0, *scores]], dtype=np.float32)


def prior(size: int) -> np.ndarray:
    return np.arange(size, 0, -1).astype(np.float32)


def test_candidates_are_the_best_of_each_ranking():
    found = candidates([row(9, 8, 0, 1), row(0, 1, 9, 8)], 1, prior(5), *NONE)
    assert found.items.tolist() == [1, 3]
    assert found.signals[:, 0, 2].tolist() == [1, 0]
    assert found.signals[:, 1, 2].tolist() == [0, 1]
    assert found.signals[0, 0, 1] == pytest.approx(61 / 61)


def test_a_ranking_that_says_nothing_of_most_items_does_not_bring_them_all():
    silent = np.zeros((1, 10_001), dtype=np.float32)
    silent[0, 7] = 3.0
    found = candidates([silent], 5, prior(10_001), *NONE)
    assert len(found.items) == 5
    assert 7 in found.items
    # Those that tie share a rank.
    ranks = found.signals[:, 0, 1]
    assert sorted(set(np.round(ranks, 6).tolist())) == pytest.approx([61 / 62, 1.0], abs=1e-6)


def test_seen_items_take_no_place_and_count_where_they_would_be_among_the_best():
    offsets, seen = np.array([0, 2]), np.array([1, 4])
    found = candidates([row(9, 8, 7, 1)], 2, prior(5), offsets, seen)
    assert found.items.tolist() == [1, 2, 3]


def test_all_others_keep_an_order_to_be_ranked_by():
    found = candidates([row(9, 3, 2, 1), row(9, 1, 2, 3)], 1, prior(5), *NONE)
    assert found.rest.shape == (1, 5)
    assert found.rest[0, 1] == found.rest[0].max()


def test_items_of_each_row_can_be_left_out():
    both = np.concatenate([row(9, 8, 7, 1), row(9, 8, 7, 1)])
    found = candidates([both], 3, prior(5), np.array([0, 0, 0]), np.zeros(0, dtype=np.int64))
    left = found.without(np.array([0, 1, 3]), np.array([2, 1, 3]))
    assert list(zip(left.rows.tolist(), left.items.tolist(), strict=True)) == [(0, 1), (0, 3), (1, 2)]
    assert left.signals.shape == (3, 1, 3)
