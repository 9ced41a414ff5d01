from __future__ import annotations

import numpy as np
import pytest
import torch

from segue.training.negatives import NegativeSampler

COUNTS = np.array([0, 50, 30, 15, 5, 0])  # by code; 0 is padding, item 5 was never met
DRAWS, TIMES = 40, 4_000


def observed(sampler: NegativeSampler) -> tuple[np.ndarray, np.ndarray]:
    """Mean draws of each code, and the expected ones that log-Q states (NaN where it was never drawn)."""
    torch.manual_seed(0)
    seen, stated = np.zeros(len(COUNTS)), np.full(len(COUNTS), np.nan)
    for _ in range(TIMES):
        codes, log_q = sampler.draw()
        seen += np.bincount(codes.numpy(), minlength=len(COUNTS))
        stated[codes.numpy()] = log_q.exp().numpy()
    return seen / TIMES, stated


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_log_q_is_the_log_of_how_often_an_item_is_drawn(share: float) -> None:
    seen, stated = observed(NegativeSampler(COUNTS, DRAWS, share))
    drawn = seen > 0
    np.testing.assert_allclose(stated[drawn], seen[drawn], rtol=0.05)
    assert seen.sum() == pytest.approx(DRAWS)


def test_the_log_q_of_a_uniform_draw_does_not_describe_a_popular_one() -> None:
    seen, _ = observed(NegativeSampler(COUNTS, DRAWS, 0.5))
    _, uniform = observed(NegativeSampler(COUNTS, DRAWS, 0.0))
    assert not np.allclose(uniform[1:5], seen[1:5], rtol=0.05)


def test_padding_is_never_drawn_and_what_nobody_met_only_uniformly() -> None:
    mixed, _ = observed(NegativeSampler(COUNTS, DRAWS, 0.5))
    popular, _ = observed(NegativeSampler(COUNTS, DRAWS, 1.0))
    assert mixed[0] == popular[0] == popular[5] == 0
    assert mixed[5] > 0


def test_the_generator_decides_the_draw() -> None:
    sampler = NegativeSampler(COUNTS, DRAWS, 0.5)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(sampler.draw()[0])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_a_catalogue_that_nobody_met_is_drawn_from_uniformly() -> None:
    codes, log_q = NegativeSampler(np.zeros(4, dtype=np.int64), 30, 0.5).draw()
    assert codes.min() >= 1
    assert log_q.exp().numpy() == pytest.approx([10] * 30)
