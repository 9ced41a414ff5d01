"""What a kind of action means to an answer: which items count as seen, what is popular, whether people come back.

Who looked at an item may still buy it. So where a request is about one kind of action, the items that the user did
just that with count as seen, and no others; where it is about none, all do. A history whose actions are not known
counts whole.
"""

from __future__ import annotations

import numpy as np

from segue.data.histories import Histories, repeat_share

REPEAT_THRESHOLD = 0.02
"""People come back to items when more than this share of events is on an item the user had before."""


def popularity(histories: Histories, item_counts: np.ndarray, kinds: int) -> np.ndarray:
    """(kinds + 1, catalogue + 1) float32 events per item, by the action code that is asked for; row 0 is of all."""
    counts = np.tile(item_counts.astype(np.float32), (kinds + 1, 1))
    if histories.actions is not None:
        for kind in range(1, kinds + 1):
            counts[kind] = np.bincount(histories.items[histories.actions == kind], minlength=counts.shape[1])
    return counts


def repeats(histories: Histories, kind: int = 0) -> float:
    """The share of events on an item that the user had before, among those of one kind (by its code; 0: all)."""
    if kind and histories.actions is not None:
        histories = histories.keep(histories.actions == kind)
    return repeat_share(histories)


def rarely_again(histories: Histories, kind: int = 0) -> bool:
    """Whether people rarely come back to an item, in events of one kind (by its code; 0: all)."""
    return repeats(histories, kind) <= REPEAT_THRESHOLD


def seen(histories: Histories, exclude: bool | np.ndarray) -> Histories:
    """The events whose items are left out of the answer to each row.

    Args:
        exclude: whether any are; one for all, or one for each row.
    """
    counted = histories.of_the_kind_wanted()
    return counted.keep(np.repeat(np.broadcast_to(exclude, len(counted)), counted.lengths))
