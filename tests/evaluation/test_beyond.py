from __future__ import annotations

import itertools

import numpy as np
import pytest

import segue
from segue.data.histories import Histories
from segue.evaluation import beyond

LISTS = np.array([[1, 2, 3], [1, 2, 4], [1, 5, 0]])
COUNTS = np.array([0, 10, 5, 3, 1, 1, 0])


def test_coverage_is_the_share_of_the_catalogue_listed() -> None:
    assert beyond.coverage(LISTS, 10) == 0.5
    assert beyond.coverage(np.zeros((2, 3), dtype=np.int64), 10) == 0


def test_novelty_is_the_mean_self_information_of_what_is_listed() -> None:
    shares = COUNTS / COUNTS.sum()
    listed = [1, 2, 3, 1, 2, 4, 1, 5]
    assert beyond.novelty(LISTS, COUNTS) == pytest.approx(np.mean([-np.log2(shares[item]) for item in listed]))
    assert beyond.novelty(np.array([[1]]), np.array([0, 3, 1, 0])) == pytest.approx(-np.log2(3 / 4))
    assert beyond.novelty(np.array([[3]]), np.array([0, 3, 1, 0])) == pytest.approx(2), "no event counts as one"
    assert beyond.novelty(np.array([[4]]), COUNTS) > beyond.novelty(np.array([[1]]), COUNTS)


def test_gini_is_the_mean_difference_of_exposure() -> None:
    exposure = [3, 2, 1, 1, 1, 0]  # of items 1 to 6
    apart = sum(abs(a - b) for a, b in itertools.product(exposure, exposure))
    assert beyond.gini(LISTS, 6) == pytest.approx(apart / (2 * len(exposure) * sum(exposure)))
    assert beyond.gini(np.array([[1, 2], [3, 4]]), 4) == pytest.approx(0)
    assert beyond.gini(np.ones((50, 1), dtype=np.int64), 100) == pytest.approx(0.99)


def test_popularity_bias_compares_what_is_listed_with_what_people_chose() -> None:
    contexts = Histories(np.array([0, 2, 3, 3]), np.array([2, 3, 4]))
    listed = np.mean([10, 5, 3, 10, 5, 1, 10, 1])
    assert beyond.popularity_bias(LISTS, contexts, COUNTS) == pytest.approx(listed / 3)


def slow_diversity(lists: np.ndarray, histories: Histories) -> float:
    had = [{user for user in range(len(histories)) if item in histories.row(user)} for item in range(50)]

    def cosine(a: int, b: int) -> float:
        return len(had[a] & had[b]) / np.sqrt(len(had[a]) * len(had[b])) if had[a] and had[b] else 0.0

    return float(np.mean([np.mean([1 - cosine(a, b) for a, b in itertools.combinations(each, 2)]) for each in lists]))


def test_diversity_is_one_minus_the_mean_cosine_of_the_pairs_of_a_list(data: segue.Dataset) -> None:
    lists = np.stack([np.random.default_rng(seed).permutation(42)[:6] + 1 for seed in range(20)])
    assert beyond.diversity(lists, data.histories) == pytest.approx(slow_diversity(lists, data.histories), abs=1e-5)


def test_diversity_is_zero_for_items_that_share_all_users_and_one_for_none() -> None:
    histories = Histories(np.array([0, 2, 4, 5, 6]), np.array([1, 2, 1, 2, 3, 4]))
    assert beyond.diversity(np.array([[1, 2]]), histories) == pytest.approx(0, abs=1e-6)
    assert beyond.diversity(np.array([[3, 4]]), histories) == pytest.approx(1)
    assert beyond.diversity(np.array([[5, 6]]), histories) == pytest.approx(1), "items that nobody met"


def test_lists_of_any_two_items_have_a_diversity(data: segue.Dataset) -> None:
    lists = np.stack([np.random.default_rng(seed).permutation(42)[:6] + 1 for seed in range(20)])
    lengths = np.random.default_rng(0).integers(0, 7, 20)
    short = np.where(np.arange(6) < lengths[:, None], lists, 0)
    several = [row[:length] for row, length in zip(lists, lengths, strict=True) if length > 1]
    assert beyond.diversity(short, data.histories) == pytest.approx(slow_diversity(several, data.histories), abs=1e-5)  # type: ignore[arg-type]


def test_many_lists_are_sampled_alike(data: segue.Dataset) -> None:
    many = np.stack([np.random.default_rng(seed).permutation(42)[:3] + 1 for seed in range(1_500)])
    assert beyond.diversity(many, data.histories) == beyond.diversity(many, data.histories)
    assert beyond.diversity(many, data.histories) == pytest.approx(slow_diversity(many, data.histories), abs=0.01)


def test_figures_of_nothing_are_not_a_number() -> None:
    empty = np.zeros((2, 3), dtype=np.int64)
    nobody = Histories(np.zeros(3, dtype=np.int64), np.zeros(0, dtype=np.int64))
    values = [
        beyond.novelty(empty, COUNTS),
        beyond.gini(empty, 6),
        beyond.popularity_bias(empty, nobody, COUNTS),
        beyond.diversity(empty, nobody),
        beyond.diversity(np.array([[1]]), nobody),
    ]
    assert all(np.isnan(value) for value in values)
