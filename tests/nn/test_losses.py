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


def test_gbce_is_the_equation_of_its_paper_written_out() -> None:
    hidden, items, targets = (each.detach() for each in material(tokens=3))
    negatives = torch.tensor([item for item in range(1, 20) if item not in targets])
    expected = 0.0
    for state, target in zip(hidden, targets, strict=True):
        against = sum(math.log1p(math.exp(float(state @ items[item]))) for item in negatives)
        expected += 0.3 * math.log1p(math.exp(-float(state @ items[target]))) + against
    ours = losses.generalised_bce(hidden, items, targets, negatives, 0.3)
    assert ours.item() == pytest.approx(expected / 3 / (len(negatives) + 1), rel=1e-5)


def test_beta_is_one_without_calibration_and_the_sampling_rate_with_all_of_it() -> None:
    assert losses.gbce_beta(256, 10_001, 0.0) == pytest.approx(1.0)
    assert losses.gbce_beta(256, 10_001, 1.0) == pytest.approx(256 / 10_000)
    assert losses.gbce_beta(256, 10_001, 0.75) == pytest.approx(0.0256 * (0.75 * (1 - 1 / 0.0256) + 1 / 0.0256))


# -- what each loss converges to -------------------------------------------------------------------------------

PROBABILITIES = torch.tensor([0.25, 0.071, 0.047, 0.3, 0.2, 0.1, 0.02, 0.012])
UNIFORM = torch.full((8,), 5)
SKEWED = torch.tensor([20, 6, 4, 25, 16, 9, 3, 5])


def converged(loss: Any, drawn: Tensor) -> Tensor:
    """(items,) scores where the gradient of a loss vanishes: one history whose next item has ``PROBABILITIES``.

    ``drawn`` says how often each item is among the negatives; ``loss`` gets hidden states, item vectors, targets,
    negatives and weights.
    """
    scores = torch.zeros(9, 1, dtype=torch.float64, requires_grad=True)
    negatives, targets = torch.repeat_interleave(torch.arange(1, 9), drawn), torch.arange(1, 9)
    optimiser = torch.optim.LBFGS([scores], max_iter=500, tolerance_grad=1e-12, line_search_fn="strong_wolfe")

    def value() -> Tensor:
        optimiser.zero_grad()
        found: Tensor = loss(torch.ones(8, 1, dtype=torch.float64), scores, targets, negatives, PROBABILITIES.double())
        found.backward()
        return found

    optimiser.step(value)  # type: ignore[no-untyped-call]
    return scores.detach()[1:, 0]


def test_gbce_with_full_calibration_gives_the_true_probabilities() -> None:
    drawn = int(UNIFORM.sum())
    beta = losses.gbce_beta(drawn * 7 / 8, 8, 1.0)
    scores = converged(lambda h, i, t, n, w: losses.generalised_bce(h, i, t, n, beta, w), UNIFORM)
    torch.testing.assert_close(scores.sigmoid().float(), PROBABILITIES, rtol=1e-3, atol=1e-4)


