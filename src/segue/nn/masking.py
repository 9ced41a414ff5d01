"""Masked events: which ones are masked in training, and the row a masked model reads.

BERT4Rec (Sun et al., "BERT4Rec: Sequential Recommendation with Bidirectional Encoder Representations from
Transformer", CIKM 2019, sec. 3.5 and 3.6): the model tells masked events from all others, and a recommendation is
told from a mask after the newest event. Where a mask stands it is asked what a causal model is asked there: which
item comes at that moment, by that action. So a mask knows the request that the event before it leads to and nothing
of the event itself. The mask's vector and the encoder are left to ``nn.sequence`` and ``nn.bidirectional``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from segue.nn.inputs import UNKNOWN_TIME, Inputs

_LAST_ALONE = 0.25
"""Share of the rows whose last event alone is masked, which is what a recommendation asks (sec. 3.6)."""


def draw_masks(lengths: Tensor, width: int, share: float) -> Tensor:
    """(rows, width) which events to mask; at least one of every row, never the first, which follows no request.

    Args:
        lengths: (rows,) events per row, 2 or more.
        share: of the events of a row.
    """
    place = torch.arange(width, device=lengths.device)
    inside = (place > 0) & (place < lengths[:, None])
    masks = inside & (torch.rand(len(lengths), width, device=lengths.device) < share)
    alone = (torch.rand(len(lengths), 1, device=lengths.device) < _LAST_ALONE) | ~masks.any(1, keepdim=True)
    last = place == lengths[:, None] - 1
    return torch.where(alone, last, masks)


def whole(inputs: Inputs, final: Tensor) -> Inputs:
    """Rows with the event that follows them, and each event with the request it answers: (rows, width + 1).

    ``asked``, ``calendar`` and ``wanted`` move from the event before to the event that was asked for.

    Args:
        final: (rows,) the item that follows, 0 where that is the question.
    """
    end = inputs.lengths[:, None]

    def follow(column: Tensor | None, of: Tensor | None, unknown: float) -> Tensor | None:
        """The column with what the newest event's request says of the event that follows."""
        if column is None:
            return None
        longer = torch.cat([column, torch.full_like(column[:, :1], unknown)], dim=1)
        value = torch.full_like(end, unknown, dtype=column.dtype) if of is None else of.gather(1, end - 1)
        return longer.scatter(1, end, value)

    def later(column: Tensor | None, unknown: int) -> Tensor | None:
        return None if column is None else torch.cat([torch.full_like(column[:, :1], unknown), column], dim=1)

    items = torch.cat([inputs.items, torch.zeros_like(inputs.items[:, :1])], dim=1).scatter(1, end, final[:, None])
    return Inputs(
        items=items,
        lengths=inputs.lengths + 1,
        times=follow(inputs.times, inputs.asked, UNKNOWN_TIME),
        asked=later(inputs.asked, UNKNOWN_TIME),
        calendar=later(inputs.calendar, 0),
        actions=follow(inputs.actions, inputs.wanted, 0),
        wanted=later(inputs.wanted, 0),
        values=follow(inputs.values, None, float("nan")),
    )


def masked(row: Inputs, masks: Tensor) -> Inputs:
    """Rows of :func:`whole` in which masked events are known by their request alone, and the others need none."""
    times, asked, actions, wanted, values = row.times, row.asked, row.actions, row.wanted, row.values
    return Inputs(
        items=row.items.masked_fill(masks, 0),
        lengths=row.lengths,
        times=times if times is None or asked is None else torch.where(masks, asked, times),
        calendar=row.calendar,
        actions=None if actions is None else actions.masked_fill(masks, 0),
        wanted=None if wanted is None else wanted.masked_fill(~masks, 0),
        values=None if values is None else values.masked_fill(masks, float("nan")),
    )
