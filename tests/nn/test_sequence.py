from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from segue.nn.behaviour import BehaviourInputs
from segue.nn.encoders import Shape
from segue.nn.inputs import UNKNOWN_TIME, Inputs
from segue.nn.item_tower import ItemTower
from segue.nn.sequence import SequenceModel
from segue.nn.time import MomentInputs
from segue.nn.transformer import TransformerEncoder
from tests.nn.makers import asked_of

PARTS = ("gaps", "request", "calendar", "sessions")


def model(forget: float = 0.0, aware: bool = False) -> SequenceModel:
    torch.manual_seed(0)
    moments, behaviour = (MomentInputs(32, PARTS), BehaviourInputs(32, 2, (1.0, 3.0))) if aware else (None, None)
    encoder = TransformerEncoder(Shape(32, 8, 2, 2, expansion=2))
    return SequenceModel(ItemTower(200, 32), encoder, moments, behaviour, forget).eval()


def test_the_newest_state_is_the_last_of_all_states() -> None:
    inputs = Inputs(torch.tensor([[3, 4, 5], [9, 0, 0]]), torch.tensor([3, 1]))
    states = model()(inputs)
    torch.testing.assert_close(model().last(inputs), states[[0, 1], [2, 0]])


def test_codes_beyond_the_length_of_a_row_do_not_matter() -> None:
    lengths = torch.tensor([2, 1])
    clean, dirty = torch.tensor([[3, 4, 0], [9, 0, 0]]), torch.tensor([[3, 4, 7], [9, 8, 8]])
    torch.testing.assert_close(model().last(Inputs(clean, lengths)), model().last(Inputs(dirty, lengths)))


@pytest.mark.parametrize("column", ["times", "asked", "calendar", "actions", "wanted", "values"])
def test_every_column_is_read_by_a_model_that_knows_it(column: str) -> None:
    inputs = asked_of()
    blank = {"times": UNKNOWN_TIME, "asked": UNKNOWN_TIME, "values": float("nan")}.get(column, 0)
    without = inputs.replaced(**{column: torch.full_like(getattr(inputs, column), blank)})
    aware = model(aware=True)
    assert not torch.allclose(aware.last(inputs), aware.last(without), atol=1e-4)
    bare = model()
    assert torch.equal(bare.last(inputs), bare.last(without))


def test_a_column_that_is_absent_counts_as_unknown() -> None:
    inputs, aware = asked_of(), model(aware=True)
    nothing = inputs.replaced(
        times=torch.full_like(inputs.items, UNKNOWN_TIME),
        asked=torch.full_like(inputs.items, UNKNOWN_TIME),
        calendar=torch.zeros_like(inputs.items),
        actions=torch.zeros_like(inputs.items),
        wanted=torch.zeros_like(inputs.items),
        values=torch.full(inputs.items.shape, float("nan")),
    )
    torch.testing.assert_close(aware.last(nothing), aware.last(Inputs(inputs.items, inputs.lengths)))


def test_requests_are_forgotten_in_training_and_never_in_evaluation() -> None:
    aware, inputs = model(forget=0.5, aware=True), asked_of()
    assert torch.equal(aware(inputs), aware(inputs))
    aware.train()
    assert not torch.equal(aware(inputs), aware(inputs))


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
