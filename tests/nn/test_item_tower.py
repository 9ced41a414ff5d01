from __future__ import annotations

import numpy as np
import torch

from segue.nn.item_tower import Bags, ItemTower


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


def bags() -> Bags:
    """Three items; the first feature has rows 0 to 2 (unknown, a, b), the second 3 and 4 (unknown, c)."""
    rows = [1, 2, 3, 0, 4, 1, 4]
    return Bags(np.array([0, 0, 3, 5, 7]), np.array(rows), np.array([0.5, 0.5, 1, 1, 1, 1, 1]), (3, 2))


def test_an_item_is_its_own_vector_and_the_mean_of_each_feature() -> None:
    tower = ItemTower(3, 4, bags())
    own, table = tower.ids.weight, tower.attributes
    expected = torch.stack(
        [
            torch.zeros(4),
            own[1] + (table[1] + table[2]) / 2 + table[3],
            own[2] + table[0] + table[4],
            own[3] + table[1] + table[4],
        ]
    )
    torch.testing.assert_close(tower.vectors(), expected)
    torch.testing.assert_close(tower(torch.tensor([3, 0])), expected[[3, 0]] * 2)


def test_attributes_begin_at_the_scale_of_the_id() -> None:
    rng = np.random.default_rng(0)
    items, each = 500, 6
    rows = rng.integers(0, 1_000, items * each)
    offsets = np.concatenate([[0], np.arange(items + 1) * each])
    tower = ItemTower(items, 64, Bags(offsets, rows, np.full(len(rows), 1 / 3), (500, 500)))
    added = (tower.vectors() - tower.ids.weight)[1:]
    assert 0.018 < float(added.detach().std()) < 0.022


def test_vectors_that_are_handed_in_are_used_and_padding_learns_nothing() -> None:
    tower = ItemTower(3, 4, bags())
    vectors = tower.vectors()
    read = tower(torch.tensor([[1, 0], [2, 0]]), vectors)
    (read.sum() + vectors[3].sum()).backward()
    assert not read[:, 1].any()
    assert not tower.ids.weight.grad[0].any()
    torch.testing.assert_close(tower.attributes.grad[:, 0], torch.tensor([2.0, 2.0, 1.0, 2.0, 3.0]))


def test_ids_are_hidden_in_training_alone() -> None:
    tower = ItemTower(3, 4, bags(), id_dropout=0.999999)
    hidden = tower.vectors()
    torch.testing.assert_close(hidden[3], tower.attributes[1] + tower.attributes[4])
    shown = tower.eval().vectors()
    torch.testing.assert_close(shown, hidden + tower.ids.weight)


def test_without_a_feature_its_part_is_the_same_for_all_items() -> None:
    tower = ItemTower(3, 4, bags())
    added = tower.vectors()[1:] - tower.without(1)[1:]
    second = torch.stack([tower.attributes[row] for row in (3, 4, 4)])
    torch.testing.assert_close(added, second - second.mean(0))
    assert not tower.without(0)[0].any()
