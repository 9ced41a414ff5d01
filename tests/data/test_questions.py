from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import segue
from segue.data.questions import draw_by_popularity, of_holdout, of_training


def test_every_event_with_another_before_it_is_asked_about_with_what_came_before(data: segue.Dataset) -> None:
    found = of_training(data, "next", last=3)
    known = data.histories
    assert len(found) == len(known.items) - int((known.lengths > 0).sum())
    at = 0
    for row in range(len(known)):
        items = known.row(row)
        for place in range(1, len(items)):
            assert found.items[at] == items[place]
            assert found.contexts.row(at).tolist() == items[max(0, place - 3) : place].tolist()
            at += 1


def test_it_is_asked_at_the_moment_of_the_event(data: segue.Dataset) -> None:
    found = of_training(data, "next")
    assert found.contexts.at is not None
    last = found.contexts.timestamps[found.contexts.offsets[1:] - 1]
    assert (found.contexts.at >= last).all()


def test_with_a_target_only_such_events_come_and_all_are_context(data: segue.Dataset) -> None:
    kind = data.action_names.index("purchase") + 1
    found = of_training(data, "next", kind)
    assert 0 < len(found) < len(of_training(data, "next"))
    assert (found.kinds == kind).all()
    assert (found.contexts.actions != kind).any()


def test_an_action_is_yes_or_no_and_a_rating_is_its_value(data: segue.Dataset) -> None:
    kind = data.action_names.index("purchase") + 1
    actions = of_training(data, "action", kind)
    assert actions.answers is not None
    assert set(actions.answers.tolist()) == {0.0, 1.0}
    assert (actions.answers == (actions.kinds == kind)).all()
    ratings = of_training(data, "rating")
    assert ratings.answers is not None
    assert set(ratings.answers.tolist()) == {1.0, 2.0, 3.0, 4.0, 5.0}


def test_events_without_a_rating_are_not_asked_about(log: pl.DataFrame) -> None:
    some = log.with_columns(pl.when(pl.int_range(pl.len()) % 2 == 0).then("value").alias("value"))
    data = segue.Dataset.from_frames(some)
    found = of_training(data, "rating")
    assert found.answers is not None
    assert len(found) < len(of_training(data, "next"))
    assert not np.isnan(found.answers).any()


def test_held_out_events_are_asked_about_with_their_users_context(split: segue.Split) -> None:
    found = of_holdout(split.test, "next")
    assert found.items.tolist() == split.test.targets.histories.items.tolist()
    for row, user in enumerate(split.test.users):
        assert found.contexts.row(row).tolist() == split.test.context.histories.row(user).tolist()


def test_the_truth_about_what_is_offered_is_told(split: segue.Split) -> None:
    found = of_holdout(split.test, "next")
    items = found.offered(split.test.context.item_counts, seed=0)
    assert items.shape == (len(found), 2)
    assert found.truth(items).tolist() == [[True, False]] * len(found)
    kind = split.test.targets.action_names.index("view") + 1
    actions = of_holdout(split.test, "action", kind)
    assert actions.offered(split.test.context.item_counts, seed=0).shape == (len(actions), 1)


@given(
    counts=st.lists(st.integers(0, 5), min_size=1, max_size=8),
    own=st.lists(st.integers(1, 8), min_size=1, max_size=6),
)
def test_what_is_drawn_is_known_and_never_the_item_itself(counts: list[int], own: list[int]) -> None:
    items = np.minimum(np.array(own), len(counts))
    weights = np.array([0, *counts])
    drawn = draw_by_popularity(weights, items, 3, np.random.default_rng(0))
    assert drawn.shape == (len(items), 3)
    assert (drawn != items[:, None]).all()
    assert ((drawn >= 0) & (drawn <= len(counts))).all()
    if sum(counts):
        assert (weights[drawn[drawn > 0]] > 0).all()


def test_items_are_drawn_as_often_as_they_are_popular() -> None:
    drawn = draw_by_popularity(np.array([0, 6, 3, 1, 0]), np.full(20_000, 4), 1, np.random.default_rng(0))
    shares = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    assert shares == pytest.approx([0, 0.6, 0.3, 0.1, 0], abs=0.02)
