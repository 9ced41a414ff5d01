"""Augmented training windows: the same events cut, thinned, shuffled, turned round, or with similar items among them.

Works on the rows of a :class:`Batch` in numpy, from a generator that the caller seeds. Every tool says, place by place,
which event of the window stands there; one gather then moves all columns together. When batches are augmented, and
whether views are contrasted, is decided in ``training``.

What holds for all tools:

- **The clock goes on.** What was done (item, action, value) moves; moments stay in order at their places.
- **Only what happened is a target.** An item that was put in is read and never predicted, and an order that was made up
  by a shuffle is not learnt. What a window reads but another window learns stays unlearnt.
- **A row keeps at least two events and one target**, or stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from segue.data.batches import Batch
from segue.data.histories import Histories

Tool = Literal["crop", "mask", "reorder", "reverse", "mirror", "substitute", "insert"]

_KEPT = 0.6  # of a row by a crop (CL4SRec's eta)
_DROPPED = 0.3  # of the events by a mask (its gamma)
_SHUFFLED = 0.3  # of a row by a reorder (its beta)
_REPLACED = 0.2  # of the events substituted, or followed by an inserted one
_PAIRS = 5_000_000  # neighbouring events that are counted for similar items, spread evenly over the log


@dataclass(frozen=True)
class Similar:
    """The items most often next to each item in training.

    Attributes:
        codes: (catalogue + 1, k) nearest first, 0 where there are fewer.
    """

    codes: np.ndarray

    @classmethod
    def of(cls, histories: Histories, catalogue: int, k: int = 10) -> Similar:
        """Count pairs of consecutive events; the nearest have the largest cosine ``pairs / sqrt(events * events)``.

        Memory is bounded by five million pairs and by catalogue x k.
        """
        codes = np.zeros((catalogue + 1, k), dtype=np.int64)
        items, rows = histories.items, histories.rows()
        first = np.flatnonzero(rows[:-1] == rows[1:])
        first = first[:: max(1, -(-len(first) // _PAIRS))]
        left, right = items[first], items[first + 1]
        apart = (left != right) & (left > 0) & (right > 0)
        left, right = left[apart], right[apart]
        pairs, counts = np.unique(
            np.concatenate([left, right]) * (catalogue + 1) + np.concatenate([right, left]), return_counts=True
        )
        item, other = pairs // (catalogue + 1), pairs % (catalogue + 1)
        events = np.bincount(items, minlength=catalogue + 1).astype(np.float64)
        order = np.lexsort((other, -counts / np.sqrt(events[item] * events[other]), item))
        item, other = item[order], other[order]
        rank = np.arange(len(item)) - np.searchsorted(item, item)
        near = rank < k
        codes[item[near], rank[near]] = other[near]
        return cls(codes)

    def draw(self, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One similar item for each, any shape; 0 where an item has none."""
        found = (self.codes > 0).sum(1)[items]
        return np.where(found > 0, self.codes[items, (rng.random(items.shape) * np.maximum(found, 1)).astype(int)], 0)


@dataclass
class _Rows:
    """Which event of its window stands at each place; all (rows, width) but ``counts``.

    Attributes:
        counts: (rows,) events per row, the last target among them.
        event: whose item, action and value stand here.
        moment: whose moment; past the end of the window it counts on beyond the last event by the mirrored gaps.
        given: the item that is read instead, 0 for the event's own.
        learnt: whether this event is a target.
        width_limit: most events a row may have.
    """

    counts: np.ndarray
    event: np.ndarray
    moment: np.ndarray
    given: np.ndarray
    learnt: np.ndarray
    width_limit: int

    @property
    def inside(self) -> np.ndarray:
        return np.arange(self.event.shape[1]) < self.counts[:, None]

    def gathered(self, source: np.ndarray, counts: np.ndarray) -> _Rows:
        """Rows whose places are filled from these places."""
        event, moment, given, learnt = (
            np.take_along_axis(each, source, 1) for each in (self.event, self.moment, self.given, self.learnt)
        )
        return _Rows(counts, event, moment, given, learnt, self.width_limit)


