"""Item tower, time, behaviour and encoder joined: histories to hidden states, and how all of it starts.

What a model learns from is decided here too: each next event, or events that were masked, as the encoder says.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from segue.nn import masking
from segue.nn.behaviour import BehaviourInputs, forget_wanted
from segue.nn.inputs import Inputs
from segue.nn.item_tower import ItemTower
from segue.nn.likeness import newest_items
from segue.nn.time import MomentInputs, forget_moments


class SequenceModel(nn.Module):
    """From item codes to one hidden state per position; scores are dot products with the tower's vectors.

    Args:
        tower: item codes to vectors.
        encoder: see ``nn.encoders``.
        moments, behaviour: what is added to the item vectors; None where the log does not say.
        forget: share of requests whose moment and wanted action are hidden in training.
        mask_share: share of the events masked in training, where the encoder learns from masked ones.
    """

    def __init__(
        self,
        tower: ItemTower,
        encoder: nn.Module,
        moments: MomentInputs | None = None,
        behaviour: BehaviourInputs | None = None,
        forget: float = 0.0,
        mask_share: float = 0.2,
    ) -> None:
        super().__init__()
        self.tower, self.encoder, self.moments, self.behaviour = tower, encoder, moments, behaviour
        self.forget, self.mask_share = forget, mask_share
        self.language: nn.ParameterList | None = None  # what learns of a language model, while it does
        self.interests: nn.Linear | None = None  # tells a person's interests from a state, while that is learnt
        self.mask = nn.Parameter(torch.zeros_like(tower.ids.weight[0])) if getattr(encoder, "masked", False) else None
        self.apply(_initialise)

    def forward(self, inputs: Inputs, vectors: Tensor | None = None) -> Tensor:
        """(rows, width) inputs to (rows, width, d) hidden states, nothing masked.

        Args:
            inputs: padded rows.
            vectors: (catalogue + 1, d) of the tower, where the caller has made them already.
        """
        return self._encoded(self._forgotten(inputs), vectors)

    def last(self, inputs: Inputs, vectors: Tensor | None = None) -> Tensor:
        """(rows, d): the hidden state that tells what follows each row's newest event; arguments as :meth:`forward`."""
        inputs = self._forgotten(inputs)
        if self.mask is None:
            return self._encoded(inputs, vectors, last=True)
        row = masking.whole(inputs, torch.zeros_like(inputs.lengths))
        place = torch.arange(row.items.shape[1], device=row.items.device)
        masks = place == inputs.lengths[:, None]
        return self._encoded(masking.masked(row, masks), vectors, masks, last=True)

    def learnt(
        self, inputs: Inputs, targets: Tensor, vectors: Tensor | None = None, weights: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """The hidden states to learn from, (tokens, d), the item that each should tell, and what it counts for.

        Args:
            inputs, vectors: as for :meth:`forward`.
            targets: (rows, width) the item that followed each input, 0 where nothing is to be learnt.
            weights: (rows, width) what each target counts for; None where all count alike.
        """
        inputs = self._forgotten(inputs)
        if self.mask is None:
            places = targets > 0
            counted = None if weights is None else weights[places]
            return self._encoded(inputs, vectors)[places], targets[places], counted
        row = masking.whole(inputs, targets.gather(1, inputs.lengths[:, None] - 1)[:, 0])
        masks = masking.draw_masks(row.lengths, row.items.shape[1], self.mask_share) & (row.items > 0)
        counted = None
        if weights is not None:  # an event counts what it counts as the target of the one before it
            own = torch.cat([torch.zeros_like(weights[:, :1]), weights], dim=1)
            masks = masks & (own > 0)
            counted = own[masks]
        return self._encoded(masking.masked(row, masks), vectors, masks)[masks], row.items[masks], counted

    def _forgotten(self, inputs: Inputs) -> Inputs:
        return forget_wanted(forget_moments(inputs, self.forget), self.forget) if self.training else inputs

    def _encoded(
        self, inputs: Inputs, vectors: Tensor | None = None, masks: Tensor | None = None, last: bool = False
    ) -> Tensor:
        x = self.tower(inputs.items, vectors)
        if masks is not None and self.mask is not None:
            x = torch.where(masks[..., None], self.mask, x)
        if self.moments is not None:
            x = self.moments(x, inputs)
        if self.behaviour is not None:
            x = self.behaviour(x, inputs)
        hidden: Tensor = self.encoder(x, inputs, last=last)
        if self.tower.likeness is None:
            return hidden
        places = None if not last else inputs.lengths - int(masks is None)
        newest = newest_items(inputs.items, masks, places)
        return torch.cat([hidden, self.tower.like(newest, vectors)], dim=-1)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
        if module.padding_idx is not None:
            nn.init.zeros_(module.weight[module.padding_idx].detach())
    elif isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
