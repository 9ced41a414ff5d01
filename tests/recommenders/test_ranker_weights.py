from __future__ import annotations

import numpy as np
import pytest

from segue.data.histories import Histories
from segue.recommenders.ranker_weights import SIGNALS, Weights, known_of_items

RNG = np.random.default_rng(0)
DRAWN = RNG.normal(size=(800, 4))


def test_untaught_the_language_model_answers_and_the_base_orders() -> None:
    weights = Weights.untaught(rating=False)
    np.testing.assert_array_equal(weights.together(DRAWN), DRAWN[:, 0])
    np.testing.assert_array_equal(weights.order(DRAWN), DRAWN[:, 1])
    np.testing.assert_array_equal(Weights.untaught(rating=True).order(DRAWN), DRAWN[:, 0])


def test_answers_and_order_are_learnt_apart() -> None:
    untaught = Weights.untaught(rating=False)
    learnt = untaught.learnt(DRAWN, DRAWN[:, 1] - DRAWN[:, 2] > 0, rating=False)
    assert learnt.together.weights[1] > 1 > -1 > learnt.together.weights[2]
    assert learnt.order is untaught.order
    lists = DRAWN.reshape(-1, 20, 4)
    ordered = learnt.ordered(lists, lists[:, :, 0].argmax(1))
    assert ordered.order.weights.argmax() == 0
    assert ordered.together is learnt.together


def test_the_untuned_answer_can_be_left_as_it_is() -> None:
    untaught = Weights.untaught(rating=False)
    learnt = untaught.learnt(DRAWN, DRAWN[:, 0] > 0, rating=False, alone=False)
    assert learnt.alone is untaught.alone
    ratings = untaught.learnt(DRAWN, DRAWN[:, 0], rating=True, alone=False)
    assert ratings.alone is untaught.alone


def test_from_equal_answers_nothing_is_learnt() -> None:
    untaught = Weights.untaught(rating=False)
    assert untaught.learnt(DRAWN, np.ones(len(DRAWN), bool), rating=False) is untaught


def test_weights_come_back_from_their_document_and_are_described() -> None:
    weights = Weights.untaught(rating=False).learnt(DRAWN, DRAWN[:, 1] > 0, rating=False)
    again = Weights.from_document(weights.document())
    np.testing.assert_array_equal(again.together(DRAWN), weights.together(DRAWN))
    assert set(weights.described()["order"]) == set(SIGNALS)


def test_what_is_met_last_is_fresh_and_what_is_met_first_is_not() -> None:
    items = np.array([1, 1, 2, 1, 3, 1, 3, 2])
    histories = Histories(np.array([0, 0, 3, 5, 8]), items)
    known = known_of_items(histories, np.bincount(items, minlength=5))
    fresh = known[:, 1]
    assert fresh[2] > fresh[3] > 0 > fresh[1]
    assert fresh[4] == pytest.approx(0), "of what nobody met nothing is known"
    np.testing.assert_allclose(known[:, 0], np.log1p([0, 4, 2, 2, 0]))


def test_a_log_without_events_is_not_fresh() -> None:
    nothing = Histories(np.array([0, 0]), np.array([], dtype=np.int64))
    assert known_of_items(nothing, np.zeros(3, dtype=np.int64)).tolist() == [[0, 0]] * 3
