from __future__ import annotations

import math

import torch
from torch import nn

from segue.nn.item_tower import ItemTower
from segue.nn.sequence import SequenceModel
from segue.nn.transformer import TransformerEncoder


def model() -> SequenceModel:
    torch.manual_seed(0)
    return SequenceModel(ItemTower(200, 32), TransformerEncoder(32, 6, 2, 2, "ligr", 2, 0.0)).eval()


def test_the_newest_state_is_the_last_of_all_states() -> None:
    items, lengths = torch.tensor([[3, 4, 5], [9, 0, 0]]), torch.tensor([3, 1])
    states = model()(items, lengths)
    torch.testing.assert_close(model().last(items, lengths), states[[0, 1], [2, 0]])


def test_codes_beyond_the_length_of_a_row_do_not_matter() -> None:
    lengths = torch.tensor([2, 1])
    clean, dirty = torch.tensor([[3, 4, 0], [9, 0, 0]]), torch.tensor([[3, 4, 7], [9, 8, 8]])
    torch.testing.assert_close(model().last(clean, lengths), model().last(dirty, lengths))


def test_embeddings_start_small_padding_at_zero_and_biases_at_zero() -> None:
    fresh = model()
    weight = fresh.tower.ids.weight
    assert not weight[0].any()
    assert math.isclose(float(weight[1:].detach().std()), 0.02, rel_tol=0.1)
    for module in fresh.modules():
        if isinstance(module, nn.Linear):
            bound = math.sqrt(6 / (module.in_features + module.out_features))
            assert float(module.weight.detach().abs().max()) <= bound
            assert module.bias is None or not module.bias.any()
