from __future__ import annotations

import pytest
import torch

from segue.nn.dropout import Dropout


def dropped(rate: float, shape: tuple[int, ...] = (400, 501), seed: int = 0) -> torch.Tensor:
    torch.manual_seed(seed)
    return Dropout(rate).train()(torch.ones(shape))


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.5, 0.9])
def test_the_share_dropped_is_the_rate_and_the_expectation_is_kept(rate: float) -> None:
    values = dropped(rate)
    rounded = round(rate * 256) / 256
    assert float((values == 0).float().mean()) == pytest.approx(rounded, abs=0.005)
    assert float(values.mean()) == pytest.approx(1.0, abs=0.01)
    assert values[values > 0].unique().tolist() == pytest.approx([1 / (1 - rounded)])


def test_neighbours_are_dropped_independently() -> None:
    kept = (dropped(0.5) > 0).float()
    for apart in (1, 8, 64):  # eight elements share one draw
        left, right = kept.flatten()[:-apart], kept.flatten()[apart:]
        assert abs(float(torch.corrcoef(torch.stack([left, right]))[0, 1])) < 0.01


def test_nothing_is_dropped_in_evaluation_or_at_rate_zero() -> None:
    x = torch.randn(3, 5)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0).train()(x), x)


def test_the_seed_decides_what_is_dropped() -> None:
    assert torch.equal(dropped(0.5), dropped(0.5))
    assert not torch.equal(dropped(0.5), dropped(0.5, seed=1))


@pytest.mark.parametrize("shape", [(1,), (7,), (8,), (3, 3), (2, 3, 5)])
def test_any_number_of_elements_will_do(shape: tuple[int, ...]) -> None:
    assert dropped(0.5, shape).shape == shape


def test_the_gradient_goes_where_the_value_went() -> None:
    torch.manual_seed(0)
    x = torch.ones(1_000, requires_grad=True)
    out = Dropout(0.3).train()(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


def test_it_shows_its_rate() -> None:
    assert "rate=0.5" in repr(Dropout(0.5))
