from __future__ import annotations

import itertools

import numpy as np
import pytest

from segue.evaluation import significance
from segue.evaluation.significance import interval, paired_test


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(150):
        low, high = interval(rng.binomial(1, 0.2, 200).astype(float))
        covered += low <= 0.2 <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_the_interval_narrows_with_the_root_of_the_users() -> None:
    values = np.random.default_rng(0).random(6_400)
    few, many = (np.subtract(*interval(values[:n])[::-1]) for n in (400, 6_400))
    assert few / many == pytest.approx(4, rel=0.25)


def test_many_users_get_the_normal_limit_which_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(5_000)
    resampled = interval(values)
    monkeypatch.setattr(significance, "_MANY", 4_000)
    assert interval(values) == pytest.approx(resampled, abs=1e-3)


def test_one_user_has_no_interval() -> None:
    assert np.isnan(interval(np.array([0.5]))).all()
    assert np.isnan(interval(np.array([]))).all()


def test_p_is_about_uniform_where_there_is_no_difference() -> None:
    rng = np.random.default_rng(0)
    chances = []
    for _ in range(120):
        left, right = rng.random(60), rng.random(60)
        chances.append(paired_test(left, right).p_value)
    assert np.mean(np.array(chances) < 0.05) <= 0.12
    assert 0.4 <= np.mean(chances) <= 0.6


def test_p_is_small_where_there_is_a_difference() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(300)
    test = paired_test(right + 0.05 + 0.1 * rng.normal(size=300), right)
    assert test.p_value < 0.001
    assert test.significant
    assert test.low < test.difference < test.high
    assert test.low > 0


def test_p_is_the_share_of_sign_flips_as_extreme_as_what_was_seen() -> None:
    apart = np.array([0.4, 0.1, -0.2, 0.3, 0.5])
    flips = [
        abs(sum(sign * value for sign, value in zip(signs, apart, strict=True)))
        for signs in itertools.product((1, -1), repeat=5)
    ]
    exact = np.mean(np.array(flips) >= abs(apart.sum()) - 1e-12)
    assert paired_test(apart, np.zeros(5)).p_value == pytest.approx(exact, abs=0.02)


def test_two_that_agree_everywhere_do_not_differ() -> None:
    test = paired_test(np.ones(10), np.ones(10))
    assert (test.difference, test.p_value, test.significant) == (0.0, 1.0, False)


def test_the_test_is_two_sided() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.random(50), rng.random(50) + 0.1
    there, back = paired_test(left, right), paired_test(right, left)
    assert there.difference == pytest.approx(-back.difference)
    assert there.p_value == pytest.approx(back.p_value, abs=1e-9)


def test_users_on_whom_both_agree_do_not_make_a_difference_more_certain() -> None:
    apart = np.array([1.0, 1.0, 1.0, 0.0])
    alone = paired_test(apart, np.zeros(4)).p_value
    padded = paired_test(np.concatenate([apart, np.ones(1_000)]), np.concatenate([np.zeros(4), np.ones(1_000)])).p_value
    assert padded == pytest.approx(alone, abs=0.02)
    assert padded > 0.2
