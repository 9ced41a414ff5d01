"""Cutting long histories to what an encoder reads: the newest events, or those and representatives of the rest.

What someone did last says most about what comes next; what they did long before says what they are like. The
representatives of the older events are spread evenly over them: one out of each stretch of equal length, the item that
comes most often among the older events and is not kept already, and of equals the newest. Linear in the
length of the history, up to a sort of its items.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from segue.data.histories import Histories
from segue.data.jit import FEW_ROWS, interpreted, kernel

LongHistory = Literal["newest", "representatives"]
OLDER_SHARE = 4
"""One place of so many is for representatives of the older events."""


def shortened(histories: Histories, length: int, how: LongHistory = "newest") -> Histories:
    """Rows of at most ``length`` events, in order and each with its own time."""
    if not len(histories.items) or histories.lengths.max() <= length:
        return histories
    if how == "newest" or length < OLDER_SHARE:
        return histories.take(np.arange(len(histories)), last=length)
    kept = np.zeros(len(histories.items), dtype=np.bool_)
    mark = interpreted(_mark) if len(histories) <= FEW_ROWS else _mark
    mark(histories.offsets, histories.items, length, length // OLDER_SHARE, kept)
    return histories.keep(kept)


@kernel()
def _mark(offsets, items, length, places, kept):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Mark the events of each row that are kept."""
    for row in range(len(offsets) - 1):
        begin, end = offsets[row], offsets[row + 1]
        if end - begin <= length:
            kept[begin:end] = True
            continue
        recent = end - (length - places)
        kept[recent:end] = True
        # Events of the row by item: the runs of equal items are what is counted and kept once.
        order = np.argsort(items[begin:end])
        count = np.zeros(end - begin, dtype=np.int64)  # older events on the item of each event
        run = np.zeros(end - begin, dtype=np.int64)  # the run that each event is in
        used = np.zeros(end - begin, dtype=np.bool_)  # by run
        start = 0
        while start < len(order):
            stop, older = start, 0
            while stop < len(order) and items[begin + order[stop]] == items[begin + order[start]]:
                older += begin + order[stop] < recent
                used[start] |= begin + order[stop] >= recent
                stop += 1
            for place in range(start, stop):
                count[order[place]], run[order[place]] = older, start
            start = stop
        rest = recent - begin
        for number in range(places):
            best, value = -1, -1
            for place in range(rest * number // places, rest * (number + 1) // places):
                worth = 0 if used[run[place]] else count[place]
                if worth >= value:
                    best, value = place, worth
            kept[begin + best] = True
            used[run[best]] = True
