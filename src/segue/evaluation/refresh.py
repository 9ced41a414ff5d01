"""New events for a recommender, and whether it is the better for them: learnt, then judged on the newest of them.

The newest events are held out by time. The recommender learns on from the others, and is asked, beside the one that
it was, what each of those people did next, with full ranking over the catalogue. Where it is not worse it learns
everything anew, the held-out events too, from where it stood: by the same recipe that was judged, as a training's refit
does. Which events are new, and what becomes of the result, is left to ``serving.learning``.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
from pydantic import Field

from segue.config import Config
from segue.data.cleaning import CleaningReport
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.vocabulary import Vocabulary
from segue.errors import ConfigUnknown, EmptyLog, ItemsNotTaken, NotFitted
from segue.evaluation.significance import paired_test
from segue.numeric import share_of
from segue.ranking.metrics import PER_USER, Hits, parse_metric
from segue.recommenders.base import Recommender
from segue.recommenders.growing import add_items
from segue.recommenders.joining import histories_of, joined, read_events
from segue.recommenders.kinds import rarely_again

METRICS = ("ndcg@10", "hit_rate@10")
_SHARES = (1.0, 1.5, 2.0, 2.5)  # of the share that was wished, where fewer people than wanted can be asked
_LONGEST = 10


class RefreshConfig(Config):
    """What is held out, and when the new model is worse than the old one."""

    share: float = Field(0.2, gt=0, le=0.4)
    """Share of the new events, the newest, that is held out; up to 2.5 times as much where too few can be asked."""
    users: int = Field(100, ge=2)
    """At least so many people have to be there to ask about: one event each, the first of theirs that is held out."""
    alpha: float = Field(0.05, gt=0, lt=1)
    """The new model is worse where a paired test says so on this level (one-sided)."""
    tolerance: float = Field(0.05, ge=0)
    """It is worse too where its mean is below the old one's by more than this share of it."""


@dataclass(frozen=True)
class Verdict:
    """One metric of the old and of the new model over the same people.

    Attributes:
        old, new: means.
        difference, low, high: of the means, and its 95 % interval (bootstrap over people).
        p_worse: how likely chance makes the new one as much worse, or worse still (paired randomisation test).
        worse: by the rules of :class:`RefreshConfig`.
    """

    old: float
    new: float
    difference: float
    low: float
    high: float
    p_worse: float
    worse: bool


@dataclass(frozen=True, eq=False)
class Learnt:
    """What came of it.

    Attributes:
        recommender: the new model, which has learnt all the events; None where there is none worth having.
        way: ``"update"`` where it learnt on with replay, ``"refit"`` where its class learns everything anew.
        why: why there is none, or why it could not be judged.
        events, known, foreign: new events; those that were known already; those whose ids are of another kind than the
            log's, which it cannot learn from.
        asked: people who were asked about.
        verdicts: by metric; empty where nobody could be asked.
        seconds: of all learning and asking.
    """

    recommender: Recommender | None
    way: str
    why: str = ""
    events: int = 0
    known: int = 0
    foreign: int = 0
    asked: int = 0
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    seconds: float = 0.0

    def document(self) -> dict[str, Any]:
        """For JSON."""
        figures = {name: asdict(verdict) for name, verdict in self.verdicts.items()}
        plain = ("way", "why", "events", "known", "foreign", "asked", "seconds")
        return {name: getattr(self, name) for name in plain} | {"verdicts": figures}


