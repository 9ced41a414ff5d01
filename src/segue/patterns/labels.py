"""Who has which label: from a frame, or computed from the log by what happened after a cut-off.

What is known of the users is cut at the same moment: features never see the window that the label was read from.
Learning is left to ``classification``.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from segue.arguments import is_scalar
from segue.cautions import LabelsSkipped
from segue.data.dataset import Dataset
from segue.data.frames import to_polars
from segue.data.schema import in_words, read_moment, rename
from segue.errors import (
    ActionUnknown,
    ClassTooSmall,
    CutOffUnusable,
    DataError,
    LabelsContradict,
    LabelsOfNobody,
    LabelsUnclear,
    MomentUnreadable,
    NoClock,
    OneClass,
    TargetUnknown,
    nearest,
)
from segue.patterns.spans import DAY

LEAVE, DO = "will_leave", "will_do:"


@dataclass(frozen=True, eq=False)
class Labelled:
    """Users with a class each.

    Attributes:
        known: the events that features may see.
        users: (n,) codes, ascending.
        classes: (n,) numbers of ``labels``.
        labels: the names of the classes, ascending; of yes and no, no is the first.
        at: the moment the users are asked about, in the log's unit.
    """

    known: Dataset
    users: np.ndarray
    classes: np.ndarray
    labels: pl.Series
    at: int

    def take(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes and classes of some of the users."""
        return self.users[rows], self.classes[rows]


def labelled(data: Dataset, labels: Any, settings: Any) -> Labelled:
    """The users of a log with their labels.

    Args:
        labels: a frame ``user_id, label``, or None for a ready target.
        settings: of :class:`segue.SequenceClassifier`: ``target``, ``horizon``, ``cutoff``, ``active``.

    Raises:
        LabelsUnclear, LabelsOfNobody, LabelsContradict, OneClass, TargetUnknown, CutOffUnusable, ActionUnknown,
        NoClock, MomentUnreadable, ColumnMissing.
    """
    if (labels is None) == (settings.target is None):
        given = "Neither labels nor a target were given" if labels is None else "Both labels and a target were given"
        raise LabelsUnclear(given=given)
    made = _from_frame(data, labels) if settings.target is None else _from_log(data, settings)
    if len(made.labels) < 2:
        raise OneClass(users=len(made.users), label=made.labels[0])
    return made


def refuse_small(made: Labelled, folds: int) -> None:
    """Raises ``ClassTooSmall`` where a class cannot be in every fold."""
    sizes = np.bincount(made.classes, minlength=len(made.labels))
    if sizes.min() < folds:
        raise ClassTooSmall(label=made.labels[int(sizes.argmin())], users=int(sizes.min()), folds=folds)


def moment(value: Any, data: Dataset) -> int:
    """A moment as the log counts; raises ``MomentUnreadable``."""
    if not is_scalar(value):
        raise MomentUnreadable(value=value, reason="is no moment")
    try:
        stamp, clock = read_moment(value, data.time_zone)
    except DataError:
        raise MomentUnreadable(value=value, reason="cannot be read as a moment") from None
    if clock != data.clock or stamp is None:
        raise MomentUnreadable(value=value, reason=f"is not on the log's clock, which is {data.clock}")
    return int(stamp)


def newest(data: Dataset) -> int:
    """The moment of the newest event."""
    return int(data.events["timestamp"].to_numpy().max())


def _from_frame(data: Dataset, labels: Any) -> Labelled:
    table = rename(to_polars(labels, "labels")[0], None, ("user_id", "label"), "frame of labels")
    table = table.select("user_id", "label").unique(maintain_order=True)
    codes = data.user_vocabulary.encode(table["user_id"])
    here = pl.Series(codes > 0) & table["label"].is_not_null()
    if table["label"].dtype.is_float():
        here &= ~table["label"].is_nan()
    if not here.any():
        hint = nearest(str(table["user_id"][0]), map(str, data.user_vocabulary.ids.head(10_000))) if len(table) else ""
        raise LabelsOfNobody(count=len(table), hint=hint)
    kept = pl.DataFrame({"user": codes, "label": table["label"]}).filter(here).sort("user", maintain_order=True)
    if (twice := kept["user"].is_duplicated()).any():
        first = kept.filter(twice).row(0)[0]
        both = kept.filter(pl.col("user") == first)["label"].to_list()[:2]
        raise LabelsContradict(user=data.user_vocabulary.decode([first])[0], left=both[0], right=both[1])
    there = data.events["user"].n_unique()
    if len(table) > len(kept) or there > len(kept):
        skipped = f"{len(table) - len(kept)} labels are empty or of users who are not in the log"
        message = f"{skipped}, and {there - len(kept)} users have no label; they are left out."
        warnings.warn(message, LabelsSkipped, stacklevel=4)
    names = kept["label"].unique().sort()
    place = {name: number for number, name in enumerate(names.to_list())}
    classes = np.array([place[label] for label in kept["label"].to_list()], dtype=np.int64)
    return Labelled(data, kept["user"].to_numpy().astype(np.int64), classes, names, newest(data))


def _from_log(data: Dataset, settings: Any) -> Labelled:
    """Users with an event before the cut-off, labelled by the ``horizon`` days from the cut-off on."""
    target = str(settings.target)
    action = target.removeprefix(DO)
    if target != LEAVE and not (target.startswith(DO) and action):
        raise TargetUnknown(target=target, hint=nearest(target, (LEAVE, f"{DO}purchase")))
    if target != LEAVE and action not in data.action_names:
        known = ", ".join(data.action_names) or "none"
        raise ActionUnknown(name=action, known=known, hint=nearest(action, data.action_names))
    if data.clock != "time":
        raise NoClock(what=f"target={target!r}")
    horizon, end = round(settings.horizon * DAY), newest(data) + 1
    cut = end - horizon if settings.cutoff is None else moment(settings.cutoff, data)
    stamps = data.events["timestamp"]
    before = stamps < cut
    told = in_words(cut, data.clock)
    if not before.any():
        raise CutOffUnusable(cutoff=told, reason="the log has no event before it")
    if cut + horizon > end:
        days = (end - cut) / DAY
        raise CutOffUnusable(cutoff=told, reason=f"the log goes on for {days:.1f} days, not {settings.horizon:g}")
    recent = before if settings.active is None else before & (stamps >= cut - round(settings.active * DAY))
    users = np.unique(data.events["user"].filter(recent).to_numpy().astype(np.int64))
    if not len(users):
        raise CutOffUnusable(cutoff=told, reason=f"nobody has an event in the {settings.active:g} days before it")
    inside = (stamps >= cut) & (stamps < cut + horizon)
    if target != LEAVE:
        inside &= (data.events["action"] == action).fill_null(False)
    came = np.isin(users, data.events["user"].filter(inside).to_numpy())
    yes = ~came if target == LEAVE else came
    words = ("stays", "leaves") if target == LEAVE else (f"no {action}", action)
    names = pl.Series("label", words) if len(np.unique(yes)) == 2 else pl.Series("label", [words[int(yes[0])]])
    return Labelled(data.where(before), users, yes.astype(np.int64), names, cut)
