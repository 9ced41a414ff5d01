"""Elastic weight consolidation: weights that mattered for earlier events are held near where they were.

Kirkpatrick et al., "Overcoming catastrophic forgetting in neural networks", PNAS 2017. How much a weight matters is the
diagonal of the Fisher information, read off the gradients on earlier events. Which events those are is decided by
``training.continual``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segue.data.batches import Batch


@dataclass(frozen=True)
class Anchor:
    """Where the weights were, and how much each of them matters.

    Attributes:
        weights, importance: by the name of the parameter; equal shapes.
        strength: of the pull. At 1 earlier events weigh as much beside the new ones as their number says.
        signature: of all of it; part of a checkpoint's.
    """

    weights: Mapping[str, Tensor]
    importance: Mapping[str, Tensor]
    strength: float
    signature: str

    @classmethod
    def of(cls, model: nn.Module, loss: Callable[[Batch], Tensor], batches: Iterable[Batch], strength: float) -> Anchor:
        """From a trained model.

        Args:
            loss: of one batch, the mean over its targets.
            batches: of the events to remember; the gradient of a mean over n targets has 1/n of the information of one.
        """
        model.eval()
        importance = {name: torch.zeros_like(weight) for name, weight in model.named_parameters()}
        count = 0
        for batch in batches:
            model.zero_grad()
            torch.autograd.backward(loss(batch))
            count += 1
            for name, weight in model.named_parameters():
                if weight.grad is not None:
                    importance[name] += int((batch.targets > 0).sum()) * weight.grad.square()
        model.zero_grad()
        weights = {name: weight.detach().clone() for name, weight in model.named_parameters()}
        importance = {name: each / max(count, 1) for name, each in importance.items()}
        digest = hashlib.sha256(repr(strength).encode())
        for name in weights:
            digest.update(name.encode() + weights[name].numpy().tobytes() + importance[name].numpy().tobytes())
        return cls(weights, importance, strength, digest.hexdigest())

    def penalty(self, model: nn.Module) -> Tensor:
        """Half the squared distance from the anchor, each weight counted by its importance."""
        parts = [
            (self.importance[name].to(weight.device) * (weight - self.weights[name].to(weight.device)).square()).sum()
            for name, weight in model.named_parameters()
        ]
        return self.strength / 2 * torch.stack(parts).sum()
