"""Losses: next-item ones over a catalogue (full softmax in flat memory, sampled ones), and one between views.

Next-item losses take hidden states (tokens, d), item vectors (catalogue + 1, d; row 0 is padding and never a
candidate) and target codes (tokens,), and return the mean loss. With ``weights`` (tokens,), not negative, that is
``sum(weight * loss) / sum(weight)``. Which loss to use, and how negatives are drawn, is decided in ``training``.
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
        rows = max(64, min(512, _BLOCK // catalogue))
        columns = max(1, _BLOCK // rows)
        # Whole blocks only: bf16 kernels are compiled and kept per shape, and a batch never has the same size twice.
        hidden, targets = F.pad(hidden, (0, 0, 0, -tokens % rows)), F.pad(targets, (0, -tokens % rows))
        shares = None if weights is None else F.pad(weights.to(hidden.dtype), (0, -tokens % rows))[:, None]
        low_hidden, low_items = hidden.to(dtype), items.to(dtype)
        hidden_grad, items_grad = torch.zeros_like(hidden), torch.zeros_like(items)
        total = hidden.new_zeros((), dtype=torch.float64)
        parts = [(at, low_items[at : at + columns]) for at in range(0, catalogue, columns)]
        for start in range(0, len(hidden), rows):
            block, target = low_hidden[start : start + rows], targets[start : start + rows]
            grad = hidden_grad[start : start + rows]
            if len(parts) == 1:
                probability, norm = _softmax_(_logits(block, low_items, 0))
                weighted: Iterable[tuple[int, Tensor, Tensor]] = [(0, low_items, probability.to(dtype))]
            else:
                norm = torch.full_like(grad[:, :1], -torch.inf)
                for at, part in parts:
                    norm = torch.logaddexp(norm, _logits(block, part, at).logsumexp(1, keepdim=True))
                weighted = ((at, part, _logits(block, part, at).sub_(norm).exp_().to(dtype)) for at, part in parts)
            aimed = (hidden[start : start + rows] * items[target]).sum(1, keepdim=True)
            share = None if shares is None else shares[start : start + rows]
            lost, states, low_states = norm - aimed, hidden[start : start + rows], block
            if share is not None:
                lost, states, low_states = lost * share, states * share, (states * share).to(dtype)
            total += lost[: tokens - start].sum(dtype=torch.float64)
            for at, part, probability in weighted:
                grad += probability @ part
                items_grad[at : at + columns] += probability.T @ low_states
            grad -= items[target]
            if share is not None:
                grad *= share
            items_grad.index_add_(0, target, -states)
        ctx.save_for_backward(hidden_grad[:tokens], items_grad)
        ctx.whole = tokens if weights is None else _whole(weights)
        mean: Tensor = total / ctx.whole
        return mean.to(hidden.dtype)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        hidden_grad, items_grad = ctx.saved_tensors
        scale = upstream / ctx.whole
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


def _whole(weights: Tensor) -> Tensor:
    """What a weighted sum is divided by; where nothing counts the mean is 0 and not undefined."""
    whole: Tensor = weights.sum().clamp(min=torch.finfo(torch.float32).tiny)
    return whole


def _mean(losses: Tensor, weights: Tensor | None) -> Tensor:
    mean: Tensor = losses.mean() if weights is None else (losses * weights).sum() / _whole(weights)
    return mean


def _smoothing(hidden: Tensor, items: Tensor, targets: Tensor, weights: Tensor | None) -> Tensor:
    """What label smoothing adds to a softmax loss, per unit of smoothing (Szegedy et al., 2016, sec. 7).

    ``(1 - e) * (log Z - aimed) + e * (log Z - mean)`` is ``log Z - aimed + e * (aimed - mean)``: the logit aimed at
    and the mean logit over the catalogue are linear in the hidden state, so that no logits are needed.
    """
    return _mean((hidden * (items[targets] - items[1:].mean(0))).sum(1), weights)


def full_softmax(
    hidden: Tensor,
    items: Tensor,
    targets: Tensor,
    dtype: torch.dtype = torch.float32,
    weights: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy against every item of the catalogue.

    Args:
        dtype: of the matrix products alone.
        weights: (tokens,) how much each counts; no gradient flows into them.
        smoothing: share of the target's probability that is spread evenly over the catalogue.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        hidden, items = hidden.float(), items.float()
        loss: Tensor = _FullSoftmax.apply(hidden, items, targets, dtype, weights)  # type: ignore[no-untyped-call]
        return loss + smoothing * _smoothing(hidden, items, targets, weights) if smoothing else loss


def _sampled_logits(hidden: Tensor, items: Tensor, targets: Tensor, negatives: Tensor) -> tuple[Tensor, Tensor]:
    positive = (hidden * items[targets]).sum(-1, keepdim=True)
    negative = hidden @ items[negatives].T
    return positive, negative.masked_fill(negatives == targets[:, None], -torch.inf)


def sampled_softmax(
    hidden: Tensor,
    items: Tensor,
    targets: Tensor,
    negatives: Tensor,
    log_q: Tensor,
    weights: Tensor | None = None,
    smoothing: float = 0.0,
) -> Tensor:
    """Softmax against shared negatives with the log-Q correction (Bengio and Senécal, 2008; Yi et al., 2019).

    Args:
        negatives: (n,) codes drawn with replacement.
        log_q: (n,) log of the expected number of times each was drawn; it is subtracted from its logit.
        weights: (tokens,) how much each counts.
        smoothing: as in :func:`full_softmax`, over the whole catalogue and not over the sample.
    """
    positive, negative = _sampled_logits(hidden, items, targets, negatives)
    logits = torch.cat([positive, negative - log_q], dim=1)
    aimed = torch.zeros_like(targets)
    if weights is None:
        loss = F.cross_entropy(logits, aimed)
    else:
        loss = _mean(F.cross_entropy(logits, aimed, reduction="none"), weights)
    return loss + smoothing * _smoothing(hidden, items, targets, weights) if smoothing else loss


def binary_cross_entropy(
    hidden: Tensor, items: Tensor, targets: Tensor, negatives: Tensor, weights: Tensor | None = None
) -> Tensor:
    """The loss of SASRec (Kang and McAuley, 2018, eq. 7): the positive against one negative.

    That one is the mean over the negatives drawn, which is what one of them costs in expectation. An item of
    probability p that has the share q of the negatives converges to sigmoid(score) = p / (p + (1 - p) * q): far above
    p, since q is about one in the catalogue. :func:`generalised_bce` takes that back.
    """
    positive, negative = _sampled_logits(hidden, items, targets, negatives)
    against = _mean(F.logsigmoid(-negative).mean(1), weights)
    return -(_mean(F.logsigmoid(positive)[:, 0], weights) + against)


def generalised_bce(
    hidden: Tensor,
    items: Tensor,
    targets: Tensor,
    negatives: Tensor,
    beta: float,
    weights: Tensor | None = None,
    rates: Tensor | None = None,
) -> Tensor:
    """gBCE (Petrov and Macdonald, gSASRec, RecSys 2023): the positive's probability to the power ``beta``.

    ``-(beta * log s(positive) + sum of log(1 - s(negative))) / (n + 1)`` with s the sigmoid and the n negatives drawn
    uniformly. With the ``beta`` of ``calibration=1`` the sigmoid of a score converges to the item's probability.

    Args:
        negatives: (n,) codes drawn with replacement.
        beta: see :func:`gbce_beta`.
        weights: (tokens,) how much each counts.
        rates: (n,) how much oftener each negative is drawn than a uniform draw would; its term is divided by that
            (importance sampling), so that negatives of any distribution estimate the loss over uniform ones.
    """
    positive, negative = _sampled_logits(hidden, items, targets, negatives)
    terms = F.logsigmoid(-negative)
    against = _mean((terms if rates is None else terms / rates).sum(1), weights)
    return -(beta * _mean(F.logsigmoid(positive)[:, 0], weights) + against) / (len(negatives) + 1)


def distillation(hidden: Tensor, items: Tensor, codes: Tensor, log_probabilities: Tensor, temperature: float) -> Tensor:
    """Divergence (KL) from soft targets to the model's distribution, both over the teacher's candidates alone.

    Times ``temperature ** 2``, so that its gradient keeps its size (Hinton et al., 2015).

    Args:
        codes: (tokens, k) the candidates.
        log_probabilities: (tokens, k) the teacher's, at this temperature.
    """
    candidates = F.embedding(codes, items.float())
    logits = torch.einsum("td,tkd->tk", hidden.float(), candidates) / temperature
    apart = F.kl_div(logits.log_softmax(1), log_probabilities, reduction="batchmean", log_target=True)
    return apart * temperature**2


def gbce_beta(negatives: float, catalogue: int, calibration: float) -> float:
    """Eq. 8 of the gSASRec paper: ``beta`` from the sampling rate and the calibration ``t``.

    0 gives BCE with that many negatives, 1 probabilities.

    Args:
        negatives: how many of the other items are negatives of a positive; on average, where not always as many.
        catalogue: number of items.
    """
    rate = negatives / max(1, catalogue - 1)
    return rate * (calibration * (1 - 1 / rate) + 1 / rate)


def uniform_log_q(negatives: int, catalogue: int) -> float:
    """Log of the expected count of one item among ``negatives`` uniform draws."""
    return math.log(negatives / catalogue)


def info_nce(left: Tensor, right: Tensor, temperature: float, labels: Tensor | None = None) -> Tensor:
    """Contrastive loss between two views of the same things (NT-Xent: Chen et al., SimCLR, 2020, eq. 1).

    Each of the 2n states is to tell its positives among the other 2n - 1 by cosine similarity. Positives are the other
    view of itself and, with labels, everything of the same label (supervised contrast: Khosla et al., 2020, eq. 2).

    Args:
        left, right: (n, d), row by row two views of one thing.
        temperature: divides the similarities.
        labels: (n,) codes.
    """
    count = len(left)
    states = F.normalize(torch.cat([left, right]).float(), dim=1)
    itself = torch.eye(2 * count, dtype=torch.bool, device=states.device)
    with torch.autocast(states.device.type, enabled=False):  # a temperature would magnify what bf16 rounds off
        similar = (states @ states.T / temperature).masked_fill(itself, -torch.inf)
    if labels is None:
        labels = torch.arange(count, device=states.device)
    both = labels.repeat(2)
    positive = (both[:, None] == both) & ~itself
    likely = similar.log_softmax(1).masked_fill(~positive, 0.0)
    return -(likely.sum(1) / positive.sum(1)).mean()
