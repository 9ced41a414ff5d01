from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.nn.likeness import Likeness, newest_items

ITEMS = torch.tensor([[4, 7, 2, 9, 5, 0], [3, 8, 0, 0, 0, 0]])


def test_each_place_has_seen_its_own_event_and_those_before_newest_first() -> None:
    found = newest_items(ITEMS, None)
    assert found[0, 4].tolist() == [5, 9, 2, 7]
    assert found[0, 1].tolist() == [7, 4, 0, 0]
    assert found[1, 0].tolist() == [3, 0, 0, 0]


def test_a_place_asked_for_alone_is_the_same_place() -> None:
    places = torch.tensor([4, 1])
    torch.testing.assert_close(newest_items(ITEMS, None, places), newest_items(ITEMS, None)[[0, 1], places])


def test_a_mask_sees_neither_its_own_event_nor_other_masked_ones() -> None:
    masks = torch.zeros_like(ITEMS, dtype=torch.bool)
    masks[0, [1, 4]] = True
    assert newest_items(ITEMS, masks)[0, 4].tolist() == [9, 2, 0, 4]


@given(st.integers(0, 4), st.integers(1, 50))
def test_no_later_event_is_ever_seen(place: int, other: int) -> None:
    changed = ITEMS.clone()
    changed[0, place + 1 :] = other
    torch.testing.assert_close(newest_items(changed, None)[0, place], newest_items(ITEMS, None)[0, place])


def told(newest: list[int], text: torch.Tensor) -> torch.Tensor:
    likeness = Likeness(text.shape[1]).eval()
    alone = torch.zeros(len(text), 1, dtype=torch.bool)
    vectors = likeness.items(text, alone)
    codes = torch.tensor(newest)
    return likeness(vectors[codes], codes > 0) @ vectors.T


def texts() -> torch.Tensor:
    text = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    text[0] = 0
    text[4] = text[1] * 3  # another copy of the same text
    return text


def test_what_is_most_like_the_newest_item_scores_highest() -> None:
    scores = told([1, 0, 0, 0], texts())
    assert scores.argmax() in (1, 4)
    torch.testing.assert_close(scores[1], scores[4])


def test_the_newest_item_counts_most() -> None:
    scores = told([1, 2, 3, 5], texts())
    assert scores[1] > scores[2]


def test_without_events_nothing_is_like_anything() -> None:
    assert not told([0, 0, 0, 0], texts()).any()


def test_it_is_hidden_from_some_places_in_training_and_from_none_in_answers() -> None:
    likeness = Likeness(3)
    vectors = likeness.items(texts(), torch.zeros(6, 1, dtype=torch.bool))
    newest = torch.ones(1_000, 4, dtype=torch.int64)
    hidden = ~likeness.train()(vectors[newest], newest > 0).any(-1)
    assert 650 < int(hidden.sum()) < 950
    assert likeness.eval()(vectors[newest], newest > 0).any(-1).all()


def test_an_item_without_a_vector_of_its_own_is_lifted_by_its_text() -> None:
    alone = torch.tensor([False, False, False, False, True, False])[:, None]
    vectors = Likeness(3).items(texts(), alone)
    assert vectors[4].norm() > vectors[1].norm()
    torch.testing.assert_close(vectors[1].norm(), torch.tensor(1.0))
