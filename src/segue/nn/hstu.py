"""The HSTU encoder: pointwise gated attention with a bias by relative position and time.

Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for Generative
Recommendations", ICML 2024, eq. 1 to 3. Attention weights are not normalised over the history, so that how much of
an interest a history holds is not lost; a layer is one attention and one gate, without a feed-forward layer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.nn.dropout import Dropout
from segue.nn.encoders import Shape
from segue.nn.inputs import Inputs
from segue.nn.time import RelativeTime
from segue.nn.transformer import at
from segue.nn.view import PositionsFromEnd, View


class HSTUBlock(nn.Module):
    """One layer: ``x + W (norm(A V) * U)`` with ``A = silu(Q K^T + bias) / max_length``."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size = shape.size
        self.heads, self.max_length = shape.heads, shape.max_length
        self.norm, self.mixed_norm = nn.LayerNorm(size), nn.LayerNorm(size)
        self.packed = nn.Linear(size, 4 * size)
        self.output = nn.Linear(size, size)
        self.places = nn.Parameter(torch.zeros(shape.heads, shape.max_length))
        self.time = RelativeTime(shape.heads) if shape.relative_time else None
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, view: View, only: Tensor | None = None) -> Tensor:
        """(rows, width, d) to the same; with ``only`` (rows,) to (rows, 1, d), one position per row."""
        rows, width, size = x.shape
        gate, *packed = F.silu(self.packed(self.norm(x))).chunk(4, dim=-1)
        value, query, key = (each.view(rows, width, self.heads, -1).transpose(1, 2) for each in packed)
        place = torch.arange(width, device=x.device)
        if only is None:
            behind = (place[:, None] - place).clamp(min=0)
        else:
            query = query.gather(2, only[:, None, None, None].expand(-1, self.heads, 1, query.shape[3]))
            behind = (only[:, None, None] - place).clamp(min=0)
        bias = self.places[:, behind]  # (heads, width, width) or (heads, rows, 1, width)
        scores = torch.matmul(query, key.transpose(-2, -1)) + (bias if only is None else bias.transpose(0, 1))
        if self.time is not None and view.buckets is not None:
            scores = scores + self.time(view.buckets)
        weights = (F.silu(scores) / self.max_length).masked_fill(view.hidden, 0.0)
        mixed = torch.matmul(weights, value).transpose(1, 2).reshape(rows, -1, size)
        moved: Tensor = at(x, only) + self.output(self.dropout(self.mixed_norm(mixed) * at(gate, only)))
        return moved


class HSTUEncoder(nn.Module):
    """A stack of HSTU layers over item vectors with positions, and a final norm."""

    masked = False

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.positions = PositionsFromEnd(shape.max_length, shape.size)
        self.blocks = nn.ModuleList(HSTUBlock(shape) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.size)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, inputs: Inputs, last: bool = False) -> Tensor:
        """Encode histories; with ``last`` the final layer works on the newest event alone."""
        x = self.dropout(self.positions(x, inputs.lengths))
        *first, final = self.blocks
        view = View.of(inputs, self.shape)
        for block in first:
            x = block(x, view)
        only = inputs.lengths - 1 if last else None
        x = final(x, view if only is None else view.one(only), only)
        states: Tensor = self.norm(x)
        return states[:, 0] if last else states
