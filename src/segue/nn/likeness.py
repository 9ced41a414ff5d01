"""Likeness: the text of a candidate held against the text of the newest items, beside the encoder's state.

People often take next what is like what they took last: another size, another colour, what goes with it by name. A
small encoder squeezes such detail out; here it goes around the encoder, for items with events and without alike. State
and item vector grow by a few dimensions, so the score stays one dot product.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_NEWEST = 4  # events that are held against a candidate
_GAIN = 8.0  # what a cosine of 1 begins to count for


class Likeness(nn.Module):
    """A metric over text vectors, and how much each of the newest items counts in it.

    Args:
        width: D of the text vectors; their first dimensions tell most (see ``TextVectors``).
        size: of the metric's own vectors.
        state_size: d of the encoder's states, which say how much likeness counts for this history.
    """

    def __init__(self, width: int, size: int, state_size: int) -> None:
        super().__init__()
        self.size = min(size, width)
        self.keys = nn.Parameter(torch.eye(self.size, width))
        self.queries = nn.Parameter(torch.eye(self.size))
        self.share = nn.Parameter(-torch.arange(_NEWEST).float())
        self.of_state = nn.Linear(state_size, _NEWEST + 1)
        self.gain = nn.Parameter(torch.tensor(_GAIN).log())

    def reset(self) -> None:
        """Begin without the state: every history alike."""
        nn.init.zeros_(self.of_state.weight)
        nn.init.zeros_(self.of_state.bias)

    def items(self, text: Tensor) -> Tensor:
        """(n, D) comparable text vectors to (n, size) of length 1; zeros stay."""
        return F.normalize(text @ self.keys.T, dim=-1)

    def forward(self, newest: Tensor, known: Tensor, states: Tensor) -> Tensor:
        """(..., size): what to hold against the vectors of candidates.

        Args:
            newest: (..., newest events, size) vectors of :meth:`items`, the newest first.
            known: (..., newest events) whether there is an event.
            states: (..., d) of the encoder.
        """
        told = self.of_state(states)
        share = (self.share + told[..., :-1]).masked_fill(~known, -1e4).softmax(-1)
        query = torch.einsum("...n,...nd->...d", share * known, newest) @ self.queries.T
        wanted: Tensor = query * (self.gain + told[..., -1:]).exp()
        return wanted


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
