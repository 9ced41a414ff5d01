"""A small correction of a model's head: what goes with the newest items of a history now, beyond what was learnt.

Where a model has item vectors v, an item's score moves by ``v . A(B h)``, with h the mean of the newest items' vectors,
the newest counting most. Rank, and so what can be learnt, is small. h stands for the encoder's state: it is there for
every model with vectors and costs no second pass through an encoder. Steps are ``steps``'.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segue.data.histories import Histories
from segue.recommenders.base import Recommender

_NEWEST, _OLDER = 5, 0.7
_WIDEST = 1_024  # vectors beyond it are weights of a linear model, not a space to correct in


@dataclass(frozen=True)
class ItemSpace:
    """Item vectors, scaled to coordinates of size 1 on average.

    Attributes:
        vectors: (catalogue + 1, d) float32; row 0 is zeros.
    """

    vectors: np.ndarray

    @classmethod
    def of(cls, recommender: Recommender) -> ItemSpace | None:
        """None where the model has no vectors, or too wide ones."""
        read = getattr(recommender, "item_vectors", None)
        codes = np.arange(len(recommender.item_vocabulary) + 1)
        if not callable(read) or (one := read(codes[1:2])) is None or one.shape[1] > _WIDEST:
            return None
        vectors = np.array(read(codes), dtype=np.float32)
        vectors[0] = 0
        size = np.sqrt(np.mean(vectors[1:] * vectors[1:]))
        return cls(vectors / size) if size > 0 else None

    @property
    def width(self) -> int:
        """Coordinates of a vector."""
        return int(self.vectors.shape[1])

    def inputs(self, histories: Histories) -> np.ndarray:
        """(rows, d) float32 of length sqrt(d), or zeros for a history without items."""
        newest = histories.take(np.arange(len(histories)), last=_NEWEST)
        rows = newest.rows()
        age = newest.offsets[rows + 1] - 1 - np.arange(len(rows))
        found = np.zeros((len(histories), self.width), dtype=np.float32)
        np.add.at(found, rows, self.vectors[newest.items] * (np.float32(_OLDER) ** age)[:, None].astype(np.float32))
        length = np.sqrt((found * found).sum(1, keepdims=True))
        scaled: np.ndarray = found * (np.float32(np.sqrt(self.width)) / np.maximum(length, np.float32(1e-6)))
        return scaled


@dataclass(frozen=True)
class Head:
    """A and B, with AdaGrad's sums of each; ``rank`` may be 0, which is none.

    Attributes:
        up, down: (d, rank) and (rank, d) float32.
        up_squares, down_squares: the same shapes.
    """

    up: np.ndarray
    down: np.ndarray
    up_squares: np.ndarray
    down_squares: np.ndarray

    @classmethod
    def fresh(cls, width: int, rank: int, caution: float) -> Head:
        """No correction: A is zeros, B is fixed noise."""
        down = np.random.default_rng(0).normal(size=(rank, width)).astype(np.float32) / np.float32(
            np.sqrt(max(width, 1))
        )
        up = np.zeros((width, rank), dtype=np.float32)
        return cls(up, down, np.full_like(up, caution), np.full_like(down, caution))

    @property
    def learns(self) -> bool:
        """Whether there is anything to it."""
        return bool(self.up.size)

    def states(self, inputs: np.ndarray) -> np.ndarray:
        """(rows, d): A(B h), over sqrt(d); its product with an item's vector is in spreads."""
        states: np.ndarray = (inputs @ self.down.T) @ self.up.T / np.float32(np.sqrt(max(self.up.shape[0], 1)))
        return states

    def stepped(self, inputs: np.ndarray, pulls: np.ndarray, rate: float, norm: float) -> Head:
        """After a step of AdaGrad; ``pulls`` (rows, d) are the gradients of the states."""
        pulls = pulls / np.float32(np.sqrt(self.up.shape[0]))
        up_pull, down_pull = pulls.T @ (inputs @ self.down.T), (pulls @ self.up).T @ inputs
        up_squares, down_squares = self.up_squares + up_pull**2, self.down_squares + down_pull**2
        up = self.up - np.float32(rate) * up_pull / np.sqrt(up_squares)
        down = self.down - np.float32(rate) * down_pull / np.sqrt(down_squares)
        return Head(_within(up, norm), _within(down, np.sqrt(len(down))), up_squares, down_squares)

    def faded(self, kept: np.float32, caution: float) -> Head:
        """A nearer to zeros, sums nearer to their start."""
        start = np.float32(caution)
        sums = (start + (each - start) * kept for each in (self.up_squares, self.down_squares))
        return Head(self.up * kept, self.down, *sums)


def _within(matrix: np.ndarray, norm: float) -> np.ndarray:
    """Scaled down to a Frobenius norm."""
    length = np.sqrt((matrix * matrix).sum())
    return matrix * (np.float32(norm) / length) if length > norm else matrix
