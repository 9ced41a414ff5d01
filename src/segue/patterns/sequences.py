"""Histories as sequences of symbols: what every miner of this room reads.

A symbol is an item, a kind of action, both together, or a category of the item, at a level of its taxonomy where it has
levels. An event with several categories has several symbols at one place, and so have events of one moment where ties
count as together. What is counted over sequences is left to the miners.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from segue.data.attribute_columns import category_entries
from segue.data.dataset import Dataset
from segue.data.frames import FrameKind
from segue.data.histories import Histories
from segue.errors import SymbolsMissing, nearest

PATH = ">"
"""Between the levels of a taxonomy: ``"Home > Kitchen > Pans"``."""
OWN = ("item", "action", "action+item")


@dataclass(frozen=True, eq=False)
class Sequences:
    """Flat rows of symbols in time order.

    Attributes:
        offsets: (rows + 1,) int64; row ``u`` is ``offsets[u]:offsets[u + 1]``. Empty rows may be there.
        symbols: (entries,) int32 codes from 1.
        places: (entries,) int32, the number of the event within its row, from 0 and never falling; one event has
            several entries where it has several symbols. A pattern's next symbol stands at a later place.
        times: (entries,) int64 microseconds, or None where the log knows order alone.
        labels: (symbols + 1,) the external name of each code; entry 0 stands for none. A struct of ``action`` and
            ``item_id`` where both together are a symbol.
        frame_kind: the kind of frame that results go back as.
        of: what a symbol is, as the user said it.
        sets: whether the symbols of one place form one element of a pattern; see :meth:`with_sets`.
    """

    offsets: np.ndarray
    symbols: np.ndarray
    places: np.ndarray
    times: np.ndarray | None
    labels: pl.Series
    frame_kind: FrameKind = "polars"
    of: str = "item"
    sets: bool = False

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def size(self) -> int:
        """One more than the highest code."""
        return len(self.labels)

    @property
    def users(self) -> int:
        """Rows that have anything."""
        return int((np.diff(self.offsets) > 0).sum())

    def rows(self) -> np.ndarray:
        """The row number of every entry."""
        return np.repeat(np.arange(len(self)), np.diff(self.offsets))

    def keep(self, entries: np.ndarray) -> Sequences:
        """All rows with some of their entries, told by a mask."""
        if entries.all():
            return self
        offsets = np.concatenate([[0], np.cumsum(entries)])[self.offsets]
        times = None if self.times is None else self.times[entries]
        return replace(self, offsets=offsets, symbols=self.symbols[entries], places=self.places[entries], times=times)

    def with_sets(self) -> Sequences:
        """The same with itemsets as elements: symbols of one place in the order of their codes, each once."""
        rows = self.rows()
        order = np.lexsort((self.symbols, self.places, rows))
        keys = np.stack([rows[order], self.places[order], self.symbols[order]])
        first = np.ones(len(order), dtype=bool)
        first[1:] = (keys[:, 1:] != keys[:, :-1]).any(0)
        times = None if self.times is None else self.times[order]
        ordered = replace(self, symbols=self.symbols[order], places=self.places[order], times=times, sets=True)
        return ordered.keep(first)

    def take(self, rows: np.ndarray) -> Sequences:
        """Some rows, in the order given."""
        starts, ends = self.offsets[rows], self.offsets[np.asarray(rows) + 1]
        offsets = np.concatenate([[0], np.cumsum(ends - starts)])
        index = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], ends - starts)
        times = None if self.times is None else self.times[index]
        return replace(self, offsets=offsets, symbols=self.symbols[index], places=self.places[index], times=times)


def sequences(data: Dataset, of: str = "item", level: int | None = None, ties: str = "log") -> Sequences:
    """The histories of a log as symbols.

    Args:
        of: ``"item"``, ``"action"``, ``"action+item"``, or a column of the catalogue, such as ``"brand"``.
        level: of a column whose values are paths (``"Home > Kitchen > Pans"``): how many levels count. None: all.
        ties: events of one moment follow each other as the ``"log"`` has them, or are ``"together"``.

    Raises:
        SymbolsMissing: the log has no actions, or the catalogue no such column.
    """
    histories = data.histories
    places = np.arange(len(histories.items)) - np.repeat(histories.offsets[:-1], histories.lengths)
    times = histories.timestamps if data.clock == "time" else None
    if ties == "together" and histories.timestamps is not None and len(histories.items):
        places = _together(histories)
    made = Sequences(histories.offsets, histories.items, places.astype(np.int32), times, _item_labels(data))
    made = replace(made, frame_kind=data.frame_kind, of=of)
    if of in ("action", "action+item"):
        made = _with_actions(made, data, histories, of)
    elif of != "item":
        made = _with_categories(made, data, of, level)
    return replace(made, symbols=made.symbols.astype(np.int32)).keep(made.symbols > 0)


def _together(histories: Histories) -> np.ndarray:
    """Places where events of one row and moment share one."""
    assert histories.timestamps is not None
    rows = histories.rows()
    later = np.ones(len(rows), dtype=np.int64)
    later[1:] = (rows[1:] != rows[:-1]) | (histories.timestamps[1:] != histories.timestamps[:-1])
    steps = np.cumsum(later)
    firsts = steps[np.minimum(histories.offsets[:-1], len(steps) - 1)]
    return np.asarray(steps - np.repeat(firsts, histories.lengths))


def _item_labels(data: Dataset) -> pl.Series:
    ids = data.item_vocabulary.ids
    return pl.concat([pl.Series("pattern", [None], dtype=ids.dtype), ids.alias("pattern")])


def _with_actions(made: Sequences, data: Dataset, histories: Histories, of: str) -> Sequences:
    if histories.actions is None:
        raise SymbolsMissing(of=of, reason="the log has no column action", hint="")
    actions = histories.actions.astype(np.int64)
    names = pl.Series("pattern", [None, *data.action_names], dtype=pl.String)
    if of == "action":
        return replace(made, symbols=actions, labels=names)
    pairs = actions * len(made.labels) + made.symbols
    kinds, symbols = np.unique(pairs, return_inverse=True)
    struct = pl.DataFrame(
        {"action": names.gather(kinds // len(made.labels)), "item_id": made.labels.gather(kinds % len(made.labels))}
    ).to_struct("pattern")
    labels = pl.concat([pl.Series("pattern", [None], dtype=struct.dtype), struct])
    # What was done is part of the symbol; where it is not known there is none.
    return replace(made, symbols=np.where(actions > 0, symbols + 1, 0), labels=labels)


def _with_categories(made: Sequences, data: Dataset, of: str, level: int | None) -> Sequences:
    columns = [] if data.items is None else [name for name in data.items.columns if name != "item_id"]
    if data.items is None or of not in columns:
        known = [*OWN, *columns]
        reason = "there is no catalogue" if data.items is None else "the catalogue has no such column"
        raise SymbolsMissing(of=of, reason=reason, hint=nearest(of, known))
    column = data.items[of]
    entries = category_entries(column)
    values = entries["value"]
    if level is not None:
        parts = values.str.split(PATH).list.head(level).list.eval(pl.element().str.strip_chars())
        entries = entries.with_columns(parts.list.join(f" {PATH} ").alias("value")).unique(maintain_order=True)
        values = entries["value"]
    items = data.item_vocabulary.encode(data.items["item_id"])[entries["row"].to_numpy()]
    names = values.unique(maintain_order=True)
    codes = values.cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int64) + 1
    order = np.argsort(items, kind="stable")
    items, codes = items[order], codes[order]
    first = np.searchsorted(items, np.arange(len(data.item_vocabulary) + 2))
    count = np.diff(first)[made.symbols]
    index = np.arange(count.sum()) + np.repeat(first[made.symbols] - np.cumsum(count) + count, count)
    return Sequences(
        offsets=np.concatenate([[0], np.cumsum(count)])[made.offsets],
        symbols=codes[index],
        places=np.repeat(made.places, count),
        times=None if made.times is None else np.repeat(made.times, count),
        labels=pl.concat([pl.Series("pattern", [None], dtype=pl.String), names.alias("pattern")]),
        frame_kind=made.frame_kind,
        of=made.of,
    )