class Augmenter:
    """Changes a share of the rows of each batch, each by one tool drawn from ``tools``.

    - ``crop``: a contiguous 60 % of the row is kept.
    - ``mask``: 30 % of the events are left out. There is no code for a hidden item, which no request would ever have;
      the target is the next event that is left.
    - ``reorder``: 30 % of the row, before its last event, is shuffled; what stands in there is not a target.
    - ``reverse``: the row backwards, learnt backwards.
    - ``mirror``: the row, then the way back (A B C B A), as far as ``max_length`` has room.
    - ``substitute``: 20 % of the events are read as an item similar to theirs. The target is still what happened.
    - ``insert``: after 20 % of the events a similar one is put in, at the same moment, as far as there is room.

    crop, mask and reorder come from CL4SRec (Xie et al., ICDE 2022), substitute and insert from CoSeRec (Liu et al.,
    2021).

    Args:
        tools: at least one.
        share: of the rows.
        max_length: most inputs per row.
        similar: for substitute and insert.
    """

    def __init__(self, tools: Sequence[Tool], share: float, max_length: int, similar: Similar | None = None) -> None:
        self.tools, self.share, self.max_length, self.similar = tuple(tools), share, max_length, similar

    def __call__(self, batch: Batch, rng: np.random.Generator) -> Batch:
        """Another batch with as many rows; its width may differ."""
        rows = _whole_rows(batch, self.max_length)
        items = _items(batch)
        chosen = np.where(
            rng.random(len(rows.counts)) < self.share, rng.integers(len(self.tools), size=len(rows.counts)), -1
        )
        parts = [rows]
        for number, tool in enumerate(self.tools):
            parts.append(self._applied(tool, rows, items, rng))
            unlearnt = ~(parts[-1].learnt & parts[-1].inside)[:, 1:].any(1)
            chosen[(chosen == number) & unlearnt] = -1
        return _batch(batch, items, _chosen(parts, chosen + 1))

    def _applied(self, tool: Tool, rows: _Rows, items: np.ndarray, rng: np.random.Generator) -> _Rows:
        place = np.arange(rows.event.shape[1])
        counts, last = rows.counts[:, None], rows.counts[:, None] - 1
        if tool in ("crop", "reorder"):
            share, room = (_KEPT, counts) if tool == "crop" else (_SHUFFLED, last)
            length = np.minimum(np.maximum(np.ceil(np.round(share * counts, 9)).astype(int), 2), room)
            start = (rng.random(counts.shape) * (room - length + 1)).astype(int)
            span = (place >= start) & (place < start + length)
            return _kept(rows, span) if tool == "crop" else _shuffled(rows, span, rng)
        if tool == "mask":
            keys = np.where(rows.inside, rng.random(rows.event.shape), np.inf)
            rank = keys.argsort(1).argsort(1)
            return _kept(
                rows, rows.inside & (rank >= np.minimum(np.round(_DROPPED * counts, 9).astype(int), counts - 2))
            )
        if tool == "reverse":
            turned = rows.gathered(np.maximum(last - place, 0), rows.counts)
            turned.moment = rows.moment
            return turned
        if tool == "mirror":
            return _mirrored(rows)
        assert self.similar is not None
        other = self.similar.draw(np.take_along_axis(items, rows.event, 1), rng)
        other[(rng.random(other.shape) >= _REPLACED) | ~rows.inside] = 0
        return replace(rows, given=other) if tool == "substitute" else _inserted(rows, other)


def _kept(rows: _Rows, kept: np.ndarray) -> _Rows:
    kept = kept & rows.inside
    return rows.gathered((~kept).argsort(1, kind="stable"), kept.sum(1))


def _shuffled(rows: _Rows, span: np.ndarray, rng: np.random.Generator) -> _Rows:
    place = np.arange(span.shape[1])
    first = span.argmax(1)[:, None]
    # Places of the span sort by a random key between those before and those after it.
    keys = np.where(span, first + rng.random(span.shape), place)
    shuffled = rows.gathered(keys.argsort(1), rows.counts)
    shuffled.moment = rows.moment
    shuffled.learnt = rows.learnt & ~span
    return shuffled


def _mirrored(rows: _Rows) -> _Rows:
    last = rows.counts[:, None] - 1
    counts = np.maximum(rows.counts, np.minimum(2 * rows.counts - 1, rows.width_limit))
    place = np.arange(max(int(counts.max()), rows.event.shape[1]))
    source = np.where(place <= last, np.minimum(place, rows.event.shape[1] - 1), np.maximum(2 * last - place, 0))
    both = rows.gathered(source, counts)
    both.moment = np.broadcast_to(place, both.moment.shape)
    return both


