"""The transformer encoder: a stack of attention over item vectors, gated (LiGR) or plain.

Input and output are (rows, width, d), padding on the right; one vector per position that has seen what ``nn.view``
lets it: itself and those before it. Knows neither items nor losses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.nn.dropout import Dropout
from segue.nn.encoders import Shape
from segue.nn.inputs import Inputs
from segue.nn.time import RelativeTime
from segue.nn.view import PositionsFromEnd, View


class SelfAttention(nn.Module):
    """Multi-head attention to what is in view. Padding on the right never is.

    With ``relative_time`` a learned bias by the time between events is added to the scores.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query_key_value = nn.Linear(shape.size, 3 * shape.size)
        self.output = nn.Linear(shape.size, shape.size)
        self.time = RelativeTime(shape.heads, shape.both_ways) if shape.relative_time else None

    def forward(self, x: Tensor, view: View, only: Tensor | None = None) -> Tensor:
        """(rows, width, d) to the same; with ``only`` (rows,) to (rows, 1, d), one position per row."""
        rows, width, size = x.shape
        packed = self.query_key_value(x).view(rows, width, 3, self.heads, size // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        if only is not None:
            query = query.gather(2, only[:, None, None, None].expand(-1, self.heads, 1, query.shape[3]))
        if self.time is not None and view.buckets is not None:
            # Written out: the fused kernels of torch have no gradient for a bias on a CPU.
            scores = torch.matmul(query * (size // self.heads) ** -0.5, key.transpose(-2, -1))
            scores = scores.add_(self.time(view.buckets)).masked_fill_(view.hidden, -torch.inf)  # in place: few passes
            mixed = torch.matmul(scores.softmax(-1), value)
        elif only is None and view.causal:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=~view.hidden)
        output: Tensor = self.output(mixed.transpose(1, 2).reshape(rows, -1, size))
        return output


class SwiGLU(nn.Module):
    """Gated feed-forward layer (Shazeer, "GLU Variants Improve Transformer", 2020)."""

    def __init__(self, size: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.up = nn.Linear(size, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, size, bias=False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.up(x).chunk(2, dim=-1)
        output: Tensor = self.down(self.dropout(value * F.silu(gate)))
        return output


class LiGRBlock(nn.Module):
    """Pre-norm block whose two branches are gated by their input: ``x + sigmoid(W x) * branch(norm(x))``.

    Borisyuk et al., "From Features to Transformers: Redefining Ranking for Scalable Impact" (LiGR), 2025, with
    the SwiGLU feed-forward layer of eSASRec (2025).
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size = shape.size
        self.attention_norm, self.attention = nn.LayerNorm(size), SelfAttention(shape)
        self.feed_norm, self.feed = nn.LayerNorm(size), SwiGLU(size, shape.expansion * size, shape.dropout)
        self.attention_gate, self.feed_gate = nn.Linear(size, size), nn.Linear(size, size)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, view: View, only: Tensor | None = None) -> Tensor:
        mixed = self.dropout(self.attention(self.attention_norm(x), view, only))
        x = at(x, only)
        x = x + torch.sigmoid(self.attention_gate(x)) * mixed
        x = x + torch.sigmoid(self.feed_gate(x)) * self.dropout(self.feed(self.feed_norm(x)))
        return x


class PlainBlock(nn.Module):
    """The usual pre-norm block with GELU."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        size, hidden = shape.size, shape.expansion * shape.size
        self.attention_norm, self.attention = nn.LayerNorm(size), SelfAttention(shape)
        self.feed_norm = nn.LayerNorm(size)
        self.up, self.down = nn.Linear(size, hidden), nn.Linear(hidden, size)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, view: View, only: Tensor | None = None) -> Tensor:
        x = at(x, only) + self.dropout(self.attention(self.attention_norm(x), view, only))
        x = x + self.dropout(self.down(self.dropout(F.gelu(self.up(self.feed_norm(x))))))
        return x


def at(x: Tensor, only: Tensor | None) -> Tensor:
    """(rows, width, d) to (rows, 1, d) at one position per row, or ``x`` as it is."""
    return x if only is None else x.gather(1, only[:, None, None].expand(-1, 1, x.shape[2]))


BLOCKS: dict[str, type[LiGRBlock] | type[PlainBlock]] = {"ligr": LiGRBlock, "plain": PlainBlock}


class TransformerEncoder(nn.Module):
    """Positions counted back from the newest event, a stack of blocks, a final norm.

    Counting from the newest event gives "the last thing they did" one meaning for histories of every length.
    """

    masked = False

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.positions = PositionsFromEnd(shape.max_length, shape.size)
        self.blocks = nn.ModuleList(BLOCKS[shape.block](shape) for _ in range(shape.blocks))
        self.norm = nn.LayerNorm(shape.size)
        self.dropout = Dropout(shape.dropout)

    def forward(self, x: Tensor, inputs: Inputs, last: bool = False) -> Tensor:
        """Encode histories; with ``last`` the final block works on the newest event alone."""
        x = self.dropout(self.positions(x, inputs.lengths))
        *first, final = self.blocks
        only = inputs.lengths - 1 if last else None
        if not first and only is not None:
            x = final(x, View.of(inputs, self.shape, only), only)
        else:
            view = View.of(inputs, self.shape)
            for block in first:
                x = block(x, view)
            x = final(x, view if only is None else view.one(only), only)
        states: Tensor = self.norm(x)
        return states[:, 0] if last else states
