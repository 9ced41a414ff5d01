"""The item tower: item codes to item vectors. Today from ids alone; text, attributes and images join it here."""

from __future__ import annotations

import math

from torch import Tensor, nn


class ItemTower(nn.Module):
    """One learned vector per item; row 0 is padding and stays zero.

    The same vectors are read as input (scaled by sqrt(d), Vaswani et al., 2017) and scored against as output.
    """

    def __init__(self, catalogue: int, size: int) -> None:
        super().__init__()
        self.ids = nn.Embedding(catalogue + 1, size, padding_idx=0)
        self.scale = math.sqrt(size)

    def forward(self, items: Tensor) -> Tensor:
        """(..., ) item codes to (..., d) input vectors."""
        vectors: Tensor = self.ids(items) * self.scale
        return vectors

    def vectors(self) -> Tensor:
        """(catalogue + 1, d): what hidden states are scored against."""
        return self.ids.weight