def test_a_mean_over_the_negatives_is_not_calibrated() -> None:
    drawn = int(UNIFORM.sum())
    beta = losses.gbce_beta(drawn * 7 / 8, 8, 1.0)

    def mean(h: Tensor, i: Tensor, t: Tensor, n: Tensor, w: Tensor) -> Tensor:  # the broken twin
        positive = losses.generalised_bce(h, i, t, n, 1.0, w) - losses.generalised_bce(h, i, t, n, 0.0, w)
        return positive * (len(n) + 1) * (beta - 1) + losses.binary_cross_entropy(h, i, t, n, w)

    scores = converged(mean, UNIFORM)
    assert scores[0].sigmoid() > 0.9, "0.25 in truth"


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
@pytest.mark.parametrize("drawn", [UNIFORM, SKEWED], ids=["uniform", "skewed"])
def test_gbce_converges_to_its_closed_form_from_negatives_of_any_distribution(
    drawn: Tensor, calibration: float
) -> None:
    count = int(drawn.sum())
    rate = count / 8
    beta = losses.gbce_beta(count * 7 / 8, 8, calibration)
    rates = torch.repeat_interleave(drawn / rate, drawn)
    scores = converged(lambda h, i, t, n, w: losses.generalised_bce(h, i, t, n, beta, w, rates), drawn)
    expected = beta * PROBABILITIES / (beta * PROBABILITIES + (1 - PROBABILITIES) * rate)
    torch.testing.assert_close(scores.sigmoid().float(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("drawn", [UNIFORM, SKEWED], ids=["uniform", "skewed"])
def test_binary_cross_entropy_converges_to_the_odds_against_one_negative(drawn: Tensor) -> None:
    share = drawn / drawn.sum()
    scores = converged(losses.binary_cross_entropy, drawn)
    expected = PROBABILITIES / (PROBABILITIES + (1 - PROBABILITIES) * share)
    torch.testing.assert_close(scores.sigmoid().float(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("drawn", [UNIFORM, SKEWED], ids=["uniform", "skewed"])
def test_the_sampled_softmax_converges_to_the_true_distribution(drawn: Tensor) -> None:
    log_q = torch.repeat_interleave(drawn, drawn).log()
    scores = converged(lambda h, i, t, n, w: losses.sampled_softmax(h, i, t, n, log_q, w), drawn)
    torch.testing.assert_close(scores.softmax(0).float(), PROBABILITIES, rtol=1e-3, atol=1e-4)


def test_the_full_softmax_converges_to_the_true_distribution() -> None:
    def full(h: Tensor, i: Tensor, t: Tensor, _: Tensor, w: Tensor) -> Tensor:
        return losses.full_softmax(h, i, t, weights=w)

    torch.testing.assert_close(converged(full, UNIFORM).softmax(0).float(), PROBABILITIES, rtol=1e-2, atol=1e-3)


def test_uniform_log_q_is_the_expected_count_of_an_item() -> None:
    assert losses.uniform_log_q(50, 100) == pytest.approx(math.log(0.5))


# -- weights and smoothing -------------------------------------------------------------------------------------

NEGATIVES = torch.arange(1, 31)
WEIGHED = {
    "full": lambda h, i, t, w: losses.full_softmax(h, i, t, weights=w),
    "sampled": lambda h, i, t, w: losses.sampled_softmax(h, i, t, NEGATIVES, torch.zeros(30), w),
    "bce": lambda h, i, t, w: losses.binary_cross_entropy(h, i, t, NEGATIVES, w),
    "gbce": lambda h, i, t, w: losses.generalised_bce(h, i, t, NEGATIVES, 0.4, w),
}


@pytest.fixture(params=list(WEIGHED))
def weighed(request: pytest.FixtureRequest) -> Any:
    return WEIGHED[request.param]


def same(left: Tensor, right: Tensor, *of: Tensor) -> None:
    torch.testing.assert_close(left, right)
    for ours, theirs in zip(gradients(left, *of), gradients(right, *of), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_weights_of_one_or_of_any_one_size_change_nothing(weighed: Any) -> None:
    hidden, items, targets = material()
    for size in (1.0, 7.0):
        weights = torch.full((TOKENS,), size)
        same(weighed(hidden, items, targets, weights), weighed(hidden, items, targets, None), hidden, items)


def test_a_weight_of_zero_takes_a_position_out(weighed: Any) -> None:
    hidden, items, targets = material()
    weights = (torch.arange(TOKENS) % 3 > 0).float()
    rest = weights > 0
    same(weighed(hidden, items, targets, weights), weighed(hidden[rest], items, targets[rest], None), hidden, items)


def test_a_weight_of_two_is_the_position_twice(weighed: Any) -> None:
    hidden, items, targets = material()
    twice = torch.cat([torch.arange(TOKENS), torch.tensor([4])])
    weights = torch.ones(TOKENS)
    weights[4] = 2.0
    same(weighed(hidden, items, targets, weights), weighed(hidden[twice], items, targets[twice], None), hidden, items)


def test_where_nothing_counts_the_loss_and_its_gradient_are_zero(weighed: Any) -> None:
    hidden, items, targets = material()
    loss = weighed(hidden, items, targets, torch.zeros(TOKENS))
    assert loss == 0
    assert not any(gradient.any() for gradient in gradients(loss, hidden, items))


@pytest.mark.parametrize("block", [ONE_BLOCK, MANY_BLOCKS], ids=["one block", "many blocks"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_weights_and_smoothing_are_those_of_torch(
    monkeypatch: pytest.MonkeyPatch, block: int, smoothing: float
) -> None:
    monkeypatch.setattr(losses, "_BLOCK", block)
    hidden, items, targets = material()
    weights = torch.rand(TOKENS, generator=torch.Generator().manual_seed(5))
    ours = losses.full_softmax(hidden, items, targets, weights=weights, smoothing=smoothing)
    each = F.cross_entropy(hidden @ items[1:].T, targets - 1, label_smoothing=smoothing, reduction="none")
    same(ours, (each * weights).sum() / weights.sum(), hidden, items)


def test_smoothing_that_forgets_the_catalogue_s_mean_is_not_that_of_torch() -> None:
    hidden, items, targets = material()
    wrong = 0.9 * losses.full_softmax(hidden, items, targets)  # the broken twin: only the target's share
    right = F.cross_entropy(hidden @ items[1:].T, targets - 1, label_smoothing=0.1)
    assert abs((wrong - right).item()) > 1e-2


def test_no_smoothing_leaves_every_bit_alone() -> None:
    hidden, items, targets = material()
    for loss in (losses.full_softmax, lambda *a, **k: losses.sampled_softmax(*a, NEGATIVES, torch.zeros(30), **k)):
        assert torch.equal(loss(hidden, items, targets, smoothing=0.0), loss(hidden, items, targets))


def test_the_sampled_softmax_over_everything_smooths_as_the_full_one() -> None:
    hidden, items, targets = material()
    everything = torch.arange(1, CATALOGUE + 1)
    sampled = losses.sampled_softmax(hidden, items, targets, everything, torch.zeros(CATALOGUE), None, smoothing=0.2)
    same(sampled, losses.full_softmax(hidden, items, targets, smoothing=0.2), hidden, items)


# -- contrast ----------------------------------------------------------------------------------------------------


def test_info_nce_is_the_cross_entropy_of_finding_the_other_view() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = torch.randn(5, 8, generator=generator), torch.randn(5, 8, generator=generator)
    states = F.normalize(torch.cat([left, right]), dim=1)
    expected = 0.0
    for anchor in range(10):
        others = [each for each in range(10) if each != anchor]
        scores = torch.stack([states[anchor] @ states[each] / 0.3 for each in others])
        expected -= float(scores.log_softmax(0)[others.index((anchor + 5) % 10)]) / 10
    assert losses.info_nce(left, right, 0.3).item() == pytest.approx(expected, rel=1e-5)


def test_contrast_looks_at_directions_and_not_at_lengths() -> None:
    left, right = torch.randn(6, 4), torch.randn(6, 4)
    torch.testing.assert_close(losses.info_nce(left * 9, right * 0.1, 0.5), losses.info_nce(left, right, 0.5))


def test_views_that_agree_cost_less_than_views_that_do_not() -> None:
    left = torch.eye(6)
    assert losses.info_nce(left, left, 0.1) < losses.info_nce(left, left.roll(1, 0), 0.1)


def test_what_has_the_same_label_is_a_positive_too() -> None:
    left = torch.eye(4)
    left[1] = left[0]
    apart = losses.info_nce(left, left, 0.1, torch.tensor([1, 2, 3, 4]))
    torch.testing.assert_close(apart, losses.info_nce(left, left, 0.1))
    together = losses.info_nce(left, left, 0.1, torch.tensor([1, 1, 3, 4]))
    assert together.item() == pytest.approx(apart.item(), rel=1e-4), "equal states find each other equally well"
    alike = losses.info_nce(torch.eye(4), torch.eye(4), 0.1, torch.tensor([1, 1, 3, 4]))
    assert alike > together, "states apart are pulled together by their label"


def test_one_row_has_nobody_to_be_told_from() -> None:
    state = torch.randn(1, 4, requires_grad=True)
    loss = losses.info_nce(state, state, 0.1)
    assert loss == 0
    assert torch.isfinite(gradients(loss, state)[0]).all()


# -- soft targets ----------------------------------------------------------------------------------------------


def soft(temperature: float, k: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Hidden states, item vectors, a teacher's best codes, and what it holds of them."""
    hidden, items, _ = material()
    logits = torch.randn(TOKENS, CATALOGUE, generator=torch.Generator().manual_seed(1))
    best = logits.topk(k)
    return hidden, items, best.indices + 1, (best.values / temperature).log_softmax(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_distillation_is_the_divergence_over_the_candidates_written_out(temperature: float) -> None:
    hidden, items, codes, told = soft(temperature)
    own = ((hidden @ items.T).gather(1, codes) / temperature).log_softmax(1)
    expected = temperature**2 * (told.exp() * (told - own)).sum(1).mean()
    found = losses.distillation(hidden, items, codes, told, temperature)
    torch.testing.assert_close(found, expected)
    for one, other in zip(gradients(found, hidden, items), gradients(expected, hidden, items), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_who_holds_what_the_teacher_holds_has_nothing_to_learn() -> None:
    hidden, items, codes, _ = soft(2.0)
    told = ((hidden @ items.T).gather(1, codes) / 2.0).log_softmax(1).detach()
    found = losses.distillation(hidden, items, codes, told, 2.0)
    assert found.detach().abs() < 1e-5
    assert all(gradient.abs().max() < 1e-5 for gradient in gradients(found, hidden, items))
