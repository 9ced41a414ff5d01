"""The item tower: item codes to item vectors, from ids, from attributes and from text that a catalogue gives."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.nn.likeness import Likeness
from segue.nn.text_path import TextPath

ID_STD = 0.02


@dataclass(frozen=True)
class Bags:
    """What is known of each item, as rows of one table of embeddings; the arrays of ``segue.data.attributes``.

    Attributes:
        offsets: (catalogue + 2,) where the rows of each item begin; row 0 of the catalogue is padding and has none.
        rows: (entries,) rows of the table.
        weights: (entries,) what each counts for; those of one feature of one item add up to 1.
        sizes: rows of the table per feature, one feature after the other.
    """

    offsets: np.ndarray
    rows: np.ndarray
    weights: np.ndarray
    sizes: tuple[int, ...]


class ItemTower(nn.Module):
    """One vector per item: a learned one of its own, the mean vector of its values for each feature, and its text's.

    With a ``likeness`` the vectors to score against go on with its vectors of text, which are not read as input.

    The same vectors are read as input (scaled by sqrt(d), Vaswani et al., 2017) and scored against as output, so they
    are made once per step by :meth:`vectors` and handed to both. Row 0 is padding and stays zero.

    Args:
        catalogue: number of items.
        size: d.
        bags: attributes of the items; None leaves ids alone.
        id_dropout: share of the items whose own vector is hidden in a training step, so that attributes and text learn
            to speak for an item alone. Only with ``bags`` or ``text``.
        text: what a language model says of the items, projected to d; None leaves it out.
        likeness: holds text against that of the newest items; None leaves it out.
        known: (catalogue + 1,) which items there are events of. The others have no vector of their own where
            attributes or text speak for them: nothing would teach it but that it is never the next item.
    """

    def __init__(
        self,
        catalogue: int,
        size: int,
        bags: Bags | None = None,
        id_dropout: float = 0.0,
        text: TextPath | None = None,
        likeness: Likeness | None = None,
        known: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.ids = nn.Embedding(catalogue + 1, size, padding_idx=0)
        self.scale = math.sqrt(size)
        described = bags is not None or text is not None
        self.id_dropout = id_dropout if described else 0.0
        self.sizes = bags.sizes if bags is not None else ()
        self.text, self.likeness = text, likeness
        everything = np.ones(catalogue + 1, dtype=bool)
        self.register_buffer("known", torch.from_numpy(everything if known is None or not described else known))
        if bags is None:
            return
        # All attributes of an item together begin at the scale of its own vector.
        spread = float(np.square(bags.weights).sum()) / max(catalogue, 1)
        self.attributes = nn.Parameter(torch.empty(sum(bags.sizes), size).normal_(std=ID_STD / math.sqrt(spread)))
        for name in ("offsets", "rows", "weights"):
            array = getattr(bags, name).astype(np.float32 if name == "weights" else np.int64)
            self.register_buffer(name, torch.from_numpy(array), persistent=False)

    def forward(self, items: Tensor, vectors: Tensor | None = None) -> Tensor:
        """(..., ) item codes to (..., d) input vectors; ``vectors`` are those of :meth:`vectors`, made when None."""
        table = self.vectors() if vectors is None else vectors
        return F.embedding(items, table[:, : self.ids.embedding_dim], padding_idx=0) * self.scale

    def like(self, newest: Tensor, vectors: Tensor | None = None) -> Tensor:
        """(..., size): what a history is like, to be held against the end of the items' vectors.

        Args:
            newest: (..., newest events) item codes, 0 for none.
            vectors: as for :meth:`forward`.
        """
        assert self.likeness is not None
        table = self.vectors() if vectors is None else vectors
        read = F.embedding(newest, table[:, self.ids.embedding_dim :])
        like: Tensor = self.likeness(read, newest > 0)
        return like

    def vectors(self, bank: Tensor | None = None) -> Tensor:
        """(catalogue + 1, d), or longer with a likeness: what hidden states are scored against.

        Args:
            bank: (catalogue + 1, D) comparable vectors of text to use instead of the text path's own.
        """
        own = self.ids.weight
        if not self.sizes and self.text is None:
            return own
        alone = ~self.get_buffer("known")[:, None]
        alone[0] = False
        if self.training and self.id_dropout:
            alone[1:] |= torch.rand(len(own) - 1, 1, device=own.device) < self.id_dropout
        own = own.masked_fill(alone, 0.0)
        if self.sizes:
            own = own + self._summed(self.get_buffer("weights"))
        if self.text is None:
            return own
        bank = self.text.get_buffer("bank") if bank is None else bank
        own = own + self.text(alone, bank)
        if self.likeness is None:
            vectors: Tensor = own
            return vectors
        return torch.cat([own, self.likeness.items(bank, alone)], dim=1)

    def without(self, feature: int) -> Tensor:
        """(catalogue + 1, d): the vectors with what one feature adds replaced by its mean over the items."""
        first = sum(self.sizes[:feature])
        rows = self.get_buffer("rows")
        its = (rows >= first) & (rows < first + self.sizes[feature])
        added = self._summed(self.get_buffer("weights") * its)[1:]
        vectors = self.vectors().clone()
        vectors[1:, : self.ids.embedding_dim] += added.mean(0) - added
        return vectors

    def _summed(self, weights: Tensor) -> Tensor:
        return F.embedding_bag(
            self.get_buffer("rows"),
            self.attributes,
            self.get_buffer("offsets"),
            mode="sum",
            per_sample_weights=weights,
            include_last_offset=True,
        )
