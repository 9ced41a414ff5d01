from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from segue.nn import losses

TOKENS, CATALOGUE, SIZE = 150, 90, 8
ONE_BLOCK, MANY_BLOCKS = 1_500_000, 64 * 20


def material(seed: int = 0, tokens: int = TOKENS, catalogue: int = CATALOGUE) -> tuple[Tensor, Tensor, Tensor]:
    """Hidden states, item vectors and targets, both first with gradients."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(tokens, SIZE, generator=generator).requires_grad_()
    items = torch.randn(catalogue + 1, SIZE, generator=generator).requires_grad_()
    return hidden, items, torch.randint(1, catalogue + 1, (tokens,), generator=generator)


def by_torch(hidden: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(hidden @ items[1:].T, targets - 1)


def gradients(loss: Tensor, *of: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(loss, of))


@pytest.mark.parametrize("block", [ONE_BLOCK, MANY_BLOCKS], ids=["one block", "many blocks"])
@pytest.mark.parametrize("scale", [1.0, 30.0], ids=["mild", "extreme logits"])
def test_full_softmax_is_cross_entropy_over_the_catalogue(
    monkeypatch: pytest.MonkeyPatch, block: int, scale: float
) -> None:
    monkeypatch.setattr(losses, "_BLOCK", block)
    hidden, items, targets = material()
    hidden = (hidden * scale).detach().requires_grad_()
    ours, theirs = losses.full_softmax(hidden, items, targets), by_torch(hidden, items, targets)
    torch.testing.assert_close(ours, theirs)
    for left, right in zip(gradients(ours, hidden, items), gradients(theirs, hidden, items), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("block", [ONE_BLOCK, MANY_BLOCKS], ids=["one block", "many blocks"])
def test_padding_is_no_candidate_and_gets_no_gradient(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(losses, "_BLOCK", block)
    hidden, items, targets = material()
    tempting = items.detach().clone()
    tempting[0] = 100.0  # a padding vector that would win everywhere
    tempting.requires_grad_()
    loss = losses.full_softmax(hidden, tempting, targets)
    torch.testing.assert_close(loss, by_torch(hidden, tempting, targets))
    assert not gradients(loss, tempting)[0][0].any()


def test_the_gradient_scales_with_what_comes_from_above() -> None:
    hidden, items, targets = material()
    once = gradients(losses.full_softmax(hidden, items, targets), hidden)[0]
    torch.testing.assert_close(gradients(3 * losses.full_softmax(hidden, items, targets), hidden)[0], 3 * once)


def test_low_precision_products_stay_near_the_exact_loss() -> None:
    hidden, items, targets = material()
    exact = losses.full_softmax(hidden, items, targets)
    low = losses.full_softmax(hidden, items, targets, torch.bfloat16)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, exact, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(gradients(low, hidden)[0], gradients(exact, hidden)[0], rtol=0.1, atol=1e-3)


class Largest(TorchDispatchMode):
    """Notes the elements of the largest tensor that any operation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for each in result if isinstance(result, tuple | list) else [result]:
            if isinstance(each, Tensor):
                self.elements = max(self.elements, each.numel())
        return result


def test_memory_is_flat_in_tokens_times_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    block = 64 * 100
    monkeypatch.setattr(losses, "_BLOCK", block)
    hidden, items, targets = material(tokens=1_000, catalogue=2_000)
    with Largest() as ours:
        losses.full_softmax(hidden, items, targets).backward()
    with Largest() as theirs:
        by_torch(hidden, items, targets).backward()
    assert ours.elements <= max(hidden.numel(), items.numel(), block)
    assert theirs.elements >= 1_000 * 2_000, "the plain loss would be seen"


def test_sampled_softmax_over_every_item_once_is_full_softmax() -> None:
    hidden, items, targets = material()
    everything = torch.arange(1, CATALOGUE + 1)
    sampled = losses.sampled_softmax(hidden, items, targets, everything, torch.zeros(CATALOGUE))
    full = by_torch(hidden, items, targets)
    torch.testing.assert_close(sampled, full)
    for left, right in zip(gradients(sampled, hidden, items), gradients(full, hidden, items), strict=True):
        torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-6)


def test_the_log_q_correction_brings_a_biased_sample_to_the_full_softmax() -> None:
    hidden, items, targets = material(tokens=400)
    generator = torch.Generator().manual_seed(1)
    chances = torch.rand(CATALOGUE, generator=generator) ** 2 + 0.02
    chances /= chances.sum()
    count = 50_000
    negatives = torch.multinomial(chances, count, replacement=True, generator=generator) + 1
    log_q = (chances * count).log()[negatives - 1]
    full = by_torch(hidden, items, targets).item()
    corrected = losses.sampled_softmax(hidden, items, targets, negatives, log_q).item()
    flat = torch.full((count,), losses.uniform_log_q(count, CATALOGUE))
    biased = losses.sampled_softmax(hidden, items, targets, negatives, flat).item()
    assert corrected == pytest.approx(full, abs=0.02)
    assert abs(biased - full) > 0.05, "without the correction the bias shows"