def _inserted(rows: _Rows, other: np.ndarray) -> _Rows:
    """``other`` says what follows each event, 0 for nothing."""
    room = np.maximum(rows.width_limit - rows.counts, 0)[:, None]
    follows = (other > 0) & (np.arange(other.shape[1]) < rows.counts[:, None] - 1)
    follows &= follows.cumsum(1) <= room
    counts = rows.counts + follows.sum(1)
    width = max(int(counts.max()), other.shape[1])
    # Two places for each event, the second for what follows it; those in use move to the front.
    used = np.stack([np.ones_like(follows), follows], 2).reshape(len(other), -1)
    order = (~used).argsort(1, kind="stable")[:, :width]
    result = rows.gathered(order // 2, counts)
    new = order % 2 == 1
    result.given = np.where(new, np.take_along_axis(other, order // 2, 1), 0)
    result.learnt = result.learnt & ~new
    return result


def _whole_rows(batch: Batch, max_length: int) -> _Rows:
    """The windows as they are, the last target as one more event."""
    rows, width = batch.inputs.shape
    place = np.broadcast_to(np.arange(width + 1), (rows, width + 1))
    learnt = np.zeros((rows, width + 1), dtype=bool)
    learnt[:, 1:] = batch.targets > 0
    learnt[:, 0] = learnt[:, 1]  # for what runs backwards: known where the window is the first of its history
    return _Rows(batch.lengths + 1, place, place, np.zeros_like(place), learnt, max_length + 1)


def _items(batch: Batch) -> np.ndarray:
    """(rows, width + 1): the inputs and the last target."""
    return _with_last(batch.inputs, batch.targets, batch.lengths, 0)


def _with_last(column: np.ndarray, after: np.ndarray, lengths: np.ndarray, nothing: float) -> np.ndarray:
    """A column of the events and, at the place after the newest input, what is known of the event that follows."""
    whole = np.concatenate([column, np.full((len(column), 1), nothing, dtype=column.dtype)], 1)
    row = np.arange(len(column))
    whole[row, lengths] = after[row, lengths - 1]
    return whole


def _chosen(parts: list[_Rows], which: np.ndarray) -> _Rows:
    """Row by row one of the parts, all of one width."""
    counts = np.stack([part.counts for part in parts])[which, np.arange(len(which))]
    width = int(counts.max())

    def column(name: str) -> np.ndarray:
        values = np.zeros((len(which), width), dtype=getattr(parts[0], name).dtype)
        for number, part in enumerate(parts):
            from_part = getattr(part, name)[which == number, :width]
            values[which == number, : from_part.shape[1]] = from_part
        return values

    event, moment, given, learnt = (column(name) for name in ("event", "moment", "given", "learnt"))
    return _Rows(counts, event, moment, given, learnt, parts[0].width_limit)


def _batch(batch: Batch, items: np.ndarray, rows: _Rows) -> Batch:
    """The columns of a batch gathered place by place."""
    inside = rows.inside[:, 1:]  # places of inputs: all but the last event's
    event, moment, last = rows.event, rows.moment, batch.lengths[:, None]
    done = np.take_along_axis(items, event, 1)
    read = np.where(rows.given > 0, rows.given, done)
    columns: dict[str, np.ndarray | None] = {
        "inputs": np.where(inside, read[:, :-1], 0),
        "targets": np.where(inside & rows.learnt[:, 1:], done[:, 1:], 0),
        "lengths": rows.counts - 1,
    }
    if batch.times is not None and batch.asked is not None:
        times = _with_last(batch.times, batch.asked, batch.lengths, 0)
        end = np.take_along_axis(times, last, 1)
        back = np.take_along_axis(times, np.where(moment > last, np.maximum(2 * last - moment, 0), moment), 1)
        at = np.where(moment > last, 2 * end - back, back)
        columns["times"], columns["asked"] = np.where(inside, at[:, :-1], 0), np.where(inside, at[:, 1:], 0)
    if batch.calendar is not None:
        # The calendar is known of moments that were asked about: not of the first event, nor of a mirrored moment.
        known = np.concatenate([np.zeros_like(batch.calendar[:, :1]), batch.calendar], 1)
        code = np.take_along_axis(known, np.minimum(moment, last), 1) * (moment <= last)
        columns["calendar"] = np.where(inside, code[:, 1:], 0).astype(batch.calendar.dtype)
    if batch.actions is not None and batch.wanted is not None:
        action = np.take_along_axis(_with_last(batch.actions, batch.wanted, batch.lengths, 0), event, 1)
        columns["actions"], columns["wanted"] = np.where(inside, action[:, :-1], 0), np.where(inside, action[:, 1:], 0)
    if batch.values is not None:
        # The value of the last event is not in the batch, and reads as unknown.
        nowhere = np.full_like(batch.values, np.nan)
        value = np.take_along_axis(_with_last(batch.values, nowhere, batch.lengths, np.nan), event, 1)
        columns["values"] = np.where(inside, value[:, :-1], np.nan).astype(batch.values.dtype)
    if batch.weights is not None:
        # What the first event counts for as a target is not in the batch; it is not learnt from.
        known = np.concatenate([np.zeros_like(batch.weights[:, :1]), batch.weights], 1)
        counted = np.where(inside, np.take_along_axis(known, event, 1)[:, 1:], 0)
        columns["weights"] = counted
        columns["targets"] = np.where((counted > 0) & inside & rows.learnt[:, 1:], done[:, 1:], 0)
    return replace(batch, **columns)  # type: ignore[arg-type]
