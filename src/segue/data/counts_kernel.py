"""The compiled part of ``counts``: one sweep over the events in time order, for any number of moments.

In a module of its own because numba is large and slow to import, and whoever answers one request at a time needs none.
"""

from __future__ import annotations

import numpy as np

from segue.data.jit import numba


@numba.njit(cache=True, nogil=True)
def sweep(stamps, items, rates, moments, wanted, place, counts, since, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Counts at ``moments`` of the rows ``wanted`` into ``out``; goes on from ``place``, and says where it ended."""
    levels = rates.shape[0]
    for number in range(moments.shape[0]):
        moment = moments[number]
        while place < stamps.shape[0] and stamps[place] < moment:
            for item in (items[place], 0):  # row 0 is everything together
                gap = stamps[place] - since[item]
                for level in range(levels):
                    if gap > 0 and counts[item, level] > 0:
                        counts[item, level] *= np.exp2(-gap * rates[level])
                    counts[item, level] += 1
                since[item] = stamps[place]
            place += 1
        for column in range(wanted.shape[0]):
            item = wanted[column]
            gap = moment - since[item]
            for level in range(levels):
                count = counts[item, level]
                out[number, column, level] = count * np.exp2(-gap * rates[level]) if count > 0 else 0.0
    return place
