"""Two groups of histories to compare: users by label, the time before and since a moment, or who did something.

Gives the sequences of each group over one set of labels. What to count in them is left to ``contrast``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from segue.data.dataset import Dataset
from segue.data.frames import to_polars
from segue.errors import (
    ColumnMissing,
    GroupsUnusable,
    NoClock,
    nearest,
)
from segue.patterns.counting import need_action
from segue.patterns.sequences import Sequences, sequences
from segue.patterns.spans import Span, microseconds, read_moment

REST = "others"
"""What those are called who are in no group of their own."""


@dataclass(frozen=True)
class Group:
    """Histories that go by one name; each has at least one symbol."""

    name: str
    sequences: Sequences

    @classmethod
    def of(cls, name: str, made: Sequences, rows: np.ndarray | None = None) -> Group:
        """Some rows (all by default) without those that have no symbol. Raises ``GroupsUnusable`` when none is left."""
        rows = np.arange(len(made)) if rows is None else rows
        rows = rows[np.diff(made.offsets)[rows] > 0]
        if not len(rows):
            raise GroupsUnusable(reason=f"nobody of {name!r} has an event with a symbol", hint="")
        return cls(name, made.take(rows))


def by_label(data: Dataset, made: Sequences, groups: Any, target: str | None) -> tuple[Group, Group]:
    """The users of one label, and those of the other labels; users without a label are left out.

    Args:
        groups: a mapping of user ids to labels, or a frame with ``user_id`` and one column more.
        target: the label of the first group. None: the last of two in their order.

    Raises:
        GroupsUnusable: no user is known, there is one label, or one user has two, or the target is not among them.
    """
    users, labels = _labels(data, groups)
    names = sorted(set(labels[users > 0].tolist()))
    if not names:
        raise GroupsUnusable(reason="groups= names no user of the log", hint="")
    if target is not None and str(target) not in names:
        raise GroupsUnusable(reason=f"no known user has the label {target!r}", hint=nearest(str(target), names))
    if len(names) == 1:
        raise GroupsUnusable(reason=f"every user of groups= has the label {names[0]!r}", hint="")
    if len(names) > 2 and target is None:
        raise GroupsUnusable(reason=f"groups= has {len(names)} labels ({', '.join(names[:5])}, ...)", hint="")
    first = names[-1] if target is None else str(target)
    inside = labels == first
    rest = next(name for name in names if name != first) if len(names) == 2 else REST
    rows, others = np.unique(users[inside & (users > 0)]), np.unique(users[~inside & (users > 0)])
    if len(twice := np.intersect1d(rows, others)):
        raise GroupsUnusable(reason=f"user {data.user_vocabulary.decode(twice[:1])[0]!r} has two labels", hint="")
    return Group.of(first, made, rows), Group.of(rest, made, others)


def by_moment(data: Dataset, made: Sequences, since: Any, period: Span | None, ties: str) -> tuple[Group, Group]:
    """What was done since a moment, and before it; a user of both times is in both groups.

    Raises:
        GroupsUnusable: the moment leaves nothing on one side.
        DateUnreadable: it is no moment.
        NoClock: a ``period`` of a log whose timestamps are an order alone.
    """
    moment = read_moment(data, since, "since")
    length = np.iinfo(np.int64).max if period is None else microseconds(period)
    if period is not None and data.clock != "time":
        raise NoClock(what="period=")
    made, stamps, _ = _with_stamps(data, made, ties)
    apart = stamps - moment
    return Group.of("since", made.keep((apart >= 0) & (apart < length))), Group.of(
        "before", made.keep((apart < 0) & (apart >= -length))
    )


def by_action(data: Dataset, made: Sequences, action: str, ties: str) -> tuple[Group, Group]:
    """Who ever did something, up to the first time, and who never did, with everything.

    With ties together the events of the first time's moment are not before it.

    Raises:
        ActionUnknown: nobody in the log did such a thing.
    """
    need_action(data, action)
    histories = data.histories
    assert histories.actions is not None
    event = np.flatnonzero(histories.actions == data.action_names.index(action) + 1)
    first = np.full(len(histories), len(histories.items), dtype=np.int64)
    np.minimum.at(first, histories.rows()[event], event)
    did = first < len(histories.items)
    made, stamps, events = _with_stamps(data, made, ties)
    early = events < np.repeat(first, np.diff(made.offsets))
    if ties == "together" and histories.timestamps is not None:
        moments = histories.timestamps[np.minimum(first, len(histories.items) - 1)]
        early &= ~np.repeat(did, np.diff(made.offsets)) | (stamps < np.repeat(moments, np.diff(made.offsets)))
    cut = made.keep(early)
    return Group.of(action, cut, np.flatnonzero(did)), Group.of(REST, cut, np.flatnonzero(~did))


def _labels(data: Dataset, groups: Any) -> tuple[np.ndarray, np.ndarray]:
    """Codes of users (0 where not known) and their labels as text, of those that have one."""
    if isinstance(groups, Mapping):
        users, labels = list(groups), list(groups.values())
        told = [place for place, label in enumerate(labels) if label is not None and label == label]
        codes = data.user_vocabulary.encode([users[place] for place in told])
        return codes, np.array([str(labels[place]) for place in told], dtype=object)
    frame, _ = to_polars(groups, "groups")
    if "user_id" not in frame.columns or frame.width < 2:
        found = ", ".join(frame.columns) or "no columns"
        missing = "user_id" if "user_id" not in frame.columns else "group"
        raise ColumnMissing(column=missing, what="frame of groups", found=found, hint="")
    label = "group" if "group" in frame.columns else next(name for name in frame.columns if name != "user_id")
    frame = frame.select("user_id", pl.col(label).alias("group").cast(pl.String)).drop_nulls()
    return data.user_vocabulary.encode(frame["user_id"]), frame["group"].to_numpy().astype(object)


def _with_stamps(data: Dataset, made: Sequences, ties: str) -> tuple[Sequences, np.ndarray, np.ndarray]:
    """The sequences (made in the log's order) with ties as wanted, the timestamp and the event of every entry."""
    histories = data.histories
    rows = made.rows()
    events = histories.offsets[rows] + made.places
    assert histories.timestamps is not None
    stamps = histories.timestamps[events]
    if ties == "log" or not len(rows):
        return made, stamps, events
    later = np.ones(len(rows), dtype=np.int64)
    later[1:] = (rows[1:] != rows[:-1]) | (stamps[1:] != stamps[:-1])
    steps = np.cumsum(later)
    begins = steps[np.minimum(made.offsets[:-1], len(steps) - 1)]
    places = steps - np.repeat(begins, np.diff(made.offsets))
    return replace(made, places=places.astype(np.int32)), stamps, events


def two_groups(
    data: Dataset,
    *,
    groups: Any = None,
    since: Any = None,
    action: str | None = None,
    target: str | None = None,
    period: Span | None = None,
    of: str = "item",
    level: int | None = None,
    ties: str = "log",
) -> tuple[Group, Group]:
    """The two groups that exactly one of ``groups``, ``since`` and ``action`` makes. Raises what those raise."""
    given = [name for name, value in (("groups", groups), ("since", since), ("action", action)) if value is not None]
    if len(given) != 1:
        raise GroupsUnusable(reason=f"{' and '.join(given) or 'none of groups, since and action'} is given", hint="")
    if groups is not None:
        return by_label(data, sequences(data, of, level, ties), groups, target)
    made = sequences(data, of, level)
    if since is not None:
        return by_moment(data, made, since, period, ties)
    assert action is not None
    return by_action(data, made, action, ties)
