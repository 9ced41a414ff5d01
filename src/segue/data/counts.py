"""Counts of items as they stood at any moment of a log: how many events there had been, old ones fading.

Causal by construction: at moment t only events strictly before t count. One sweep over the events in time order
answers any number of moments; one alone is summed at once. What is held is items x half-lives. What to make of the
counts is left to the callers.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segue.data.histories import UNKNOWN_TIME

_NEVER = np.iinfo(np.int64).max
_MAX_EXPONENT = 500.0  # half-lives between a base and a moment; float64 ends at 1,024
_AT_ONCE = 1_000_000  # events that are summed for one moment; the end of a log is worth any number


@dataclass
class _Cursor:
    """Where a sweep stands: events before ``place`` are counted.

    ``counts[item, level]`` is in units of an event at ``base[level]``: events and moments after it change no other row.
    """

    counts: np.ndarray
    base: np.ndarray
    moment: int
    place: int = 0


class CountsOverTime:
    """Item counts of a log at moments; an event that is one half-life old counts a half.

    Args:
        stamps, items: (events,) int64 moments and item codes, in any order.
        catalogue: number of items.
        half_lives: in the unit of ``stamps``; ``inf`` counts every event in full.

    Attributes:
        end: the first moment at which every event of the log counts.
        first: (catalogue + 1,) the moment of each item's first event, the largest int64 where there is none.
    """

    def __init__(self, stamps: np.ndarray, items: np.ndarray, catalogue: int, half_lives: np.ndarray) -> None:
        order = np.argsort(stamps, kind="stable")
        self._stamps = np.ascontiguousarray(stamps[order], dtype=np.int64)
        self._items = np.ascontiguousarray(items[order], dtype=np.int64)
        self.rows, self.half_lives = catalogue + 1, np.asarray(half_lives, dtype=np.float64)
        self.end = int(self._stamps[-1]) + 1 if len(stamps) else 0
        self._cursor: _Cursor | None = None
        self._lock = threading.Lock()

    @cached_property
    def first(self) -> np.ndarray:  # noqa: D102 - among the attributes
        found = np.full(self.rows, _NEVER, dtype=np.int64)
        np.minimum.at(found, self._items, self._stamps)
        return found

    def told(self, moments: np.ndarray) -> np.ndarray:
        """The moments, with ``end`` where one is unknown or later: nothing more is known then."""
        return np.where(moments == UNKNOWN_TIME, self.end, np.minimum(moments, self.end))

    def at(self, moments: np.ndarray, items: np.ndarray | None = None) -> np.ndarray:
        """Counts as they stood just before each moment.

        Args:
            moments: (n,) int64, in any order; neighbouring calls are cheap when they go forward in time.
            items: (m,) codes, all by default; code 0 is the sum over all items.

        Returns:
            (n, m, half-lives) float32.
        """
        wanted = np.arange(self.rows) if items is None else np.asarray(items, dtype=np.int64)
        moments = self.told(np.asarray(moments, dtype=np.int64))
        found, back = np.unique(moments, return_inverse=True)
        if len(found) == 1 and (found[0] == self.end or len(self._items) <= _AT_ONCE):
            return np.repeat(self._at_one(int(found[0]))[wanted][None], len(moments), axis=0)
        out = np.empty((len(found), len(wanted), len(self.half_lives)), dtype=np.float32)
        if len(found):
            cursor = self._taken(int(found[0]))
            for number, (moment, stop) in enumerate(zip(found, np.searchsorted(self._stamps, found), strict=True)):
                fading = self._advance(cursor, int(moment), int(stop))
                np.multiply(cursor.counts if items is None else cursor.counts[wanted], fading, out=out[number])
            cursor.moment = int(found[-1])
            with self._lock:
                self._cursor = cursor
        return out if np.array_equal(back, np.arange(len(found))) else out[back]

    def _advance(self, cursor: _Cursor, moment: int, stop: int) -> np.ndarray:
        """Add the events up to ``stop``, all before ``moment``; returns (half-lives,) factors of the counts at it."""
        exponents = (moment - cursor.base) / self.half_lives
        far = exponents > _MAX_EXPONENT
        if far.any():
            cursor.counts[:, far] *= np.exp2(-exponents[far])
            cursor.base[far], exponents[far] = moment, 0.0
        if stop > cursor.place:
            events = slice(cursor.place, stop)
            weights = np.exp2((self._stamps[events, None] - cursor.base) / self.half_lives)
            np.add.at(cursor.counts, self._items[events], weights)
            cursor.counts[0] += weights.sum(0)
            cursor.place = stop
        return np.exp2(-exponents)

    def _at_one(self, moment: int) -> np.ndarray:
        """(rows, half-lives) float32 at one moment, from all events before it at once."""
        before = int(np.searchsorted(self._stamps, moment))
        items, ages = self._items[:before], moment - self._stamps[:before]
        found = np.empty((self.rows, len(self.half_lives)), dtype=np.float32)
        for level, half_life in enumerate(self.half_lives):
            counts = np.bincount(items, np.exp2(-ages / half_life), self.rows)
            counts[0] = counts.sum()
            found[:, level] = counts
        return found

    def _taken(self, moment: int) -> _Cursor:
        """The cursor of the call before, when it is not past the moment; nobody else holds it meanwhile."""
        with self._lock:
            cursor, self._cursor = self._cursor, None
        if cursor is None or cursor.moment > moment:
            start = self._stamps[0] if len(self._stamps) else 0
            counts = np.zeros((self.rows, len(self.half_lives)))
            cursor = _Cursor(counts, np.full(len(self.half_lives), start, dtype=np.int64), moment)
        return cursor
