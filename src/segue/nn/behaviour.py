"""What was done, as an input: the kind of each action, its value (rating, price, quantity), and the kind asked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segue.nn.inputs import Inputs


class BehaviourInputs(nn.Module):
    """Vectors added to the item vectors.

    Args:
        size: d.
        actions: kinds of action; 0 leaves them out. Code 0 stands for an action that is unknown, or for any asked.
        value_edges: ascending bounds between the bins that values fall into; empty leaves values out.
    """

    def __init__(self, size: int, actions: int, value_edges: Sequence[float]) -> None:
        super().__init__()
        self.action = nn.Embedding(actions + 1, size) if actions else None
        self.wanted = nn.Embedding(actions + 1, size) if actions else None
        self.value = nn.Embedding(len(value_edges) + 2, size) if value_edges else None
        self.register_buffer("edges", torch.tensor(list(value_edges), dtype=torch.float32), persistent=False)

    def forward(self, x: Tensor, inputs: Inputs) -> Tensor:
        """(rows, width, d) to the same; what the inputs lack counts as unknown."""
        nothing = torch.zeros_like(inputs.items)
        if self.action is not None and self.wanted is not None:
            x = x + self.action(nothing if inputs.actions is None else inputs.actions)
            x = x + self.wanted(nothing if inputs.wanted is None else inputs.wanted)
        if self.value is not None:
            code = nothing
            if inputs.values is not None:
                bins = torch.bucketize(inputs.values, self.get_buffer("edges"), right=True) + 1
                code = torch.where(inputs.values.isnan(), 0, bins)
            x = x + self.value(code)
        return x


def forget_wanted(inputs: Inputs, rate: float) -> Inputs:
    """Forget which action some requests are for, so that asking for any is learnt too."""
    if inputs.wanted is None or rate == 0:
        return inputs
    forgotten = torch.rand(inputs.wanted.shape, device=inputs.wanted.device) < rate
    return inputs.replaced(wanted=inputs.wanted.masked_fill(forgotten, 0))