def learn(
    model: Recommender,
    events: pl.DataFrame,
    config: RefreshConfig | None = None,
    *,
    always: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Learnt:
    """Learn from new events, unless that makes the model worse.

    Args:
        model: fitted; it stays as it is.
        events: ``user_id``, ``item_id`` (text or as in the log), ``timestamp`` (microseconds since 1970, or a number as
            in the log), and ``action`` and ``value`` where the log has them.
        config: what is held out, and what worse means.
        always: learn even where the new model is worse or cannot be judged; the figures are there all the same.
        settings: of ``SequenceRecommender.update``, such as ``forgetting="ewc"``; a recommender without an ``update``
            is fitted anew with its own settings, and takes none.

    Raises:
        NotFitted, ConfigUnknown, ConfigValue, UpdateRefused, DistilRefused, TrainingDiverged and others of fitting.
    """
    began, config = time.perf_counter(), config or RefreshConfig()
    if not model._fitted:
        raise NotFitted(owner=type(model).__name__)
    way = "update" if hasattr(model, "update") else "refit"
    if way == "refit" and settings:
        owner = f"the refit of {type(model).__name__}"
        raise ConfigUnknown(name=next(iter(settings)), owner=owner, hint="", known="none")
    table, foreign = _in_its_ids(model, events)
    done: dict[str, Any] = {"way": way, "foreign": foreign}
    if not table.height:
        return Learnt(None, why="none of the new events can be learnt from", **done)
    log = _Log.of(model, table)
    done |= {"events": int(log.flat["new"].sum()), "known": log.known}
    if not done["events"]:
        return Learnt(None, why="all events were known already", **done)
    held = log.held_out(config)
    if held is None and not always:
        why = f"fewer than {config.users} people can be asked about the newest events"
        return Learnt(None, why=why, seconds=time.perf_counter() - began, **done)
    why, verdicts = "", {}
    if held is not None:
        asked, targets, cut = held
        tried = log.learnt(way, pl.col("timestamp") < cut, settings, progress)
        verdicts = judged(log.grown, tried, asked, targets, config)
        done["asked"] = len(asked)
        if any(each.worse for each in verdicts.values()):
            why = f"it is worse on the newest events ({', '.join(n for n, v in verdicts.items() if v.worse)})"
    else:
        why = f"it was not judged: fewer than {config.users} people can be asked about the newest events"
    better = log.learnt(way, pl.lit(True), settings, progress) if always or not why else None
    return Learnt(better, why=why, verdicts=verdicts, seconds=time.perf_counter() - began, **done)


def judged(
    old: Recommender, new: Recommender, asked: Histories, targets: Histories, config: RefreshConfig
) -> dict[str, Verdict]:
    """Both models' answers to the same questions, held against what came; see :class:`Verdict`.

    Args:
        old: where its catalogue is the shorter one, events on items that it does not know are not read.
        asked: (people,) what was known of each, asked about the moment and the kind of action of the target.
        targets: (people,) one item each.
    """
    hits = [_hits(model, asked, targets) for model in (old, new)]
    verdicts = {}
    for name in METRICS:
        metric, k = parse_metric(name)
        before, after = (PER_USER[metric](each, k) for each in hits)
        test = paired_test(after, before)
        p_worse = test.p_value / 2 if test.difference < 0 else 1 - test.p_value / 2
        below = after.mean() < before.mean() * (1 - config.tolerance)
        means = float(before.mean()), float(after.mean())
        verdicts[name] = Verdict(
            *means, test.difference, test.low, test.high, p_worse, bool(below or p_worse < config.alpha)
        )
    return verdicts


def _hits(model: Recommender, asked: Histories, targets: Histories) -> Hits:
    known = asked.keep(asked.items <= len(model.item_vocabulary))
    # Whether items seen may be listed belongs to the questions, so that both models are asked alike.
    kind = 0 if asked.wanted is None else int(asked.wanted[0])
    lists, _ = model.recommend_codes(known, _LONGEST, exclude_seen=rarely_again(asked, kind), progress=False)
    return Hits.of(np.pad(lists, ((0, 0), (0, _LONGEST - lists.shape[1]))), targets)


@dataclass(frozen=True, eq=False)
class _Log:
    """What a model knows, and new events, in one set of codes.

    Attributes:
        model: as it was given.
        grown: the same with room for the new items; where its class cannot take any, as it was given.
        items: all items, the new ones behind those that the model knows.
        people: all people, likewise.
        table: the new events, cleaned, with external ids.
        flat: all events, those of the table that are not known already marked ``new``.
        known: how many of the table were known already.
    """

    model: Recommender
    grown: Recommender
    items: Vocabulary
    people: Vocabulary
    table: pl.DataFrame
    flat: pl.DataFrame
    known: int

    @classmethod
    def of(cls, model: Recommender, table: pl.DataFrame) -> _Log:
        unheard = table.filter(pl.Series(model.item_vocabulary.encode(table["item_id"]) == 0))
        grown, items = copy.copy(model), model.item_vocabulary
        if unheard.height:
            items = Vocabulary.of(items.ids, unheard["item_id"], is_uuid=items.is_uuid)
            try:
                add_items(grown, unheard.select("item_id").unique(maintain_order=True))
            except ItemsNotTaken:
                grown = copy.copy(model)
        coder = copy.copy(model)
        coder.item_vocabulary = items
        people = Vocabulary.of(model.user_vocabulary.ids, table["user_id"], is_uuid=model.user_vocabulary.is_uuid)
        return cls(model, grown, items, people, table, *joined(coder, table, people))

    def held_out(self, config: RefreshConfig) -> tuple[Histories, Histories, int] | None:
        """Questions, targets and the first moment of the newest new events; None where too few can be asked."""
        stamps = np.sort(self.flat.filter("new")["timestamp"].to_numpy())
        for factor in _SHARES:
            cut = int(stamps[math.floor(len(stamps) - share_of(config.share, len(stamps)) * Fraction(factor))])
            if cut == stamps[0]:  # nothing would be left to learn from
                return None
            asked, targets = self._asked(cut)
            if len(asked) >= config.users:
                return asked, targets, cut
        return None

    def _asked(self, cut: int) -> tuple[Histories, Histories]:
        """What each person did first from a moment on, with everything before the moment as what is known."""
        late = self.flat.filter(pl.col("new") & (pl.col("timestamp") >= cut))
        kind = self.model._kind(self.model.target)
        if kind:
            late = late.filter(pl.col("action") == kind)
        first = late.unique("user", keep="first", maintain_order=True).sort("user")
        context = histories_of(self.flat.filter(pl.col("timestamp") < cut), len(self.people) + 1)
        rows = first["user"].to_numpy().astype(np.int64)
        there = context.lengths[rows] > 0
        rows, first = rows[there], first.filter(pl.Series(there))
        targets = Histories(np.arange(len(rows) + 1), first["item"].to_numpy().astype(np.int64))
        wanted = np.full(len(rows), kind) if kind else None
        return context.take(rows).asked(at=first["timestamp"].to_numpy(), wanted=wanted), targets

    def learnt(self, way: str, which: pl.Expr, settings: Mapping[str, Any], progress: bool) -> Recommender:
        """The model after it has learnt from some of the new events."""
        if way == "update":
            new: Any = copy.copy(self.grown)
            new.update(self.table.filter(which).with_columns(self._readable()), progress=progress, **settings)
            return new  # type: ignore[no-any-return]
        return type(self.model)(self.model.config).fit(
            self._dataset(self.flat.filter(~pl.col("new") | which)), progress=progress
        )

    def _readable(self) -> pl.Expr:
        stamp = pl.col("timestamp")
        return stamp if self.model.clock == "order" else pl.from_epoch(stamp, "us").dt.replace_time_zone("UTC")

    def _dataset(self, flat: pl.DataFrame) -> Dataset:
        model = self.model
        events = flat.with_columns(pl.col("user", "item").cast(pl.UInt32)).with_row_index("row").drop("new")
        if "action" in events.columns:
            names = pl.Series([None, *model.action_names], dtype=pl.String)
            events = events.with_columns(names.gather(events["action"]).alias("action"))
        if "value" in events.columns:
            events = events.with_columns(pl.col("value").fill_nan(None))
        return Dataset(
            events,
            self.grown.items,
            self.people,
            self.items,
            model.clock,
            model.frame_kind,
            CleaningReport(events.height),
            model.time_zone,
            model.action_names,
        )


def _in_its_ids(model: Recommender, events: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """Events with ids of the model's kinds, cleaned; and how many had other ids, which no cast can bring there."""
    kinds = {"user_id": model.user_vocabulary.ids.dtype, "item_id": model.item_vocabulary.ids.dtype}
    cast = events.with_columns(pl.col(name).cast(kind, strict=False) for name, kind in kinds.items())
    usable = cast.filter(pl.all_horizontal(pl.col(*kinds).is_not_null())).drop("seq", strict=False)
    if not usable.height:
        return usable, events.height
    if model.clock == "time":
        usable = usable.with_columns(pl.from_epoch("timestamp", "us").dt.replace_time_zone("UTC"))
    try:
        return read_events(model, usable).drop("row"), events.height - usable.height
    except EmptyLog:  # cleaning has left nothing
        return usable.clear(), events.height - usable.height
