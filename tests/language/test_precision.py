"""Smaller numbers: close to the model they stand for, the same in every batch, and no change to the model."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from segue.language.precision import Int8Linear, Precision, lowered

from .tiny_models import tiny_model


def closeness(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float(nn.functional.cosine_similarity(found.float().flatten(0, 1), wanted.flatten(0, 1)).min())


@pytest.mark.parametrize(("precision", "least"), [("fp32", 1.0 - 1e-6), ("bf16", 0.995), ("int8", 0.99)])
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_a_model_in_smaller_numbers_says_nearly_the_same(kind: str, precision: Precision, least: float) -> None:
    model = tiny_model(kind)
    before = copy.deepcopy(model.state_dict())
    small = lowered(model, precision)
    ids = torch.randint(0, 60, (5, 9), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert closeness(small(input_ids=ids).last_hidden_state, model(input_ids=ids).last_hidden_state) > least
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert any(parameter.requires_grad for parameter in model.parameters())


def test_int8_takes_the_maps_of_the_blocks_and_leaves_the_values() -> None:
    names = {name for name, part in lowered(tiny_model("bert"), "int8").named_modules() if isinstance(part, Int8Linear)}
    assert len(names) == 4 * 5
    assert not any("value" in name or "pooler" in name for name in names)


def test_int8_does_not_depend_on_the_batch_and_is_the_same_each_time() -> None:
    model = tiny_model("bert")
    ids = torch.randint(0, 60, (6, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        together = lowered(model, "int8")(input_ids=ids).last_hidden_state
        again = lowered(model, "int8")
        alone = torch.cat([again(input_ids=row[None]).last_hidden_state for row in ids])
    torch.testing.assert_close(together, alone, atol=2e-2, rtol=0)


@pytest.mark.parametrize("bias", [True, False])
def test_an_int8_map_is_right_to_its_rounding(bias: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(48, 24, bias=bias)
    hidden = torch.randn(3, 7, 48, generator=generator) * torch.linspace(0.01, 4, 48) + 3
    rows = hidden.flatten(0, 1)
    whole = Int8Linear(linear, rows.mean(0), (rows - rows.mean(0)).abs().amax(0))
    with torch.no_grad():
        wanted = linear(hidden)
    assert whole(hidden).shape == wanted.shape
    assert float((whole(hidden) - wanted).abs().max()) < 0.02 * float(wanted.std())


def test_an_int8_map_bears_rows_that_are_all_one_number() -> None:
    whole = Int8Linear(nn.Linear(8, 4), torch.zeros(8), torch.zeros(8))
    assert np.isfinite(whole(torch.zeros(2, 8)).numpy()).all()
    assert np.isfinite(whole(torch.full((2, 8), 1e6)).numpy()).all()
