"""Sliding windows: what people do in events that follow each other directly (n-grams of items, categories or actions).

A window is a run of neighbouring places of one history. Where several symbols stand at one place (an item of several
categories, events of one moment taken together) each choice of one symbol per place is a pattern of the window. An
event without a symbol (an item without a category) stands in between: no window reaches over it. Patterns with other
events in between are left to the sequential miner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from segue import progress as bars
from segue.data.dataset import as_dataset
from segue.data.frames import from_polars
from segue.errors import ConstraintsContradict, NoClock
from segue.patterns.counting import by_label, need_choice, need_whole, numbered, pattern_column, stretches
from segue.patterns.sequences import Sequences, sequences
from segue.patterns.spans import Span, microseconds
from segue.patterns.support import least_users

TIES = ("log", "together")


def windows(
    events: Any,
    items: Any = None,
    *,
    of: str = "item",
    level: int | None = None,
    min_length: int = 2,
    max_length: int = 3,
    within: Span | None = None,
    min_support: float = 2,
    ties: str = "log",
    progress: bool = True,
) -> Any:
    """Patterns of events that follow each other directly, with how often and by how many users.

    Args:
        events, items: a data set, or frames or files as ``Dataset`` reads them.
        of, level: what a symbol is, see :func:`segue.patterns.sequences.sequences`.
        min_length, max_length: events in a window.
        within: the longest time from the first event of a window to its last (``"7d"``, ``"12h"``, a timedelta, days).
        min_support: the fewest users: a share of those with any symbol (a float up to 1), or a whole number.
        ties: events of one moment follow each other as the ``"log"`` has them, or are ``"together"`` at one place.
        progress: whether to show a bar.

    Returns:
        A frame of the kind that came in: ``pattern`` (list of labels), ``length``, ``count`` (windows that have it),
        ``support`` (users that have it), ``users_share`` (of the users with any symbol) and ``lift``: ``count`` over
        the count expected were the symbols of a window independent, ``windows x share(s1) x ... x share(sn)``, with
        ``windows`` the number of windows of that length and ``share(s)`` the share of all places that have ``s``. By
        support, then count, both falling, then pattern.

    Raises:
        SymbolsMissing, SupportUnusable, SpanUnreadable, CountUnusable, ChoiceUnknown: a value that cannot be used.
        ConstraintsContradict: ``min_length`` is above ``max_length``.
        NoClock: ``within`` of a log whose timestamps are an order alone.
    """
    least, most = need_whole("min_length", min_length), need_whole("max_length", max_length)
    need_choice("ties", ties, TIES)
    if least > most:
        raise ConstraintsContradict(reason=f"min_length is {least} and max_length {most}")
    span = None if within is None else microseconds(within)
    data = as_dataset(events, items)
    if span is not None and data.clock != "time":
        raise NoClock(what="within=")
    made = sequences(data, of=of, level=level, ties=ties)
    places = _Places.of(made)
    found = places.patterns(least, most, span, least_users(min_support, made.users), progress)
    support, count, lift, codes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    order = np.lexsort((*by_label(made.labels, codes), -count, -support))
    frame = pl.DataFrame(
        {
            "pattern": pattern_column(made.labels, codes[order]),
            "length": (codes[order] > 0).sum(axis=1),
            "count": count[order],
            "support": support[order],
            "users_share": support[order] / max(made.users, 1),
            "lift": lift[order],
        }
    )
    return from_polars(frame, made.frame_kind)


@dataclass(frozen=True)
class _Places:
    """Places that have a symbol, over all rows in order, and the symbols at each, every one once.

    Attributes:
        rows, times: (places,) the row and the moment of each; moments are 0 where there is no clock.
        follows: (places,) whether the next place stands directly after.
        first: (places + 1,) where the symbols of each place begin.
        symbols: (entries,) codes.
        size: one more than the highest code.
    """

    rows: np.ndarray
    times: np.ndarray
    follows: np.ndarray
    first: np.ndarray
    symbols: np.ndarray
    size: int

    @classmethod
    def of(cls, made: Sequences) -> _Places:
        rows, numbers = made.rows(), made.places
        fresh = np.ones(len(rows), dtype=np.bool_)
        fresh[1:] = (rows[1:] != rows[:-1]) | (numbers[1:] != numbers[:-1])
        keys = np.unique((np.cumsum(fresh) - 1) * made.size + made.symbols)
        rows, numbers = rows[fresh], numbers[fresh]
        follows = np.zeros(len(rows), dtype=np.bool_)
        follows[:-1] = (rows[1:] == rows[:-1]) & (numbers[1:] == numbers[:-1] + 1)
        times = np.zeros(len(rows), dtype=np.int64) if made.times is None else made.times[fresh]
        first = np.searchsorted(keys // made.size, np.arange(len(rows) + 1))
        return cls(rows, times, follows, first, keys % made.size, made.size)

    def patterns(
        self, shortest: int, longest: int, span: int | None, least: int, progress: bool
    ) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Support, count, lift and codes (padded by 0 to ``longest``) of the frequent patterns of each length."""
        share = np.bincount(self.symbols, minlength=self.size) / max(len(self.rows), 1)
        ids = np.zeros(len(self.rows), dtype=np.int64)  # of the pattern of each occurrence; the empty one at first
        starts = np.arange(len(self.rows))  # the place where each occurrence begins
        alive = np.ones(len(self.rows), dtype=np.bool_)  # places where a window of this length begins
        codes = np.zeros((1, longest), dtype=np.int64)
        found = []
        for length in bars.track(range(1, longest + 1), "Counting windows", longest, progress):
            if length > 1:
                self._lengthen(alive, length, span)
                kept = alive[starts]
                ids, starts = ids[kept], starts[kept]
            ends = starts + length - 1
            counts = self.first[ends + 1] - self.first[ends]
            keys = np.repeat(ids, counts) * self.size + self.symbols[stretches(self.first[ends], counts)]
            starts = np.repeat(starts, counts)
            pairs = numbered(keys, self.rows[starts])
            # A longer pattern has no more users than its beginning.
            frequent = pairs.support >= least
            ids = (np.cumsum(frequent) - 1)[pairs.numbers]
            kept = frequent[pairs.numbers]
            ids, starts = ids[kept], starts[kept]
            codes = codes[pairs.keys[frequent] // self.size]
            codes[:, length - 1] = pairs.keys[frequent] % self.size
            support, count = pairs.support[frequent], pairs.count[frequent]
            expected = alive.sum() * share[codes[:, :length]].prod(axis=1)
            if length >= shortest:
                found.append((support, count, count / expected, codes))
        return found

    def _lengthen(self, alive: np.ndarray, length: int, span: int | None) -> None:
        """Leave alive the places where a window of this length begins, one longer than before."""
        begin = np.flatnonzero(alive)
        kept = self.follows[begin + length - 2]
        begin, broken = begin[kept], begin[~kept]
        alive[broken] = False
        if span is not None:
            alive[begin[self.times[begin + length - 1] - self.times[begin] > span]] = False
