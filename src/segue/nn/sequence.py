"""Item tower, time, behaviour and encoder joined: histories to hidden states, and how all of it starts."""

from __future__ import annotations

from torch import Tensor, nn

from segue.nn.behaviour import BehaviourInputs, forget_wanted
from segue.nn.inputs import Inputs
from segue.nn.item_tower import ItemTower
from segue.nn.time import MomentInputs, forget_moments


class SequenceModel(nn.Module):
    """From item codes to one hidden state per position; scores are dot products with the tower's vectors.

    Args:
        tower: item codes to vectors.
        encoder: see ``nn.encoders``.
        moments, behaviour: what is added to the item vectors; None where the log does not say.
        forget: share of requests whose moment and wanted action are hidden in training.
    """

    def __init__(
        self,
        tower: ItemTower,
        encoder: nn.Module,
        moments: MomentInputs | None = None,
        behaviour: BehaviourInputs | None = None,
        forget: float = 0.0,
    ) -> None:
        super().__init__()
        self.tower, self.encoder, self.moments, self.behaviour = tower, encoder, moments, behaviour
        self.forget = forget
        self.apply(_initialise)

    def forward(self, inputs: Inputs, vectors: Tensor | None = None) -> Tensor:
        """(rows, width) inputs to (rows, width, d) hidden states.

        Args:
            vectors: (catalogue + 1, d) of the tower, where the caller has made them already.
        """
        return self._encoded(inputs, vectors, last=False)

    def last(self, inputs: Inputs, vectors: Tensor | None = None) -> Tensor:
        """(rows, d): the hidden state of each row's newest event; arguments as for :meth:`forward`."""
        return self._encoded(inputs, vectors, last=True)

    def _encoded(self, inputs: Inputs, vectors: Tensor | None, last: bool) -> Tensor:
        if self.training:
            inputs = forget_wanted(forget_moments(inputs, self.forget), self.forget)
        x = self.tower(inputs.items, vectors)
        if self.moments is not None:
            x = self.moments(x, inputs)
        if self.behaviour is not None:
            x = self.behaviour(x, inputs)
        hidden: Tensor = self.encoder(x, inputs, last=last)
        return hidden


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
        if module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx].detach())
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
