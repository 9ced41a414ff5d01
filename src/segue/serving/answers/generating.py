"""What a sequence that is generated does to its history: one event more, at the pace of those before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from segue.data.histories import Histories


def step_of(histories: Histories) -> int:
    """The median gap between the moments of one row of events; 0 where there are fewer than two moments."""
    stamps = histories.timestamps
    if stamps is None or len(stamps) < 2:
        return 0
    return int(np.median(np.diff(np.sort(stamps))))


def continued(histories: Histories, code: int, step: int) -> Histories:
    """One row with one event more, asked about ``step`` later.

    The event happens at the moment that was asked about, or where there is none a step after the last one; it is of
    the kind that was asked for, else of the row's most frequent kind.
    """
    columns = {"items": np.append(histories.items, code)}
    stamps, actions, values = histories.timestamps, histories.actions, histories.values
    moment = int(histories.at[0]) if histories.at is not None else None
    if stamps is not None:
        last = int(stamps[-1]) + step if len(stamps) else 0
        columns["timestamps"] = np.append(stamps, last if moment is None else moment)
    if actions is not None:
        wanted = int(histories.wanted[0]) if histories.wanted is not None else 0
        usual = int(np.bincount(actions).argmax()) if len(actions) else 0
        columns["actions"] = np.append(actions, wanted or usual)
    if values is not None:
        columns["values"] = np.append(values, np.float32("nan"))
    at = None if moment is None else np.array([moment + step])
    return replace(histories, offsets=np.array([0, len(columns["items"])]), at=at, **columns)
