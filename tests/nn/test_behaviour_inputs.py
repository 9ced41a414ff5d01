from __future__ import annotations

import pytest
import torch

from segue.nn.behaviour import BehaviourInputs, forget_wanted
from segue.nn.inputs import Inputs


def added(values: list[float]) -> torch.Tensor:
    torch.manual_seed(0)
    layer = BehaviourInputs(4, 0, (2.0, 3.0))
    items = torch.ones(1, len(values), dtype=torch.int64)
    inputs = Inputs(items, torch.tensor([len(values)]), values=torch.tensor([values]))
    return layer(torch.zeros(1, len(values), 4), inputs)[0].detach()


@pytest.mark.parametrize(("value", "like"), [(float("inf"), 5.0), (1e30, 5.0), (float("-inf"), 1.0), (-1e30, 1.0)])
def test_values_out_of_range_fall_into_the_outer_bins(value: float, like: float) -> None:
    vectors = added([value, like])
    assert torch.equal(vectors[0], vectors[1])


def test_a_value_that_is_no_number_is_unknown_and_like_no_bin() -> None:
    unknown, *bins = added([float("nan"), 1.0, 2.5, 9.0])
    assert torch.isfinite(unknown).all()
    assert not any(torch.equal(unknown, each) for each in bins)


def test_inputs_without_actions_count_as_unknown() -> None:
    layer = BehaviourInputs(4, 2, ())
    items, lengths = torch.ones(1, 3, dtype=torch.int64), torch.tensor([3])
    bare = layer(torch.zeros(1, 3, 4), Inputs(items, lengths))
    zero = torch.zeros_like(items)
    assert torch.equal(bare, layer(torch.zeros(1, 3, 4), Inputs(items, lengths, actions=zero, wanted=zero)))


def test_some_requests_forget_which_action_they_are_for() -> None:
    torch.manual_seed(0)
    wanted = torch.ones(10, 100, dtype=torch.int64)
    inputs = Inputs(wanted, torch.full((10,), 100), wanted=wanted)
    share = float((forget_wanted(inputs, 0.3).wanted == 0).float().mean())  # type: ignore[attr-defined]
    assert share == pytest.approx(0.3, abs=0.05)
    assert forget_wanted(inputs, 0.0) is inputs
