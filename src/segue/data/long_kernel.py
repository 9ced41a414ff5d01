"""The compiled part of ``long``: which events of long histories are kept.

In a module of its own because numba is large and slow to import, and most models keep the newest events alone.
"""

from __future__ import annotations

import numpy as np

from segue.data.jit import numba


@numba.njit(cache=True, nogil=True)
def mark(offsets, items, length, places, kept):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
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
