from __future__ import annotations

import numpy as np
import pytest

from segue.ranking.blend import Blend, fit_lists, fit_ratings, fit_yes_no

RNG = np.random.default_rng(0)


def test_log_odds_are_found_again() -> None:
    signals = RNG.normal(size=(40_000, 2)) * [1.0, 5.0] + [3.0, 0.0]
    odds = 2 * signals[:, 0] - 0.3 * signals[:, 1] - 5
    answers = RNG.random(len(odds)) < 1 / (1 + np.exp(-odds))
    found = fit_yes_no(signals, answers, np.array([True, True]))
    np.testing.assert_allclose(found.weights, [2, -0.3], rtol=0.05)
    assert found.bias == pytest.approx(-5, rel=0.05)


def test_a_signal_that_is_not_free_is_ignored_rather_than_turned_round() -> None:
    signals = RNG.normal(size=(2_000, 2))
    answers = signals[:, 0] - signals[:, 1] > 0
    held, free = np.array([False, False]), np.array([True, True])
    assert fit_yes_no(signals, answers, held).weights[1] == 0
    assert fit_yes_no(signals, answers, free).weights[1] < 0
    lists = signals.reshape(-1, 20, 2)
    wanted = (lists @ [1, -1]).argmax(1)
    assert fit_lists(lists, wanted, held).weights[1] == 0


def test_lists_are_put_in_the_order_that_was_wanted() -> None:
    lists = RNG.normal(size=(400, 10, 3)) * [1, 100, 1]
    wanted = (lists @ [1, 0.02, 0]).argmax(1)
    found = fit_lists(lists, wanted, np.array([True, True, True]))
    assert ((found(lists).argmax(1)) == wanted).mean() > 0.95
    assert abs(found.weights[2]) < 0.1 * found.weights[0]


def test_ratings_are_found_again() -> None:
    signals = RNG.normal(size=(3_000, 2))
    found = fit_ratings(signals, 3.5 + signals @ [0.5, 0.0])
    np.testing.assert_allclose(found(signals), 3.5 + signals @ [0.5, 0.0], atol=0.01)


def test_signals_that_never_change_weigh_nothing() -> None:
    signals = np.column_stack([RNG.normal(size=500), np.full(500, 7.0)])
    answers = signals[:, 0] > 0
    assert fit_yes_no(signals, answers, np.array([True, True])).weights[1] == 0
    assert np.isfinite(fit_ratings(signals, answers)(signals)).all()


def test_a_blend_comes_back_from_its_document() -> None:
    blend = Blend(np.array([0.5, 2.0]), -1.0)
    again = Blend.from_document(blend.document())
    signals = RNG.normal(size=(4, 3, 2))
    np.testing.assert_array_equal(again(signals), blend(signals))
    assert blend(signals).shape == (4, 3)
