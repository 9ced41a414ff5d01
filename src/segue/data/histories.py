"""Histories as flat arrays: one offsets array, and one value per event in each other array.

A history is one user's events in time order. Row ``u`` of the arrays is ``offsets[u]:offsets[u + 1]``.
When the rows are users of a vocabulary, row 0 is the empty history of whoever is unknown.
No Python object exists per event or per user.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Histories:
    """Ragged rows of item codes and timestamps.

    Attributes:
        offsets: int64, rows + 1 values, starting at 0.
        items: int64 item codes, one per event.
        timestamps: int64, one per event; absent for histories given as bare lists of items.
    """

    offsets: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Events per row."""
        return np.diff(self.offsets)

    @classmethod
    def from_rows(
        cls, rows: np.ndarray, items: np.ndarray, count: int, timestamps: np.ndarray | None = None
    ) -> Histories:
        """From events sorted by row number (0 to ``count`` - 1)."""
        offsets = np.zeros(count + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=count), out=offsets[1:])
        return cls(offsets, items, timestamps)

    def row(self, number: int) -> np.ndarray:
        """Item codes of one row."""
        return self.items[self.offsets[number] : self.offsets[number + 1]]

    def rows(self) -> np.ndarray:
        """The row number of every event."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def take(self, rows: np.ndarray, last: int | None = None) -> Histories:
        """Some rows in the order given, each cut to its ``last`` events."""
        starts, ends = self.offsets[rows], self.offsets[np.asarray(rows) + 1]
        if last is not None:
            starts = np.maximum(starts, ends - last)
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(ends - starts, out=offsets[1:])
        index = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
        stamps = None if self.timestamps is None else self.timestamps[index]
        return Histories(offsets, self.items[index], stamps)

    def known(self) -> Histories:
        """Without code 0, which marks items that are not in the vocabulary."""
        keep = self.items > 0
        if keep.all():
            return self
        stamps = None if self.timestamps is None else self.timestamps[keep]
        return Histories.from_rows(self.rows()[keep], self.items[keep], len(self), stamps)


def repeat_share(histories: Histories) -> float:
    """The share of events on an item that the same user had before, among events that had any before them."""
    rows, items = histories.rows(), histories.items
    if not len(items):
        return 0.0
    pair = rows * (int(items.max()) + 1) + items
    later = len(items) - int((histories.lengths > 0).sum())
    return (len(items) - len(np.unique(pair))) / later if later else 0.0
