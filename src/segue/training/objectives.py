"""What a step may learn besides the next item: to withstand small changes of its input, and to tell sequences apart.

Both are off by default and are added to the next-item loss of ``training.task``. They keep no state of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from segue.nn.inputs import Inputs
from segue.nn.losses import info_nce
from segue.nn.sequence import SequenceModel
from segue.training.plan import Plan

_ANCHORS = 512  # positions of a batch that are contrasted by their targets: similarities are anchors x anchors


class InputVectors:
    """While open, keeps the vectors that the item tower gives as input, and moves them by ``moved`` where it is given.

    The vectors that hidden states are scored against are left alone, although the weights are shared.
    """

    def __init__(self, tower: nn.Module, moved: Tensor | None = None) -> None:
        self.tower, self.moved = tower, moved
        self.vectors: Tensor | None = None

    def __enter__(self) -> InputVectors:
        self._hook = self.tower.register_forward_hook(self._pass)
        return self

    def __exit__(self, *_: Any) -> None:
        self._hook.remove()

    def _pass(self, module: nn.Module, inputs: Any, vectors: Tensor) -> Tensor:
        self.vectors = vectors if self.moved is None else vectors + self.moved
        return self.vectors


def adversarial_loss(
    model: SequenceModel, plan: Plan, clean: Tensor, vectors: Tensor, again: Callable[[], Tensor]
) -> Tensor:
    """The loss where the input vectors of each row are moved to where it is about worst.

    ``"fgm"`` goes once along the gradient (Miyato et al., "Adversarial Training Methods for Semi-Supervised Text
    Classification", ICLR 2017). ``"pgd"`` goes ``adversarial_steps`` times and comes back into the ball after
    each (Madry et al., ICLR 2018); it starts at the clean input rather than at random, so that its first gradient costs
    no pass of its own. The radius is ``adversarial_epsilon`` times the norm of the row's vectors: relative, as vectors
    that grow would make a fixed one meaningless (Miyato et al. normalise theirs for the same reason).

    Args:
        clean: the loss on the clean input; it can still be differentiated afterwards.
        vectors: (rows, width, d) the input vectors it came from.
        again: computes the loss anew, with the same dropout and negatives.
    """
    radius = plan.adversarial_epsilon * _norm(vectors.detach())
    steps = plan.adversarial_steps if plan.adversarial == "pgd" else 1
    stride = min(1.0, 2.5 / steps)  # of the radius, as Madry et al. have it
    (gradient,) = torch.autograd.grad(clean, vectors, retain_graph=True)
    moved = _within(stride * radius * _direction(gradient), radius)
    for _ in range(steps - 1):
        moved.requires_grad_()
        with InputVectors(model.tower, moved):
            (gradient,) = torch.autograd.grad(again(), moved)
        moved = _within(moved.detach() + stride * radius * _direction(gradient), radius)
    with InputVectors(model.tower, moved):
        return again()


def _norm(rows: Tensor) -> Tensor:
    """(rows, 1, 1) norm over all places of a row together."""
    norm: Tensor = torch.linalg.vector_norm(rows.float(), dim=(1, 2), keepdim=True)
    return norm


def _direction(gradient: Tensor) -> Tensor:
    return gradient / _norm(gradient).clamp(min=torch.finfo(torch.float32).tiny)


def _within(moved: Tensor, radius: Tensor) -> Tensor:
    length = _norm(moved)
    return torch.where(length > radius, moved * (radius / length.clamp(min=torch.finfo(torch.float32).tiny)), moved)


def contrastive_loss(
    model: SequenceModel,
    plan: Plan,
    inputs: Inputs,
    targets: Tensor,
    learnt: tuple[Tensor, Tensor],
    views: list[Inputs],
) -> Tensor:
    """InfoNCE between two views of the batch.

    ``"augment"`` contrasts the last states of two augmentations of each row (CL4SRec: Xie et al., ICDE 2022),
    ``"dropout"`` those of the row itself under two draws of dropout (the unsupervised part of DuoRec: Qiu et al., WSDM
    2022). ``"supervised"`` takes positions instead of rows, at most 512 of the batch: what is followed by the same item
    is a positive too (DuoRec's supervised part, which looks through the log, here through the batch). Where an encoder
    learns from masked events it takes rows after all.

    Args:
        targets: (rows, width) codes.
        learnt: (tokens, d) states and (tokens,) items of ``model.learnt``, the first view of the last.
        views: the two augmentations.
    """
    temperature = plan.contrastive_temperature
    if plan.contrastive == "augment":
        return info_nce(model.last(views[0]), model.last(views[1]), temperature)
    if plan.contrastive == "dropout":
        return info_nce(model.last(inputs), model.last(inputs), temperature)
    if model.mask is not None:
        # A second pass masks other events, so there it is the rows' newest states that have two views.
        newest = targets.gather(1, inputs.lengths[:, None] - 1)[:, 0]
        told = newest > 0
        return info_nce(model.last(inputs)[told], model.last(inputs)[told], temperature, newest[told])
    states, wanted = learnt
    chosen = torch.randperm(len(states))[:_ANCHORS].to(states.device)
    again = model.learnt(inputs, targets)[0]
    return info_nce(states[chosen], again[chosen], temperature, wanted[chosen])
