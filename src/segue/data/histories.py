"""Histories as flat arrays: one offsets array, and one value per event in each other array.

A history is one user's events in time order. Row ``u`` of the arrays is ``offsets[u]:offsets[u + 1]``.
When the rows are users of a vocabulary, row 0 is the empty history of whoever is unknown.
No Python object exists per event or per user.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

UNKNOWN_TIME = np.iinfo(np.int64).min
"""Stands where the moment of a request is not known."""
_PER_EVENT = ("items", "timestamps", "actions", "values")
_PER_ROW = ("at", "wanted")


@dataclass(frozen=True)
class Histories:
    """Ragged rows of events.

    Attributes:
        offsets: int64, rows + 1 values, starting at 0.
        items: int64 item codes, one per event.
        timestamps: int64, one per event; absent for histories given as bare lists of items.
        actions: int64 codes of what was done (0 unknown), one per event; absent where the log has none.
        values: float32 (rating, price, ...), NaN where there is none, one per event; absent where the log has none.
        at: int64, one per row: the moment it is asked about (``UNKNOWN_TIME`` where that is not said).
        wanted: int64, one per row: the code of the action that is asked about, 0 for any.
    """

    offsets: np.ndarray
    items: np.ndarray
    timestamps: np.ndarray | None = None
    actions: np.ndarray | None = None
    values: np.ndarray | None = None
    at: np.ndarray | None = None
    wanted: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """Events per row."""
        return np.diff(self.offsets)

    @classmethod
    def from_rows(cls, rows: np.ndarray, items: np.ndarray, count: int, **columns: np.ndarray | None) -> Histories:
        """From events sorted by row number (0 to ``count`` - 1); ``columns`` are the other attributes."""
        offsets = np.zeros(count + 1, dtype=np.int64)
        np.cumsum(np.bincount(rows, minlength=count), out=offsets[1:])
        return cls(offsets, items, **columns)

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
        return Histories(offsets, **self._gathered(index, _PER_EVENT), **self._gathered(rows, _PER_ROW))

    def keep(self, events: np.ndarray) -> Histories:
        """All rows with some of their events, told by a mask over all events."""
        if events.all():
            return self
        offsets = np.concatenate([[0], np.cumsum(events)])[self.offsets]
        return replace(self, offsets=offsets, **self._gathered(events, _PER_EVENT))

    def known(self) -> Histories:
        """Without code 0, which marks items that are not in the vocabulary."""
        return self.keep(self.items > 0)

    def repeats(self) -> np.ndarray:
        """(events,) which agree with an earlier event of their row in every column; values that are NaN agree."""
        values = None if self.values is None else np.nan_to_num(self.values, nan=np.inf)
        optional = (self.timestamps, self.actions, values)
        columns = [self.items, self.rows(), *(column for column in optional if column is not None)]
        order = np.lexsort(columns)  # stable, so the first of equals stays first
        same = np.logical_and.reduce([column[order[1:]] == column[order[:-1]] for column in columns])
        repeated = np.zeros(len(order), dtype=bool)
        repeated[order[1:]] = same
        return repeated

    def of_the_kind_wanted(self) -> Histories:
        """Rows that are asked about one kind of action with their events of that kind alone; others as they are."""
        if self.wanted is None or self.actions is None:
            return self
        wanted = np.repeat(self.wanted, self.lengths)
        return self.keep((wanted == 0) | (self.actions == wanted))

    def asked(self, at: np.ndarray | None = None, wanted: np.ndarray | None = None) -> Histories:
        """The same rows asked about other moments and actions; events after the moment are left out.

        What happens at the very moment stays: a request is made by what has just been done.
        """
        rows = replace(self, at=at, wanted=wanted)
        if at is None or self.timestamps is None:
            return rows
        told = np.where(at == UNKNOWN_TIME, np.iinfo(np.int64).max, at)
        return rows.keep(self.timestamps <= np.repeat(told, self.lengths))

    def arrays(self) -> tuple[np.ndarray | None, ...]:
        """All columns in a fixed order, for a signature."""
        return (self.offsets, *(getattr(self, name) for name in (*_PER_EVENT, *_PER_ROW)))

    def _gathered(self, index: np.ndarray, names: tuple[str, ...]) -> dict[str, Any]:
        columns = {name: getattr(self, name) for name in names}
        return {name: None if column is None else column[index] for name, column in columns.items()}


def repeat_share(histories: Histories) -> float:
    """The share of events on an item that the same user had before, among events that had any before them."""
    rows, items = histories.rows(), histories.items
    if not len(items):
        return 0.0
    pair = rows * (int(items.max()) + 1) + items
    later = len(items) - int((histories.lengths > 0).sum())
    return (len(items) - len(np.unique(pair))) / later if later else 0.0
