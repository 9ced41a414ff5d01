"""What is the recurrent encoders' own; what they share with every encoder is in test_encoders."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from segue.nn.encoders import Shape
from segue.nn.inputs import UNKNOWN_TIME, Inputs
from segue.nn.recurrent import Fading, GRUEncoder, LSTMEncoder
from tests.nn.makers import SIZE, asked_of, vectors


@pytest.mark.parametrize("encoder", [GRUEncoder, LSTMEncoder])
def test_a_history_may_be_longer_than_any_seen_in_training(encoder: type) -> None:
    model = encoder(Shape(SIZE, 4, 1)).eval()
    width = 3_000
    inputs = Inputs(torch.ones(1, width, dtype=torch.int64), torch.tensor([width]))
    assert model(torch.randn(1, width, SIZE), inputs, last=True).isfinite().all()


def test_a_layer_is_the_recurrence_of_torch_on_a_residual_branch() -> None:
    torch.manual_seed(0)
    model, x = GRUEncoder(Shape(SIZE, 10, 1)).eval(), vectors()
    (block,) = model.blocks
    wanted = model.norm(x + block.output(block.layer(block.norm(x))[0]))
    torch.testing.assert_close(model(x, asked_of()), wanted)


def faded(times: int, asked: int) -> torch.Tensor:
    moments = (torch.tensor([[times]]), torch.tensor([[asked]]))
    inputs = Inputs(torch.ones(1, 1, dtype=torch.int64), torch.tensor([1]), *moments)
    fading = Fading(SIZE)
    nn.init.constant_(fading.weight, -2.0)
    return fading(torch.ones(1, 1, SIZE), inputs, None)[0, 0, 0].detach()


def test_a_state_fades_with_the_time_to_the_request() -> None:
    assert faded(100, 100) == 1
    assert 0 < faded(100, 10_000_000) < faded(100, 1_000) < 1
    assert faded(100, 50) == 1, "a clock that jumps back"


@pytest.mark.parametrize("moments", [(UNKNOWN_TIME, 5), (5, UNKNOWN_TIME)])
def test_an_unknown_moment_fades_nothing(moments: tuple[int, int]) -> None:
    assert faded(*moments) == 1


def test_without_time_nothing_fades() -> None:
    assert GRUEncoder(Shape(SIZE, 10, 1)).fading is None
    assert GRUEncoder(Shape(SIZE, 10, 1, relative_time=True, request=True)).fading is not None
