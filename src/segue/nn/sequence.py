"""Item tower and encoder joined: histories to hidden states, and how both start."""

from __future__ import annotations

from torch import Tensor, nn

from segue.nn.item_tower import ItemTower
from segue.nn.transformer import TransformerEncoder


class SequenceModel(nn.Module):
    """From item codes to one hidden state per position; scores are dot products with the tower's vectors."""

    def __init__(self, tower: ItemTower, encoder: TransformerEncoder) -> None:
        super().__init__()
        self.tower, self.encoder = tower, encoder
        self.apply(_initialise)

    def forward(self, items: Tensor, lengths: Tensor) -> Tensor:
        """(rows, width) codes and (rows,) lengths to (rows, width, d) hidden states."""
        hidden: Tensor = self.encoder(self.tower(items), lengths)
        return hidden

    def last(self, items: Tensor, lengths: Tensor) -> Tensor:
        """(rows, d): the hidden state of each row's newest event."""
        hidden: Tensor = self.encoder(self.tower(items), lengths, last=True)
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
