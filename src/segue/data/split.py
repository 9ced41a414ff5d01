"""Splits: leave-last-out, last n, a share of each user, global time, k-shot, cold items, or your own frames.

A :class:`Split` is a training set and two holdouts. A :class:`Holdout` is what is known when the question is
asked (``context``) and what happened then (``targets``). Every split is checked before it is handed out: one that
leaks raises ``SplitLeak``. Ties keep the log's order. Metrics live in ``evaluation``.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, Literal

import numpy as np
import polars as pl

from segue.arguments import refusal, require, require_mapping, require_whole
from segue.data.dataset import Dataset, as_dataset, uuid_columns
from segue.data.frames import is_frame
from segue.data.histories import Histories
from segue.data.schema import read_moment
from segue.data.vocabulary import Vocabulary
from segue.errors import ActionUnknown, FrameNotReadable, SplitEmpty, SplitLeak, nearest
from segue.numeric import as_python, share_of

_PART = "__part__"  # which of the frames an event came in


@dataclass(frozen=True, eq=False)
class Holdout:
    """Events held out of training, and what was known before them.

    Attributes:
        context: every event known when the recommendation is asked for.
        targets: the events to predict.
        until: every event up to the end of the holdout, where that is more than context and targets: on a split by
            time also those of users who are not asked about.
    """

    context: Dataset
    targets: Dataset
    until: Dataset | None = None

    def __post_init__(self) -> None:
        advice = "Parts of one data set make a holdout: segue.split.leave_last_out(data).test, or data.where(...)."
        for name, part in (("context", self.context), ("targets", self.targets)):
            require(part, Dataset, "Holdout", name, "a segue.Dataset", advice)

    @cached_property
    def users(self) -> np.ndarray:
        """Codes of the users with targets, ascending."""
        return np.unique(self.targets.events["user"].to_numpy().astype(np.int64))

    def asked(self, users: np.ndarray | None = None) -> Histories:
        """The context of each user, asked about at the moment of the user's first target.

        A request comes when the user comes back: when that is is known to whoever answers, what is wanted is not.
        """
        users = self.users if users is None else users
        targets, contexts = self.targets.histories.take(users), self.context.histories.take(users)
        assert targets.timestamps is not None
        return contexts.asked(at=targets.timestamps[targets.offsets[:-1]])

    def about(self, action: str) -> Holdout:
        """The same with targets of one kind of action alone (which may be none); what is known stays."""
        if "action" not in self.targets.events.columns:
            return replace(self, targets=self.targets.where(pl.lit(False)), until=self.all)
        return replace(self, targets=self.targets.where(pl.col("action") == action), until=self.all)

    @cached_property
    def cold(self) -> np.ndarray:
        """(catalogue + 1,) which items no event is known of; code 0 is none."""
        cold: np.ndarray = self.context.item_counts == 0
        cold[0] = False
        return cold

    @cached_property
    def all(self) -> Dataset:
        """All that is known when the holdout is over: what a final model may learn from."""
        return self.context.joined(self.targets) if self.until is None else self.until

    def __repr__(self) -> str:
        known = f"context of {len(self.context):,} events"
        return f"Holdout({len(self.users):,} users, {len(self.targets):,} targets, {known})"


@dataclass(frozen=True, eq=False)
class Split:
    """Training data, a validation holdout (or None) and a test holdout."""

    train: Dataset
    validation: Holdout | None
    test: Holdout
    kind: str

    def __post_init__(self) -> None:
        require(self.train, Dataset, "Split", "train", "a segue.Dataset", "segue.split.from_frames takes frames.")
        for name, part in (("validation", self.validation), ("test", self.test)):
            if part is not None or name == "test":
                require(part, Holdout, "Split", name, "a segue.Holdout", "segue.split.from_frames takes frames.")
        if not len(self.train):
            raise SplitEmpty(what="train on", why=f"{self.kind} took every event")
        for holdout in (self.validation, self.test):
            if holdout is not None:
                if not len(holdout.targets):
                    raise SplitEmpty(what="ask about", why="a holdout has no usable event")
                _refuse_leak(self.train, holdout, across_users=self.kind == "by-time")
        if self.validation is not None:
            _refuse_shared(self.validation.targets, self.test.targets, "validation targets are test targets too")
            if self.validation.until is not None:
                what = "what is known after validation holds test targets"
                _refuse_shared(self.validation.until, self.test.targets, what)

    def __iter__(self) -> Any:
        return iter((self.train, self.validation, self.test))


def leave_last_out(data: Dataset, action: str | None = None) -> Split:
    """The last event of each user is the test, the one before it the validation, the rest the training set.

    Users with two events have a test only, users with one are in training only. Raises ``SplitEmpty`` when no
    user has two events.

    Args:
        action: hold out the last events of this kind, such as ``"purchase"``, with everything before them as context.
            What users did after the event that is held out is in no part. Raises ``ActionUnknown``.
    """
    data = as_dataset(data, owner="leave_last_out")
    if action is not None:
        return _leave_last_of_kind_out(data, action)
    return _newest_out(data, lambda events: (1, 2), "leave-last-out")


def _leave_last_of_kind_out(data: Dataset, action: str) -> Split:
    if not isinstance(action, str) or action not in data.action_names:
        known = ", ".join(data.action_names) or "none"
        raise ActionUnknown(name=action, known=known, hint=nearest(str(action), data.action_names))
    is_asked = (pl.col("action").eq_missing(action) & (pl.int_range(pl.len()) > 0)).over("user")
    left = pl.col("asked").cast(pl.Int64).cum_sum(reverse=True).over("user")
    here = data.events.select("user", asked=is_asked).with_columns(left=left)
    here = here.with_columns(most=pl.col("left").first().over("user"))
    asked, still, most = (here[name].to_numpy() for name in ("asked", "left", "most"))
    test, validation = asked & (still == 1), asked & (still == 2)
    if not test.any():
        raise SplitEmpty(what="test on", why=f"no user has a {action!r} after another event")
    known = ((still >= 1) & ~test) | (most == 0)  # who never did such a thing is in training with everything
    context, train = data.where(known), data.where(known & (((still >= 2) & ~validation) | (most <= 1)))
    validated = Holdout(train, data.where(validation), until=context) if validation.any() else None
    return Split(train, validated, Holdout(context, data.where(test)), "leave-last-out")


def last_n(data: Dataset, n: int = 1) -> Split:
    """The last ``n`` events of each user are the test, the ``n`` before them the validation, the rest the training set.

    Each user keeps one event to be asked with: of ``m`` events at most ``m - 1`` are held out, for the test first. With
    ``n=1`` it is :func:`leave_last_out`. Raises ``SplitEmpty`` when ``n`` is no whole number from 1 or no user has two
    events.
    """
    n = as_python(n)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise SplitEmpty(what="test on", why=f"{n!r} is no whole number of events from 1")
    return _newest_out(data, lambda events: (n, 2 * n), "last-n")


def user_share(data: Dataset, test: float = 0.1, validation: float = 0.1) -> Split:
    """The newest share of each user's events is the test, the share before it the validation, the rest training.

    Args:
        test, validation: shares of each user's events, rounded up: of 12 events and two tenths 2 are the test and 1
            is the validation, since both together are 2.4. One event of each user is always in training.

    Raises:
        SplitEmpty: the shares leave nothing, or no user has two events.
    """
    test, validation = as_python(test), as_python(validation)
    if not (0 < test < 1 and 0 <= validation < 1 and test + validation < 1):
        raise SplitEmpty(what="train on", why=f"the shares of each user are {test:g} and {validation:g}")

    def sizes(events: int) -> tuple[int, int]:
        return math.ceil(share_of(test, events)), math.ceil(share_of(test + validation, events))

    return _newest_out(data, sizes, "user-share")


def _newest_out(data: Dataset, sizes: Callable[[int], tuple[int, int]], kind: str) -> Split:
    """Hold out newest events: of a user with so many events, ``sizes`` says how many for the test and for both."""
    from_end = _from_end(data)
    length = data.events.select(pl.len().over("user"))["len"].to_numpy()
    known, place = np.unique(length, return_inverse=True)
    bounds = np.minimum(np.array([sizes(int(each)) for each in known]).reshape(-1, 2), known[:, None] - 1)[place]
    test, validation = from_end < bounds[:, 0], (from_end >= bounds[:, 0]) & (from_end < bounds[:, 1])
    if not test.any():
        raise SplitEmpty(what="test on", why="no user has two events")
    train = data.where(~test & ~validation)
    validated = Holdout(train, data.where(validation)) if validation.any() else None
    return Split(train, validated, Holdout(data.where(~test), data.where(test)), kind)


def by_time(
    data: Dataset,
    *,
    validation: float | str | dt.date = 0.1,
    test: float | str | dt.date = 0.1,
    targets: Literal["all", "first"] = "all",
    cold_users: bool = False,
) -> Split:
    """A global cut in time: everything before the cut is known, everything after is to be predicted.

    Args:
        validation, test: a share of the events (the newest; 0.25 of 100 events are 25), or the moment the window
            begins, as text, a date, or a number above 1. Without a zone it is in the log's.
        targets: all events of a user in the window, or the first only.
        cold_users: whether users with no event before the window are asked about too.

    Raises:
        SplitEmpty: a window holds nothing that can be asked, or a cut does not lie inside the log.
        TimestampUnreadable: a cut cannot be read as a moment.
    """
    data = as_dataset(data, owner="by_time")
    for name, cut in (("validation", validation), ("test", test)):
        advice = f"For example {name}=0.1 or {name}='2024-03-01'."
        require(cut, (float, int, str, dt.date, np.generic), "by_time", name, "a share or a moment", advice)
    if not isinstance(targets, str) or targets not in ("all", "first"):
        raise refusal(targets, "by_time", "targets", "'all' or 'first'", "For example targets='first'.")
    stamps = data.events["timestamp"]
    ordered = np.sort(stamps.to_numpy())
    test_from, before = _window_start(data, test, ordered, Fraction(len(ordered)))
    validation_from, _ = _window_start(data, validation, ordered, before)
    if not ordered[0] < validation_from < test_from <= ordered[-1]:
        raise SplitEmpty(
            what="train, validate and test on", why="the cut points do not lie inside the log, one after the other"
        )
    train = data.where(stamps < validation_from)

    def window(context: Dataset, begin: int, end: int | None) -> Holdout:
        inside = data.where((stamps >= begin) & (stamps < end) if end is not None else stamps >= begin)
        if not cold_users:
            known = context.events["user"].unique().implode()
            inside = inside.where(pl.col("user").is_in(known))
        if targets == "first":
            inside = inside.where(pl.int_range(pl.len()).over("user") == 0)
        if not len(inside):
            raise SplitEmpty(what="ask about", why="no user of the window was there before it")
        return Holdout(context, inside, data if end is None else data.where(stamps < end))

    before_test = data.where(stamps < test_from)
    return Split(train, window(train, validation_from, test_from), window(before_test, test_from, None), "by-time")


def k_shot(data: Dataset, k: int) -> Split:
    """As leave-last-out, but only the ``k`` newest events of each user before the targets are kept.

    The targets are the same for every ``k``, so that curves over ``k`` compare like with like.
    """
    k = require_whole(k, "k_shot", "k")
    whole = leave_last_out(data)
    train = whole.train.where(_from_end(whole.train) < k)
    validation = whole.validation and Holdout(train, whole.validation.targets)
    context = train.joined(validation.targets) if validation else train
    return Split(train, validation, Holdout(context.where(_from_end(context) < k), whole.test.targets), "k-shot")


def cold_items(data: Dataset, share: float = 0.2, seed: int = 0) -> Split:
    """As leave-last-out, with some items held out of training, validation and every context.

    Everybody is asked for the last event of the log, whatever its item: so the same test holds targets that the model
    has learnt about and targets that it knows from the catalogue alone (``Holdout.cold``). What else happened on the
    held-out items is in no part.

    Args:
        share: of the items with events, how many are held out.
        seed: chooses them.

    Raises:
        SplitEmpty: ``share`` is no share, or nobody is left who has an earlier event.
    """
    data = as_dataset(data, owner="cold_items")
    require(share, (float, int), "cold_items", "share", "a share", "For example share=0.2.")
    seed = require_whole(seed, "cold_items", "seed", 0)
    if not 0 < share < 1:
        raise SplitEmpty(what="train on", why=f"the items held out are a share of {share:g}")
    with_events = np.flatnonzero(data.item_counts)
    held = np.random.default_rng(seed).permutation(with_events)[: max(1, round(share_of(share, len(with_events))))]
    cold = np.isin(data.events["item"].to_numpy(), held)
    known = data.where(~cold | (_from_end(data) == 0))
    alone = known.events.select(pl.len().over("user"))["len"].to_numpy() == 1
    known = known.where(~alone | ~np.isin(known.events["item"].to_numpy(), held))
    if not len(known):
        raise SplitEmpty(what="train on", why="every event is on an item held out")
    return replace(leave_last_out(known), kind="cold-items")


def from_frames(
    train: Any,
    test: Any,
    validation: Any = None,
    *,
    items: Any = None,
    columns: Mapping[str, str] | None = None,
    kind: Literal["leave-last-out", "by-time"] = "leave-last-out",
) -> Split:
    """A split made elsewhere. Raises ``SplitLeak`` when targets are in training or older than their context."""
    from segue.data.frames import to_polars
    from segue.data.schema import REQUIRED, rename

    if columns is not None:
        require_mapping(columns, "from_frames", "columns", "{'user_id': 'your name'}")
    parts = {"train": train, "validation": validation, "test": test}
    tables = [
        rename(to_polars(frame, name)[0], columns, REQUIRED, "event log").with_columns(pl.lit(name).alias(_PART))
        for name, frame in parts.items()
        if frame is not None
    ]
    try:
        together = pl.concat(tables, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as error:
        reason = f"train, validation and test do not go together ({str(error).splitlines()[0]})"
        raise FrameNotReadable(what="the split", reason=reason) from None
    data = Dataset.from_frames(together, items, cleaning={"duplicates": False})
    uuids = uuid_columns(train, columns)
    part = data.events[_PART]
    data = replace(
        data,
        events=data.events.drop(_PART),
        frame_kind=to_polars(train)[1],
        user_vocabulary=Vocabulary(data.user_vocabulary.ids, "user_id" in uuids),
        item_vocabulary=Vocabulary(data.item_vocabulary.ids, "item_id" in uuids),
    )
    training = data.where(part == "train")
    held = Holdout(training, data.where(part == "validation")) if validation is not None else None
    asked = Holdout(data.where(part != "test"), data.where(part == "test"))
    key = [name for name in ("user", "item", "timestamp", "action") if name in data.events.columns]
    _refuse_shared(asked.context, asked.targets, "test events are in the training or validation frame", key)
    if held is not None:
        _refuse_shared(training, held.targets, "validation events are in the training frame", key)
    return Split(training, held, asked, kind)


def training_parts(data: Any, validation: Any, owner: str) -> tuple[Dataset, Holdout | None]:
    """Training events and the validation holdout of ``fit``, from what its arguments can be.

    Args:
        data: a data set; a frame or a file of events; or a split, whose train and validation are taken.
        validation: a holdout, or None; a frame where ``data`` is one too; or the part of one data set whose other part
            ``data`` is.
        owner: whose ``fit``, for messages.

    Raises:
        ArgumentKind: it is nothing of that.
        SplitLeak: the frame of validation events overlaps the training events or begins before them.
        DataError: see ``Dataset.from_frames``.
    """
    if isinstance(data, Split):
        if validation is not None:
            advice = "Give fit(split), or fit(split.train, validation=...)."
            raise refusal(validation, owner, "validation", "None beside a split, which brings its own", advice)
        return data.train, data.validation
    if validation is not None and is_frame(data) and is_frame(validation):
        split = from_frames(data, validation)
        return split.train, split.test
    train = as_dataset(data, owner=owner)
    if isinstance(validation, Dataset) and validation.item_vocabulary is train.item_vocabulary:
        return train, Holdout(train, validation)
    if validation is not None:
        advice = "Give split.validation of segue.split.leave_last_out(data), or the events of both as frames."
        require(validation, Holdout, owner, "validation", "a holdout", advice)
        if not validation.context.item_vocabulary.ids.equals(train.item_vocabulary.ids):
            raise refusal(validation, owner, "validation", "a holdout of the same data set", advice)
    return train, validation


def _from_end(data: Dataset) -> np.ndarray:
    """Place of each event counted from its user's last (0)."""
    return data.events.select((pl.len() - 1 - pl.int_range(pl.len())).over("user")).to_series().to_numpy()


