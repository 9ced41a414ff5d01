"""The events of a log put into baskets: what one user takes at a moment, in a session, under a number, or ever."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from segue.data.cleaning import number_sessions
from segue.data.dataset import Dataset
from segue.errors import BasketsUnknown, NoClock, nearest
from segue.patterns.sequences import Sequences

WAYS = ("moment", "session", "user")
_OURS = ("user", "item", "row")


def baskets_of(data: Dataset, found: Sequences, by: str, gap: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The basket of every entry.

    Args:
        found: the symbols of the log, its events one after the other (``ties="log"``).
        by: ``"moment"``, ``"session"``, ``"user"`` or a column of the log; an event without a value there is in no
            basket.
        gap: microseconds without an event that end a session, where the log has no column ``session``.

    Returns:
        Baskets (from 0, never falling) and symbols of the entries, and the number of baskets that hold anything.

    Raises:
        BasketsUnknown: there is no such column.
        NoClock: sessions are asked for, and the log has neither that column nor a clock.
    """
    rows = found.rows()
    if by == "user":
        group = rows
    else:
        events = data.histories.offsets[rows] + found.places
        group = _groups(data, by, gap)[events]
    symbols = found.symbols
    if by not in ("moment", "user"):
        order = np.argsort(group, kind="stable")
        order = order[group[order] >= 0]
        group, symbols = group[order], symbols[order]
    if not len(group):
        return group, symbols, 0
    steps = np.cumsum(np.concatenate([[False], group[1:] != group[:-1]]))
    return steps, symbols, int(steps[-1]) + 1


def _groups(data: Dataset, by: str, gap: int) -> np.ndarray:
    """A number for each event, the same for events of one basket; -1 for none."""
    events = data.events
    users = events["user"].to_numpy().astype(np.int64)
    if by == "moment":
        moments = events["timestamp"].to_numpy()
        new = (users[1:] != users[:-1]) | (moments[1:] != moments[:-1])
        return np.cumsum(np.concatenate([[False], new])) if len(users) else users
    if by == "session" and "session" not in events.columns:
        if data.clock != "time":
            raise NoClock(what="baskets='session'")
        events = number_sessions(events.rename({"user": "user_id"}), gap / 60e6)
    known = [name for name in events.columns if name not in _OURS]
    if by not in known:
        raise BasketsUnknown(baskets=by, hint=nearest(by, [*WAYS, *known]), known=", ".join(known))
    codes = _codes(events[by])
    return np.where(codes >= 0, users * (int(codes.max(initial=0)) + 1) + codes, -1)


def _codes(column: pl.Series) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A number for each value, in no order that matters; -1 where there is none."""
    values = column.unique().drop_nulls()
    numbers = pl.DataFrame({"value": values, "code": np.arange(len(values))})
    return (
        pl.DataFrame({"value": column})
        .join(numbers, on="value", how="left", maintain_order="left")["code"]
        .fill_null(-1)
        .to_numpy()
    )
