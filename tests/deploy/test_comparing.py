"""Beside each other: the same people, the same lists."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from segue.deploy.comparing import Questions, answered, figures, overlap
from tests.deploy.models import split, trained


def test_overlap_is_the_mean_share_of_each_list_that_stands_in_the_other() -> None:
    before, after = (
        np.array([[1, 2, 3, 4], [5, 6, 0, 0], [0, 0, 0, 0]]),
        np.array([[4, 3, 9, 8], [6, 7, 0, 0], [1, 2, 3, 4]]),
    )
    assert overlap(before, after) == 0.5
    assert overlap(before, before) == 1.0
    assert overlap(before[2:], after[2:]) == 1.0


@given(st.permutations(range(1, 11)))
def test_order_does_not_count(order: list[int]) -> None:
    assert overlap(np.arange(1, 11)[None], np.array([order])) == 1.0


def test_a_model_beside_itself_is_the_same() -> None:
    model, questions = trained(), Questions.of(trained(), split().test, 1_000)
    found = figures(model, questions, answered(model, questions))
    assert found.overlap == 1.0
    assert 0 < found.ndcg < 1
    assert found.milliseconds > 0


def test_people_are_those_of_the_test_at_most_as_many_as_asked_for_and_always_the_same() -> None:
    everybody = Questions.of(trained(), split().test, 1_000)
    assert len(everybody.histories) == len(split().test.users)
    some, again = (Questions.of(trained(), split().test, 7) for _ in range(2))
    assert len(some.histories) == 7 == len(some.targets)
    assert np.array_equal(some.histories.items, again.histories.items)


def test_without_a_test_the_newest_known_event_is_the_one_to_tell() -> None:
    model = trained()
    questions = Questions.of(model, None, 1_000)
    known = model.histories
    users = np.flatnonzero(known.lengths > 1)
    assert np.array_equal(questions.targets.items, known.items[known.offsets[users + 1] - 1])
    assert np.array_equal(questions.histories.lengths, known.lengths[users] - 1)
    assert np.array_equal(questions.histories.at, questions.targets.timestamps)
