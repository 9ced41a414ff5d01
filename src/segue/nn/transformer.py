"""The transformer encoder: a causal stack over item vectors, gated (LiGR) or plain.

Input and output are (rows, width, d), padding on the right; one vector per position that has seen that position
and those before it. Knows neither items nor losses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.nn.dropout import Dropout


class CausalSelfAttention(nn.Module):
    """Multi-head attention to this position and those before it. Padding on the right is never in view."""

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(size, 3 * size)
        self.output = nn.Linear(size, size)

    def forward(self, x: Tensor, only: Tensor | None = None) -> Tensor:
        """(rows, width, d) to the same; with ``only`` (rows,) to (rows, 1, d), one position per row."""
        rows, width, size = x.shape
        packed = self.query_key_value(x).view(rows, width, 3, self.heads, size // self.heads)
        query, key, value = packed.permute(2, 0, 3, 1, 4)
        if only is None:
            mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        else:
            visible = (torch.arange(width, device=x.device) <= only[:, None])[:, None, None, :]
            query = query.gather(2, only[:, None, None, None].expand(-1, self.heads, 1, query.shape[3]))
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible)
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

    def __init__(self, size: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(size), CausalSelfAttention(size, heads)
        self.feed_norm, self.feed = nn.LayerNorm(size), SwiGLU(size, expansion * size, dropout)
        self.attention_gate, self.feed_gate = nn.Linear(size, size), nn.Linear(size, size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, only: Tensor | None = None) -> Tensor:
        mixed = self.dropout(self.attention(self.attention_norm(x), only))
        x = _at(x, only)
        x = x + torch.sigmoid(self.attention_gate(x)) * mixed
        x = x + torch.sigmoid(self.feed_gate(x)) * self.dropout(self.feed(self.feed_norm(x)))
        return x


class PlainBlock(nn.Module):
    """The usual pre-norm block with GELU."""

    def __init__(self, size: int, heads: int, expansion: int, dropout: float) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.LayerNorm(size), CausalSelfAttention(size, heads)
        self.feed_norm = nn.LayerNorm(size)
        self.up, self.down = nn.Linear(size, expansion * size), nn.Linear(expansion * size, size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, only: Tensor | None = None) -> Tensor:
        x = _at(x, only) + self.dropout(self.attention(self.attention_norm(x), only))
        x = x + self.dropout(self.down(self.dropout(F.gelu(self.up(self.feed_norm(x))))))
        return x


def _at(x: Tensor, only: Tensor | None) -> Tensor:
    """(rows, width, d) to (rows, 1, d) at one position per row, or ``x`` as it is."""
    return x if only is None else x.gather(1, only[:, None, None].expand(-1, 1, x.shape[2]))


BLOCKS: dict[str, type[LiGRBlock] | type[PlainBlock]] = {"ligr": LiGRBlock, "plain": PlainBlock}


class TransformerEncoder(nn.Module):
    """Positions counted back from the newest event, a stack of blocks, a final norm.

    Counting from the newest event gives "the last thing they did" one meaning for histories of every length.

    Args:
        size: of every vector (d).
        max_length: of a row.
        block: ``"ligr"`` or ``"plain"``.
        expansion: width of the feed-forward layer as a multiple of ``size``.
    """

    def __init__(
        self, size: int, max_length: int, blocks: int, heads: int, block: str, expansion: int, dropout: float
    ) -> None:
        super().__init__()
        self.positions = nn.Embedding(max_length, size)
        self.blocks = nn.ModuleList(BLOCKS[block](size, heads, expansion, dropout) for _ in range(blocks))
        self.norm = nn.LayerNorm(size)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor, last: bool = False) -> Tensor:
        """Encode histories.

        Args:
            x: (rows, width, d) item vectors.
            lengths: (rows,) events per row.
            last: return (rows, d), the newest event's vector alone; the last block then works on it alone.
        """
        place = torch.arange(x.shape[1], device=x.device)
        from_end = (lengths[:, None] - 1 - place).clamp(min=0)
        x = self.dropout(x + self.positions(from_end))
        *first, final = self.blocks
        for block in first:
            x = block(x)
        x = final(x, lengths - 1) if last else final(x)
        states: Tensor = self.norm(x[:, 0] if last else x)
        return states
