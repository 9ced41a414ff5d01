from __future__ import annotations

import torch

from segue.nn.inputs import UNKNOWN_TIME, Inputs
from segue.nn.masking import draw_masks, masked, whole
from tests.nn.makers import LENGTHS, ROWS, WIDTH, asked_of


def test_about_the_share_is_masked_and_never_padding_or_the_first() -> None:
    torch.manual_seed(0)
    lengths = torch.full((2_000,), 50)
    masks = draw_masks(lengths, 60, 0.3)
    assert not masks[:, 0].any()
    assert not masks[:, 50:].any()
    several = masks.sum(1) > 1
    assert 0.28 < masks[several][:, 1:50].float().mean() < 0.32


def test_in_a_quarter_of_the_rows_the_last_alone_is_masked() -> None:
    torch.manual_seed(0)
    masks = draw_masks(torch.full((2_000,), 50), 50, 0.3)
    alone = masks[:, -1] & (masks.sum(1) == 1)
    assert 0.22 < alone.float().mean() < 0.28


def test_every_row_learns_something() -> None:
    masks = draw_masks(torch.tensor([2, 3, 9] * 50), 9, 0.01)
    assert masks.any(1).all()
    assert masks[0].tolist() == [False, True] + [False] * 7


def test_a_row_is_its_inputs_and_the_event_that_follows() -> None:
    inputs = Inputs(
        items=torch.tensor([[3, 4], [9, 0]]),
        lengths=torch.tensor([2, 1]),
        times=torch.tensor([[10, 20], [50, 0]]),
        asked=torch.tensor([[20, 30], [60, 0]]),
        calendar=torch.tensor([[1, 2], [3, 0]], dtype=torch.int16),
        actions=torch.tensor([[1, 2], [1, 0]]),
        wanted=torch.tensor([[2, 1], [2, 0]]),
        values=torch.tensor([[0.5, 1.5], [2.5, float("nan")]]),
    )
    row = whole(inputs, torch.tensor([5, 8]))
    assert row.items.tolist() == [[3, 4, 5], [9, 8, 0]]
    assert row.lengths.tolist() == [3, 2]
    assert row.times is not None
    assert row.asked is not None
    assert row.calendar is not None
    assert row.actions is not None
    assert row.wanted is not None
    assert row.values is not None
    assert row.times[0].tolist() == [10, 20, 30]
    assert row.times[1, :2].tolist() == [50, 60]
    assert row.asked.tolist() == [[UNKNOWN_TIME, 20, 30], [UNKNOWN_TIME, 60, 0]]
    assert row.calendar.tolist() == [[0, 1, 2], [0, 3, 0]]
    assert row.actions.tolist() == [[1, 2, 1], [1, 2, 0]]
    assert row.wanted.tolist() == [[0, 2, 1], [0, 2, 0]]
    torch.testing.assert_close(row.values[0], torch.tensor([0.5, 1.5, float("nan")]), equal_nan=True)
    assert row.values[1, 1].isnan()


def test_a_masked_event_is_known_by_its_request_alone() -> None:
    row = whole(asked_of(), torch.full((ROWS,), 7))
    masks = torch.zeros(ROWS, WIDTH + 1, dtype=torch.bool).index_fill(1, torch.tensor([2]), True)
    read = masked(row, masks)
    assert read.times is not None
    assert row.asked is not None
    assert row.times is not None
    assert row.wanted is not None
    assert read.actions is not None
    assert read.wanted is not None
    assert read.values is not None
    assert not read.items[masks].any()
    assert torch.equal(read.times[masks], row.asked[masks])
    assert torch.equal(read.times[~masks], row.times[~masks])
    assert not read.actions[masks].any()
    assert read.values[masks].isnan().all()
    assert torch.equal(read.wanted[masks], row.wanted[masks])
    assert not read.wanted[~masks].any(), "the action of an event next to it would tell"
    assert read.asked is None


def test_a_log_without_moments_and_behaviour_is_masked_too() -> None:
    row = whole(Inputs(asked_of().items, LENGTHS), torch.ones(ROWS, dtype=torch.int64))
    read = masked(row, draw_masks(row.lengths, WIDTH + 1, 0.5))
    assert (read.times, read.calendar, read.actions, read.wanted, read.values) == (None,) * 5
