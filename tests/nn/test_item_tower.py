from __future__ import annotations

import torch

from segue.nn.item_tower import ItemTower


def test_what_is_read_is_what_is_scored_against_times_the_root_of_the_size() -> None:
    tower = ItemTower(5, 16)
    codes = torch.tensor([[1, 5], [3, 0]])
    torch.testing.assert_close(tower(codes), tower.vectors()[codes] * 4)


def test_padding_is_zero_and_learns_nothing_from_being_read() -> None:
    tower = ItemTower(5, 16)
    codes = torch.tensor([[1, 0]])
    assert not tower(codes)[0, 1].any()
    tower(codes).sum().backward()
    assert not tower.ids.weight.grad[0].any()
    assert tower.ids.weight.grad[1].any()


def test_there_is_a_vector_for_each_item_and_for_padding() -> None:
    assert ItemTower(5, 16).vectors().shape == (6, 16)
