"""What the attention of a row may look at, and how far away that is in places and in time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from segue.nn.encoders import Shape
from segue.nn.inputs import Inputs
from segue.nn.time import time_buckets


@dataclass(frozen=True)
class View:
    """Shared by all blocks of an encoder for one batch.

    Attributes:
        hidden: (1 or rows, 1, 1 or queries, width) true where a query must not look.
        buckets: (rows, queries, width) of ``time_buckets``, or None where attention knows no time.
        causal: whether every position sees itself and those before it, so that a kernel may build ``hidden`` itself.
    """

    hidden: Tensor
    buckets: Tensor | None
    causal: bool = True

    @classmethod
    def of(cls, inputs: Inputs, shape: Shape, only: Tensor | None = None) -> View:
        """The view of every position, or of one position per row (``only``, (rows,)).

        Causal, or with ``shape.both_ways`` of the whole row without its padding.
        """
        place = torch.arange(inputs.items.shape[1], device=inputs.items.device)
        if shape.both_ways:
            hidden = (place >= inputs.lengths[:, None])[:, None, None]
        else:
            query = place[None, :, None] if only is None else only[:, None, None]
            hidden = (place > query)[:, None]
        buckets = time_buckets(inputs, shape.request, only, shape.both_ways) if shape.relative_time else None
        return cls(hidden, buckets, causal=not shape.both_ways)

    def one(self, only: Tensor) -> View:
        """Of the view of every position, that of one position per row (``only``, (rows,))."""
        hidden = self.hidden
        if hidden.shape[2] > 1:
            hidden = hidden[0, 0, only][:, None, None]
        buckets = self.buckets
        if buckets is not None:
            buckets = buckets.gather(1, only[:, None, None].expand(-1, 1, buckets.shape[2]))
        return View(hidden, buckets, self.causal)


class PositionsFromEnd(nn.Module):
    """A learned vector per place counted back from the newest event of the row."""

    def __init__(self, max_length: int, size: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(max_length, size)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """(rows, width, d) to the same."""
        place = torch.arange(x.shape[1], device=x.device)
        moved: Tensor = x + self.vectors((lengths[:, None] - 1 - place).clamp(min=0))
        return moved