def test_a_negative_that_is_the_target_does_not_count_against_it() -> None:
    hidden, items, targets = material(tokens=1)
    others = torch.tensor([each for each in (3, 4, 5) if each != targets.item()])
    with_target = torch.cat([others, targets])
    for loss in (losses.binary_cross_entropy, lambda *a: losses.sampled_softmax(*a, torch.zeros(len(a[3])))):
        with_it, without = loss(hidden, items, targets, with_target), loss(hidden, items, targets, others)
        if loss is losses.binary_cross_entropy:  # a mean over the negatives drawn, of which one is void
            positive = -F.logsigmoid((hidden * items[targets]).sum())
            with_it = positive + (with_it - positive) * len(with_target) / len(others)
        torch.testing.assert_close(with_it, without)


def test_binary_cross_entropy_is_the_positive_against_the_mean_of_its_negatives() -> None:
    hidden, items, targets = (each.detach() for each in material(tokens=3))
    negatives = torch.tensor([item for item in range(1, 20) if item not in targets])
    expected = 0.0
    for state, target in zip(hidden, targets, strict=True):
        against = [math.log1p(math.exp(float(state @ items[item]))) for item in negatives]
        expected += math.log1p(math.exp(-float(state @ items[target]))) + sum(against) / len(against)
    ours = losses.binary_cross_entropy(hidden, items, targets, negatives)
    assert ours.item() == pytest.approx(expected / 3, rel=1e-5)


def test_gbce_takes_the_positive_to_the_power_beta() -> None:
    hidden, items, targets = material()
    negatives = torch.arange(1, 11)
    plain = losses.generalised_bce(hidden, items, targets, negatives, 1.0)
    none = losses.generalised_bce(hidden, items, targets, negatives, 0.0)
    half = losses.generalised_bce(hidden, items, targets, negatives, 0.5)
    torch.testing.assert_close(plain, losses.binary_cross_entropy(hidden, items, targets, negatives))
    torch.testing.assert_close(half, (plain + none) / 2)


def test_beta_is_one_without_calibration_and_the_sampling_rate_with_all_of_it() -> None:
    assert losses.gbce_beta(256, 10_001, 0.0) == pytest.approx(1.0)
    assert losses.gbce_beta(256, 10_001, 1.0) == pytest.approx(256 / 10_000)
    assert losses.gbce_beta(256, 10_001, 0.75) == pytest.approx(0.0256 * (0.75 * (1 - 1 / 0.0256) + 1 / 0.0256))


def test_uniform_log_q_is_the_expected_count_of_an_item() -> None:
    assert losses.uniform_log_q(50, 100) == pytest.approx(math.log(0.5))


@pytest.mark.parametrize("items", [50, 30_000])
def test_weights_of_the_full_softmax_give_the_weighted_mean_and_its_gradient(items: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(7, 4, requires_grad=True)
    vectors = torch.randn(items + 1, 4, requires_grad=True)
    targets, weights = torch.randint(1, items + 1, (7,)), torch.tensor([1.0, 0, 2, 0.5, 1, 3, 1])
    loss = losses.full_softmax(hidden, vectors, targets, weights=weights)
    logits = (hidden @ vectors.T)[:, 1:]
    apart = torch.nn.functional.cross_entropy(logits, targets - 1, reduction="none")
    expected = (apart * weights).sum() / weights.sum()
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(loss, (hidden, vectors)), torch.autograd.grad(expected, (hidden, vectors)), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["sampled", "bce", "gbce"])
def test_weights_of_a_sampled_loss_leave_out_what_weighs_nothing(name: str) -> None:
    torch.manual_seed(0)
    hidden, vectors = torch.randn(6, 4), torch.randn(21, 4)
    targets, negatives = torch.randint(1, 21, (6,)), torch.randint(1, 21, (5,))

    def loss(rows: slice, weights: torch.Tensor | None) -> torch.Tensor:
        if name == "sampled":
            return losses.sampled_softmax(hidden[rows], vectors, targets[rows], negatives, torch.zeros(5), weights)
        if name == "bce":
            return losses.binary_cross_entropy(hidden[rows], vectors, targets[rows], negatives, weights)
        return losses.generalised_bce(hidden[rows], vectors, targets[rows], negatives, 0.5, weights)

    weights = torch.tensor([2.0, 2, 2, 2, 0, 0])
    torch.testing.assert_close(loss(slice(6), weights), loss(slice(4), None))
