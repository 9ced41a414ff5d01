"""The masked model: it reads the whole row, and of what is masked nothing but the request."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segue.nn import masking
from segue.nn.behaviour import BehaviourInputs
from segue.nn.bidirectional import BidirectionalEncoder
from segue.nn.encoders import Shape
from segue.nn.inputs import Inputs
from segue.nn.item_tower import ItemTower
from segue.nn.sequence import SequenceModel
from segue.nn.time import MomentInputs
from tests.nn.makers import ITEMS, LENGTHS, ROWS, SIZE, WIDTH, asked_of, mixed, of_row, vectors

timed = pytest.mark.parametrize("time", [False, True])


def shape(time: bool) -> Shape:
    return Shape(SIZE, 10, 2, 2, expansion=2, relative_time=time, request=time)


def model(time: bool = True, forget: float = 0.0) -> SequenceModel:
    torch.manual_seed(0)
    moments = MomentInputs(SIZE, ("gaps", "request", "calendar", "sessions")) if time else None
    tower, behaviour = ItemTower(ITEMS, SIZE), BehaviourInputs(SIZE, 2, (1.0, 3.0))
    made = SequenceModel(tower, BidirectionalEncoder(shape(time)), moments, behaviour, forget)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3) if not parameter.any() else None
    return made.eval()


@timed
def test_a_later_event_does_change_earlier_states(time: bool) -> None:
    torch.manual_seed(0)
    encoder, x, inputs = BidirectionalEncoder(shape(time)).eval(), vectors(), asked_of()
    later = torch.cat([x[:, :5], vectors(seed=2)[:, 5:]], dim=1)
    change = (encoder(later, mixed(inputs, asked_of(seed=3), 5)) - encoder(x, inputs)).abs().amax(2)
    assert change[0, 0] > 1e-4
    assert (change[LENGTHS <= 4][:, :1] < 1e-6).all(), "padding is not in view"


def changed_at(row: Inputs, place: int, column: str) -> Inputs:
    other: dict[str, Any] = {"items": 29, "actions": 2, "values": 0.0}
    value = getattr(row, column).clone()
    value[:, place] = other[column]
    return row.replaced(**{column: value})


@timed
@pytest.mark.parametrize("column", ["items", "actions", "values"])
def test_nothing_of_a_masked_event_reaches_any_state(column: str, time: bool) -> None:
    made, place = model(time), 3
    row = masking.whole(asked_of(), torch.full((ROWS,), 7))
    masks = torch.arange(WIDTH + 1) == torch.full((ROWS, 1), place)
    changed = changed_at(row, place, column)

    def states(of: Inputs, hidden: Tensor) -> Tensor:
        return made._encoded(masking.masked(of, hidden), masks=hidden)

    assert torch.equal(states(row, masks), states(changed, masks))
    seen = torch.zeros_like(masks)
    assert not torch.allclose(states(row, seen), states(changed, seen), atol=1e-4), "unmasked it would be seen"


@timed
def test_the_targets_of_training_do_not_reach_the_states_that_tell_them(time: bool, monkeypatch: Any) -> None:
    made, inputs = model(time), asked_of()
    targets = torch.cat([inputs.items[:, 1:], torch.full((ROWS, 1), 7)], dim=1)
    targets.scatter_(1, LENGTHS[:, None] - 1, 7)
    other = targets.scatter(1, LENGTHS[:, None] - 1, 8)
    masks = torch.arange(WIDTH + 1) == LENGTHS[:, None]
    monkeypatch.setattr(masking, "draw_masks", lambda lengths, width, share: masks)
    hidden, told, _ = made.learnt(inputs, targets)
    same, others, _ = made.learnt(inputs, other)
    assert (told == 7).all()
    assert (others == 8).all()
    assert torch.equal(hidden, same)


@timed
def test_what_is_asked_in_training_is_what_is_asked_of_a_recommendation(time: bool, monkeypatch: Any) -> None:
    made, inputs = model(time), asked_of()
    masks = torch.arange(WIDTH + 1) == LENGTHS[:, None]
    monkeypatch.setattr(masking, "draw_masks", lambda lengths, width, share: masks)
    hidden = made.learnt(inputs, torch.ones_like(inputs.items))[0]
    torch.testing.assert_close(hidden, made.last(inputs))


def test_a_masked_event_counts_as_the_target_it_is_and_one_of_no_weight_is_not_masked() -> None:
    made, inputs = model(), asked_of()
    targets = torch.ones_like(inputs.items)
    weights = torch.arange(WIDTH).remainder(2).float().expand(ROWS, WIDTH) * 3
    for seed in range(20):
        torch.manual_seed(seed)
        hidden, told, counted = made.learnt(inputs, targets, weights=weights)
        assert counted is not None
        assert len(hidden) == len(told) == len(counted)
        assert (counted == 3).all()


def test_what_is_learnt_are_the_masked_items() -> None:
    made, inputs = model(), asked_of()
    torch.manual_seed(3)
    hidden, told, _ = made.learnt(inputs, torch.ones_like(inputs.items))
    torch.manual_seed(3)
    row = masking.whole(inputs, torch.ones(ROWS, dtype=torch.int64))
    masks = masking.draw_masks(row.lengths, WIDTH + 1, made.mask_share)
    assert torch.equal(told, row.items[masks])
    assert hidden.shape == (len(told), SIZE)
    assert (told > 0).all()


@pytest.mark.parametrize("column", ["asked", "wanted", "actions", "values", "times"])
def test_a_recommendation_depends_on_the_request_and_on_what_was_done(column: str) -> None:
    made, inputs = model(), asked_of()
    value = getattr(inputs, column).clone()
    value[:, : WIDTH if column != "times" else 1] += 2_000_000 if column in ("asked", "times") else 1
    other = made.last(inputs.replaced(**{column: value.clamp(max=2) if column in ("wanted", "actions") else value}))
    assert not torch.allclose(other, made.last(inputs), atol=1e-4)


def test_a_row_alone_is_answered_as_in_a_batch_and_at_full_length() -> None:
    made = model()
    wide = asked_of(width=10, lengths=torch.tensor([10, 1, 4, 6, 2]))
    together = made.last(wide)
    for row in range(ROWS):
        torch.testing.assert_close(made.last(of_row(wide, row))[0], together[row])


def test_the_mask_is_learnt() -> None:
    made, inputs = model(), asked_of()
    assert made.mask is not None
    made.learnt(inputs, torch.ones_like(inputs.items))[0].sum().backward()
    assert made.mask.grad is not None
    assert made.mask.grad.any()
