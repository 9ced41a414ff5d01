"""Next-item losses over a catalogue: full softmax in flat memory, and sampled ones.

All take hidden states (tokens, d), item vectors (catalogue + 1, d; row 0 is padding and never a candidate) and
target codes (tokens,), and return the mean loss. With ``weights`` (tokens,) the mean is sum(w l) / sum(w). Which loss
to use, and how negatives are drawn, is decided in ``training``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

_BLOCK = 1_500_000  # floats of logits alive at once (6 MB): they stay in cache


class _FullSoftmax(torch.autograd.Function):
    """Cross-entropy over the whole catalogue whose gradient is taken block by block in the forward pass.

    Memory is tokens x d + catalogue x d, never tokens x catalogue. A block of tokens sees the whole catalogue at
    once when that fits, and otherwise walks it twice: once for the normaliser, once for the gradient
    (the idea of Wijmans et al., "Cut Your Losses in Large-Vocabulary Language Models", 2024).
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, items: Tensor, targets: Tensor, dtype: torch.dtype, weights: Tensor | None
    ) -> Tensor:
        tokens, catalogue = len(targets), len(items)
        share = hidden.new_ones(tokens) if weights is None else weights.to(hidden.dtype)
        norm_of_weights = share.sum()
        share = F.pad(share, (0, -tokens % max(64, min(512, _BLOCK // catalogue))))[:, None]
        rows = max(64, min(512, _BLOCK // catalogue))
        columns = max(1, _BLOCK // rows)
        # Whole blocks only: bf16 kernels are compiled and kept per shape, and a batch never has the same size twice.
        hidden, targets = F.pad(hidden, (0, 0, 0, -tokens % rows)), F.pad(targets, (0, -tokens % rows))
        low_hidden, low_items = hidden.to(dtype), items.to(dtype)
        hidden_grad, items_grad = torch.zeros_like(hidden), torch.zeros_like(items)
        total = hidden.new_zeros((), dtype=torch.float64)
        parts = [(at, low_items[at : at + columns]) for at in range(0, catalogue, columns)]
        for start in range(0, len(hidden), rows):
            block, target = low_hidden[start : start + rows], targets[start : start + rows]
            grad, weight = hidden_grad[start : start + rows], share[start : start + rows]
            if len(parts) == 1:
                probability, norm = _softmax_(_logits(block, low_items, 0))
                if weights is not None:
                    probability *= weight
                weighted: Iterable[tuple[int, Tensor, Tensor]] = [(0, low_items, probability.to(dtype))]
            else:
                norm = torch.full_like(grad[:, :1], -torch.inf)
                for at, part in parts:
                    norm = torch.logaddexp(norm, _logits(block, part, at).logsumexp(1, keepdim=True))
                weighted = (
                    (at, part, _logits(block, part, at).sub_(norm).exp_().mul_(weight).to(dtype)) for at, part in parts
                )
            aimed = (hidden[start : start + rows] * items[target]).sum(1, keepdim=True)
            total += ((norm - aimed) * weight)[: tokens - start].sum(dtype=torch.float64)
            for at, part, probability in weighted:
                grad += probability @ part
                items_grad[at : at + columns] += probability.T @ block
            grad -= items[target] * weight
            items_grad.index_add_(0, target, -hidden[start : start + rows] * weight)
        ctx.save_for_backward(hidden_grad[:tokens], items_grad)
        ctx.total = norm_of_weights
        return (total / norm_of_weights).to(hidden.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        hidden_grad, items_grad = ctx.saved_tensors
        scale = upstream / ctx.total
        return hidden_grad * scale, items_grad * scale, None, None, None


def _logits(block: Tensor, part: Tensor, at: int) -> Tensor:
    logits = (block @ part.T).float()
    if at == 0:
        logits[:, 0] = -torch.inf
    return logits


def _softmax_(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Softmax in place, and the log of the normaliser; few passes over memory, all of them in cache."""
    largest = logits.amax(1, keepdim=True)
    sums = logits.sub_(largest).exp_().sum(1, keepdim=True)
    return logits.div_(sums), sums.log_().add_(largest)


def full_softmax(
    hidden: Tensor,
    items: Tensor,
    targets: Tensor,
    dtype: torch.dtype = torch.float32,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy against every item of the catalogue; ``dtype`` is that of the matrix products alone."""
    with torch.autocast(hidden.device.type, enabled=False):
        loss: Tensor = _FullSoftmax.apply(  # type: ignore[no-untyped-call]
            hidden.float(), items.float(), targets, dtype, weights
        )
    return loss


def _sampled_logits(hidden: Tensor, items: Tensor, targets: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    positive = (hidden * items[targets]).sum(-1, keepdim=True)
    negative = hidden @ items[negatives].T
    return positive, negative.masked_fill(negatives == targets[:, None], -torch.inf)


def _mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    return losses.mean() if weights is None else (losses * weights).sum() / weights.sum()


def sampled_softmax(
    hidden: Tensor,
    items: Tensor,
    targets: Tensor,
    negatives: Tensor,
    log_q: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Softmax against shared negatives with the log-Q correction (Bengio and Senécal, 2008; Yi et al., 2019).

    Args:
        negatives: (n,) codes drawn with replacement.
        log_q: (n,) log of the expected number of times each was drawn; it is subtracted from its logit.
    """
    positive, negative = _sampled_logits(hidden, items, targets, negatives)
    logits = torch.cat([positive, negative - log_q], dim=1)
    return _mean(F.cross_entropy(logits, torch.zeros_like(targets), reduction="none"), weights)


def binary_cross_entropy(
    hidden: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, weights: Tensor | None = None
) -> Tensor:
    """The loss of SASRec (Kang and McAuley, 2018), the positive against the mean of its negatives."""
    return generalised_bce(hidden, items, targets, negatives, beta=1.0, weights=weights)


def generalised_bce(
    hidden: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, beta: float, weights: Tensor | None = None
) -> Tensor:
    """gBCE (Petrov and Macdonald, gSASRec, RecSys 2023): the positive's probability to the power ``beta``."""
    positive, negative = _sampled_logits(hidden, items, targets, negatives)
    apart = beta * F.logsigmoid(positive)[:, 0] + F.logsigmoid(-negative).sum(1) / negatives.shape[0]
    return -_mean(apart, weights)


def gbce_beta(negatives: int, catalogue: int, calibration: float) -> float:
    """Eq. 8 of the gSASRec paper: ``beta`` from the sampling rate and the calibration ``t`` (0: BCE, 1: unbiased)."""
    rate = negatives / max(1, catalogue - 1)
    return rate * (calibration * (1 - 1 / rate) + 1 / rate)


def uniform_log_q(negatives: int, catalogue: int) -> float:
    """Log of the expected count of one item among ``negatives`` uniform draws."""
    return math.log(negatives / catalogue)
