from __future__ import annotations

import torch

from segue.nn.encoders import Shape
from segue.nn.inputs import Inputs
from segue.nn.view import PositionsFromEnd, View
from tests.nn.makers import LENGTHS, ROWS, WIDTH, asked_of

SHAPE = Shape(8, 10)


def test_a_position_sees_itself_and_what_is_before_it() -> None:
    hidden = View.of(asked_of(), SHAPE).hidden
    assert hidden.shape == (1, 1, WIDTH, WIDTH)
    assert torch.equal(hidden[0, 0], torch.ones(WIDTH, WIDTH, dtype=torch.bool).triu(1))


def test_one_position_per_row_sees_what_it_sees_among_all() -> None:
    shape, only = Shape(8, 10, relative_time=True, request=True), LENGTHS - 1
    every, one = View.of(asked_of(), shape), View.of(asked_of(), shape, only)
    again = every.one(only)
    assert torch.equal(again.hidden, one.hidden)
    assert torch.equal(again.buckets, one.buckets)
    assert one.hidden.shape == (ROWS, 1, 1, WIDTH)
    assert every.buckets is not None
    assert one.buckets is not None
    for row, place in enumerate(only.tolist()):
        assert torch.equal(one.hidden[row, 0, 0], every.hidden[0, 0, place])
        assert torch.equal(one.buckets[row, 0], every.buckets[row, place])


def test_attention_that_knows_no_time_gets_no_buckets() -> None:
    assert View.of(asked_of(), SHAPE).buckets is None


def test_places_are_counted_from_the_newest_event() -> None:
    positions = PositionsFromEnd(10, 8)
    nothing = torch.zeros(2, 9, 8)
    long, short = positions(nothing, torch.tensor([9, 3]))
    assert torch.equal(long[-3:], short[:3])
    assert torch.equal(long[-1], positions.vectors.weight[0])


def test_the_width_of_a_batch_does_not_move_a_row() -> None:
    positions, inputs = PositionsFromEnd(10, 8), Inputs(torch.ones(1, 9, dtype=torch.int64), torch.tensor([1]))
    wide, narrow = positions(torch.zeros(1, 9, 8), inputs.lengths), positions(torch.zeros(1, 1, 8), inputs.lengths)
    assert torch.equal(wide[:, :1], narrow)