def _window_start(data: Dataset, cut: object, ordered: np.ndarray, end: Fraction) -> tuple[int, Fraction]:
    """The first moment of a window that ends before event ``end`` of the log, and how many events are before it."""
    cut = as_python(cut)
    if isinstance(cut, float | int) and (isinstance(cut, bool) or not 1 < cut < float("inf")):  # a share
        start = end - share_of(cut, len(ordered)) if cut == cut and abs(cut) <= 1 else Fraction(0)
        if not 0 < start < len(ordered):
            raise SplitEmpty(what="train on", why=f"a window takes a share of {cut:g} of the log")
        return int(ordered[math.floor(start)]), start
    moment, clock = read_moment(cut, data.time_zone)
    if moment is None or clock != data.clock:
        known = {"time": "times", "order": "an order"}[data.clock]
        raise SplitEmpty(what="train on", why=f"the cut {str(cut)!r} is no moment of this log, which counts {known}")
    return moment, Fraction(int(np.searchsorted(ordered, moment)))


def _refuse_leak(train: Dataset, holdout: Holdout, across_users: bool) -> None:
    for known, where in ((train, "the training set"), (holdout.context, "their own context")):
        _refuse_shared(known, holdout.targets, f"targets are in {where}")
    last = holdout.context.events.group_by("user").agg(pl.col("timestamp").max().alias("known_until"))
    first = holdout.targets.events.join(last, on="user")
    older = first.filter(pl.col("timestamp") < pl.col("known_until"))
    _refuse(older, holdout.targets, "targets are older than what the model is asked with")
    if across_users:
        newest = train.events["timestamp"].max()
        older = holdout.targets.events.filter(pl.col("timestamp") < newest)
        _refuse(older, holdout.targets, "training reaches past the start of the window")


def _refuse_shared(left: Dataset, right: Dataset, what: str, key: Sequence[str] = ("row",)) -> None:
    _refuse(right.events.join(left.events.select(key).unique(), on=list(key), how="semi"), right, what)


def _refuse(rows: pl.DataFrame, data: Dataset, what: str) -> None:
    if rows.height:
        user = data.user_vocabulary.decode([rows["user"][0]])[0]
        item = data.item_vocabulary.decode([rows["item"][0]])[0]
        raise SplitLeak(what=what, count=rows.height, user=user, item=item)
