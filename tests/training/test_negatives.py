from __future__ import annotations

import numpy as np
import pytest
import torch

from segue.nn import losses
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


# -- from the batch --------------------------------------------------------------------------------------------

TARGETS = torch.from_numpy(np.repeat(np.arange(len(COUNTS)), COUNTS))  # a batch like the log
STATES = torch.zeros(len(TARGETS), 4)
VECTORS = torch.zeros(len(COUNTS), 4)


def of_batch(source: str, count: int = DRAWS, share: float = 0.5) -> NegativeSampler:
    return NegativeSampler(COUNTS, count, share, source)  # type: ignore[arg-type]


@pytest.mark.parametrize("source", ["mixed", "uniform", "popular", "in_batch", "in_batch_mixed"])
def test_log_q_is_right_wherever_negatives_come_from(source: str) -> None:
    sampler = of_batch(source)
    torch.manual_seed(0)
    seen, stated = np.zeros(len(COUNTS)), np.full(len(COUNTS), np.nan)
    for _ in range(1_500):
        codes, log_q = sampler.draw_for(STATES, VECTORS, TARGETS)
        assert len(codes) == len(log_q) == DRAWS
        seen += np.bincount(codes.numpy(), minlength=len(COUNTS)) / 1_500
        stated[codes.numpy()] = log_q.exp().numpy()
    np.testing.assert_allclose(stated[seen > 0], seen[seen > 0], rtol=0.05)
    assert seen[0] == 0


@pytest.mark.parametrize("source", ["mixed", "popular", "in_batch", "in_batch_mixed"])
@pytest.mark.parametrize("corrected", [True, False])
def test_the_correction_makes_the_sampled_gradient_that_of_the_full_softmax(source: str, corrected: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    items = torch.randn(len(COUNTS), 4, generator=generator)
    states = torch.randn(400, 4, generator=generator).requires_grad_()
    targets = TARGETS[torch.randint(len(TARGETS), (400,), generator=generator)]
    wide = COUNTS + np.array([0, 0, 0, 0, 0, 2])  # every item has been met
    sampler = NegativeSampler(wide, 20_000, 0.9, source)  # type: ignore[arg-type]
    torch.manual_seed(1)
    batch = torch.from_numpy(np.repeat(np.arange(len(wide)), wide)).repeat(200)
    codes, log_q = sampler.draw_for(states, items, batch)
    log_q = log_q if corrected else torch.full_like(log_q, losses.uniform_log_q(len(codes), len(COUNTS) - 1))
    ours, full = (
        torch.autograd.grad(loss, states)[0]
        for loss in (
            losses.sampled_softmax(states, items, targets, codes, log_q),
            losses.full_softmax(states, items, targets),
        )
    )
    apart = float((ours - full).norm() / full.norm())
    assert (apart < 0.05) == corrected


def test_a_small_batch_gives_no_more_negatives_than_it_has() -> None:
    few = torch.tensor([3, 1])
    codes, log_q = of_batch("in_batch").draw_for(STATES[:2], VECTORS, few)
    assert sorted(codes.tolist()) == [1, 3]
    assert log_q.exp().numpy() == pytest.approx([2 * COUNTS[code] / 100 for code in codes])
    assert len(of_batch("in_batch_mixed").draw_for(STATES[:2], VECTORS, few)[0]) == 2 + DRAWS // 2


def test_negatives_of_the_batch_are_its_targets_and_half_of_them_where_mixed() -> None:
    only = torch.full((500,), 4)
    assert of_batch("in_batch").draw_for(STATES, VECTORS, only)[0].unique().tolist() == [4]
    codes = of_batch("in_batch_mixed").draw_for(STATES, VECTORS, only)[0]
    assert (codes[: DRAWS // 2] == 4).all()
    assert len(codes[DRAWS // 2 :].unique()) > 1


# -- hard --------------------------------------------------------------------------------------------------------


def test_hard_negatives_are_those_the_model_finds_likely_now() -> None:
    torch.manual_seed(0)
    counts = np.concatenate([[0], np.ones(200, dtype=np.int64)])
    items = torch.randn(201, 8)
    hidden = items[7].repeat(30, 1) * 3
    targets = torch.full((30,), 7)
    hard = NegativeSampler(counts, 50, 0.0, "hard")
    codes, log_q = hard.draw_for(hidden, items, targets)
    chance, _ = NegativeSampler(counts, 50, 0.0).draw_for(hidden, items, targets)
    assert len(codes) == 50
    assert (hidden[0] @ items[codes].T).mean() > (hidden[0] @ items[chance].T).mean() + 5
    assert log_q.exp().numpy() == pytest.approx([200 / 200] * 50), "the pool's, four times what is kept"
    other, _ = hard.draw_for(items[9].repeat(30, 1) * 3, items, targets)
    assert set(other.tolist()) != set(codes.tolist())


def test_choosing_hard_negatives_leaves_no_trace_in_the_gradient() -> None:
    hidden, items = torch.randn(9, 4, requires_grad=True), torch.randn(len(COUNTS), 4, requires_grad=True)
    codes, log_q = of_batch("hard").draw_for(hidden, items, torch.ones(9, dtype=torch.int64))
    assert not log_q.requires_grad
    assert not codes.requires_grad
    assert (codes > 0).all()


@pytest.mark.parametrize("source", ["in_batch", "in_batch_mixed", "hard"])
def test_the_generator_decides_these_draws_too(source: str) -> None:
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(of_batch(source).draw_for(STATES, VECTORS, TARGETS)[0])
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
