"""Likeness: the text of a candidate held against the text of the newest items, beside the encoder's state.

People often take next what is like what they took last: another size, another colour, what goes with it by name. A
small encoder squeezes such detail out; here it goes around the encoder, for items with events and without alike. State
and item vector grow by a few dimensions, so the score stays one dot product.

Nothing of it is learnt from training events: what a model can learn by heart it needs no likeness for, and it would
learn to do without. For the same reason it is hidden from most places in training, so that the encoder learns to speak
without it; then the two together tell more than when either leans on the other.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NEWEST = 4  # events that are held against a candidate
_FADING = 1.0  # each counts exp(-1) of the newer one
_GAIN = 8.0  # what a cosine of 1 counts for
_ALONE = 1.28  # as much more it counts for items that have no vector of their own
_HIDDEN = 0.8  # share of the places that go without in training


class Likeness(nn.Module):
    """The cosine of text vectors, and how much each of the newest items counts in it.

    Args:
        size: first dimensions of the comparable text vectors that are read; those tell most (see ``TextVectors``).
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def items(self, text: Tensor, alone: Tensor) -> Tensor:
        """(n, D) comparable text vectors to (n, size); they are longer where text speaks alone.

        Args:
            alone: (n, 1) which items have no vector of their own.
        """
        return F.normalize(text[:, : self.size], dim=-1) * torch.where(alone, _ALONE, 1.0)

    def forward(self, newest: Tensor, known: Tensor) -> Tensor:
        """(..., size): what to hold against the vectors of candidates.

        Args:
            newest: (..., newest events, size) vectors of :meth:`items`, the newest first.
            known: (..., newest events) whether there is an event.
        """
        fading = -_FADING * torch.arange(_NEWEST, device=newest.device)
        share = fading.masked_fill(~known, -1e4).softmax(-1) * known
        query = _GAIN * torch.einsum("...n,...nd->...d", share, F.normalize(newest, dim=-1))
        if self.training:
            query = query * (torch.rand(query.shape[:-1], device=query.device) >= _HIDDEN)[..., None]
        return query


def newest_items(items: Tensor, masks: Tensor | None, places: Tensor | None = None) -> Tensor:
    """The newest items that each place has seen, (rows, width, n) codes, 0 for none and for masked ones.

    Args:
        items: (rows, width) codes.
        masks: (rows, width) which are hidden; what they ask for is told from the events before. None: each place has
            seen its own event.
        places: (rows,) one place of each row that is asked for alone, giving (rows, n).
    """
    behind = torch.arange(_NEWEST, device=items.device) + int(masks is not None)
    seen = items if masks is None else items.masked_fill(masks, 0)
    place = torch.arange(items.shape[1], device=items.device).expand_as(items) if places is None else places[:, None]
    wanted = place[..., None] - behind
    found = seen.gather(1, wanted.clamp(min=0).flatten(1)).view(wanted.shape)
    found = found.masked_fill(wanted < 0, 0)
    return found if places is None else found[:, 0]
