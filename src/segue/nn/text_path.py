"""The text path of the item tower: vectors of item text, made comparable and projected to the model's size.

Where the vectors come from is left to the caller: they are handed over once, and refreshed while a language model is
tuned.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

Projection = Literal["linear", "mlp"]
_EDGE = 1e-3  # share of the largest variance below which a direction is not blown up


@dataclass(frozen=True, eq=False)
class TextVectors:
    """What a language model says of each item of a catalogue, made comparable: centred, whitened, of one length.

    Attributes:
        vectors: (catalogue + 1, D) float32, each a value of float16; rows of zeros for padding and for items without
            text.
        mean, matrix: (D,) and (D, D): what was subtracted, and what was multiplied with.
        normalise: whether only directions count.
    """

    vectors: np.ndarray
    mean: np.ndarray
    matrix: np.ndarray
    normalise: bool

    @classmethod
    def of(cls, raw: np.ndarray, normalise: bool = True, whiten: bool = True) -> Self:
        """From a language model's vectors, (catalogue + 1, D); rows of zeros stay.

        Whitening (Su et al., 2021) makes all directions equally wide over the catalogue.
        """
        rows = raw[np.abs(raw).any(1)].astype(np.float64)
        width = raw.shape[1]
        mean, matrix = np.zeros(width), np.eye(width)
        if whiten and len(rows) > 1:
            if normalise:
                rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
            mean = rows.mean(0)
            values, directions = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
            values, directions = values[::-1], directions[:, ::-1]  # what tells most stands first
            matrix = directions / np.sqrt(np.maximum(values, _EDGE * max(values.max(), 1e-12)))
        empty = cls(np.zeros((0, width), np.float32), mean.astype(np.float32), matrix.astype(np.float32), normalise)
        return empty.with_items(raw)

    def with_items(self, raw: np.ndarray) -> Self:
        """The same transformation of other items' vectors, (items, D)."""
        mean, matrix = torch.from_numpy(self.mean), torch.from_numpy(self.matrix)
        vectors = comparable(torch.from_numpy(raw.astype(np.float32)), mean, matrix, self.normalise)
        return type(self)(vectors.half().float().numpy(), self.mean, self.matrix, self.normalise)

    def arrays(self) -> dict[str, np.ndarray]:
        """For saving."""
        return {"vectors": self.vectors.astype(np.float16), "mean": self.mean, "matrix": self.matrix}

    @classmethod
    def restored(cls, arrays: dict[str, np.ndarray], normalise: bool) -> Self:
        """From :meth:`arrays`."""
        return cls(arrays["vectors"].astype(np.float32), arrays["mean"], arrays["matrix"], normalise)


def comparable(raw: Tensor, mean: Tensor, matrix: Tensor, normalise: bool) -> Tensor:
    """(n, D): centred and whitened; where directions alone count, of length sqrt(D). Rows of zeros stay."""
    some = raw.abs().amax(-1, keepdim=True) > 0
    x = F.normalize(raw, dim=-1) if normalise else raw
    x = (x - mean) @ matrix
    x = F.normalize(x, dim=-1) * x.shape[-1] ** 0.5 if normalise else x
    return x * some


class TextPath(nn.Module):
    """From vectors of item text to what they add to the item vectors, (catalogue + 1, d); nothing without text.

    Args:
        text: vectors, and how they were made comparable.
        size: d.
        spread: standard deviation of what the path adds at the start of training.
        projection: one matrix (linear), or two with a GELU between them (mlp).
    """

    def __init__(self, text: TextVectors, size: int, spread: float, projection: Projection = "linear") -> None:
        super().__init__()
        width = text.vectors.shape[1]
        self.normalise = text.normalise
        for name, array in (("bank", text.vectors), ("mean", text.mean), ("matrix", text.matrix)):
            self.register_buffer(name, torch.from_numpy(array), persistent=False)
        inner = [nn.Linear(width, 2 * size), nn.GELU()] if projection == "mlp" else []
        self.project = nn.Sequential(*inner, nn.Linear(2 * size if inner else width, size, bias=False))
        self.gain = nn.Parameter(torch.tensor(spread))
        self.instead = nn.Parameter(torch.zeros(size))

    def forward(self, alone: Tensor, vectors: Tensor | None = None) -> Tensor:
        """(n, d) of (n, D) comparable vectors; of the whole ``bank`` when None.

        Args:
            alone: (n, 1) which items have no vector of their own; what such vectors share is added to them.
        """
        x = self.get_buffer("bank") if vectors is None else vectors
        some = x.abs().amax(-1, keepdim=True) > 0
        added: Tensor = self.gain * self.project(x) * some + alone * self.instead
        return added

    def comparable(self, raw: Tensor) -> Tensor:
        """(n, D) vectors as a language model gives them, made comparable as those of the bank were."""
        return comparable(raw, self.get_buffer("mean"), self.get_buffer("matrix"), self.normalise)
