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
    from segue.data.long_kernel import mark  # numba is loaded where it is needed

    mark(histories.offsets, histories.items, length, length // OLDER_SHARE, kept)
    return histories.keep(kept)
