"""Recurrent encoders: GRU and LSTM, whose work grows linearly with the length of a history.

After GRU4Rec (Hidasi et al., "Session-based Recommendations with Recurrent Neural Networks", ICLR 2016), with the norms
and residual branches that deeper stacks need. They need no positions, so ``max_length`` may be large. Padding on the
right comes after every event and cannot reach its state, so nothing is packed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.nn.dropout import Dropout
from segue.nn.encoders import Shape
from segue.nn.inputs import UNKNOWN_TIME, Inputs
from segue.nn.transformer import at


class RecurrentBlock(nn.Module):
    """``x + dropout(W rnn(norm(x)))``."""

    def __init__(self, layer: type[nn.GRU] | type[nn.LSTM], shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.size)
        self.layer = layer(shape.size, shape.size, batch_first=True)
        self.output = nn.Linear(shape.size, shape.size)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, only: Tensor | None = None) -> Tensor:
        """(rows, width, d) to the same; with ``only`` (rows,) to (rows, 1, d), one position per row."""
        states = at(self.layer(self.norm(x))[0], only)
        moved: Tensor = at(x, only) + self.dropout(self.output(states))
        return moved


class Fading(nn.Module):
    """``x exp(-softplus(w) log2(1 + s))`` in each dimension, ``s`` seconds from an event to the request after it.

    After the hidden-state decay of GRU-D (Che et al., "Recurrent Neural Networks for Multivariate Time Series with
    Missing Values", 2018, eq. 4), here on what is read out of the recurrence and not inside it, where a fused kernel
    has no place for it: what was known long ago tells the items apart less. A moment that is not known fades nothing.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), -6.0))  # a quarter of a percent per octave: hardly any at first

    def forward(self, states: Tensor, inputs: Inputs, only: Tensor | None) -> Tensor:
        """(rows, width or 1, d) to the same."""
        if inputs.times is None or inputs.asked is None:
            return states
        known = (inputs.times != UNKNOWN_TIME) & (inputs.asked != UNKNOWN_TIME)
        seconds = torch.where(known, inputs.asked - inputs.times, 0).clamp(min=0)
        octaves = torch.log2(1 + seconds.float())
        octaves = octaves if only is None else octaves.gather(1, only[:, None])
        return states * torch.exp(-F.softplus(self.weight) * octaves[..., None])


class RecurrentEncoder(nn.Module):
    """A stack of recurrent layers and a final norm."""

    masked = False
    layer: type[nn.GRU] | type[nn.LSTM]

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(RecurrentBlock(self.layer, shape) for _ in range(shape.blocks))
        self.fading = Fading(shape.size) if shape.relative_time and shape.request else None
        self.norm = nn.LayerNorm(shape.size)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, inputs: Inputs, last: bool = False) -> Tensor:
        """Encode histories; with ``last`` the final layer's output is read at the newest event alone."""
        x = self.dropout(x)
        *first, final = self.blocks
        for block in first:
            x = block(x)
        only = inputs.lengths - 1 if last else None
        states: Tensor = self.norm(final(x, only))
        if self.fading is not None:  # after the norm, which would undo it
            states = self.fading(states, inputs, only)
        return states[:, 0] if last else states


class GRUEncoder(RecurrentEncoder):
    """Gated recurrent units."""

    layer = nn.GRU


class LSTMEncoder(RecurrentEncoder):
    """Long short-term memory."""

    layer = nn.LSTM
