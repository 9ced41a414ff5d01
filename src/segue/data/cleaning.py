"""Removing what cannot be used from an event log, and counting every removal.

Runs on normalised events (see ``schema``); each step states how many events and users it took, so nothing
disappears silently. It reads no files and encodes no ids.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import polars as pl
from pydantic import Field

from segue.config import Config, ReadWhere
from segue.data.schema import Clock
from segue.errors import EmptyLog

SEARCH = "search"
"""The kind of action of an event that may have no item; its text stands in the column ``query``."""
_DAY = 86_400_000_000  # microseconds


class CleaningConfig(Config):
    """What to remove from a log. The defaults remove only what cannot be right."""

    read_where = (
        ReadWhere(("bot_events", "bot_gap_seconds"), "bots is true", lambda config: config.bots, on=("bots",)),
    )
    duplicates: bool = True
    """Keep the first of events that agree in all columns."""
    min_user_events: int = Field(1, ge=1)
    """k-core: users with fewer events go, again and again until none is left to go."""
    min_item_events: int = Field(1, ge=1)
    """k-core: the same for items."""
    bots: bool = False
    """Remove bot-like users: very many events with hardly a pause (see the next two)."""
    bot_events: int = Field(1_000, ge=2)
    """A bot-like user has at least this many events ..."""
    bot_gap_seconds: float = Field(1.0, ge=0)
    """... and a median pause between events below this many seconds."""
    session_gap_minutes: float | None = Field(None, gt=0)
    """Number the sessions of each user in a column ``session``; a longer pause starts a new one."""


@dataclass
class CleaningReport:
    """How many events came in, what each step removed, and how many went out."""

    events_in: int
    events_out: int = 0
    steps: list[dict[str, int | str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def removed(self, step: str) -> int:
        """Events removed by a step (0 when it did not run)."""
        return sum(int(row["events"]) for row in self.steps if row["step"] == step)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"events_in": self.events_in, "events_out": self.events_out, "steps": self.steps, "notes": self.notes}


def clean(
    events: pl.DataFrame, clock: Clock, config: CleaningConfig | None = None
) -> tuple[pl.DataFrame, CleaningReport]:
    """Apply every step of ``config`` in order and report it.

    Raises:
        EmptyLog: nothing is left; the message says which step took most.
    """
    config = config or CleaningConfig()
    report = CleaningReport(events_in=events.height)

    def keep(step: str, condition: pl.Expr | pl.Series) -> None:
        nonlocal events
        kept = events.filter(condition)
        if kept.height < events.height:
            users = events["user_id"].n_unique() - kept["user_id"].n_unique()
            report.steps.append({"step": step, "events": events.height - kept.height, "users": users})
        events = kept

    keep("no user_id", pl.col("user_id").is_not_null())
    if "action" in events.columns:
        # It is no item to learn, and nothing is wrong with it either: it is counted apart.
        keep("search without an item", pl.col("item_id").is_not_null() | pl.col("action").ne_missing(SEARCH))
        searches = report.removed("search without an item")
        if searches and "query" in events.columns:
            report.notes.append(f"{searches} searches led to no item: their text is not learnt from")
    keep("no item_id", pl.col("item_id").is_not_null())
    keep("unreadable timestamp", pl.col("timestamp").is_not_null())
    if clock == "time":
        keep("timestamp before 1970", pl.col("timestamp") > 0)
        keep("timestamp in the future", pl.col("timestamp") <= int(time.time() * 1e6) + _DAY)
    if "value" in events.columns:
        broken = int((~events["value"].fill_null(0.0).is_finite()).sum())
        if broken:
            report.notes.append(f"{broken} values were not finite and count as absent")
            events = events.with_columns(pl.when(pl.col("value").is_finite()).then(pl.col("value")).alias("value"))
    if config.duplicates:
        keep("duplicate", first_of_copies(events))
    if config.bots and clock == "time":
        bots = bot_like(events, config)
        keep("bot-like user", ~pl.col("user_id").is_in(bots.implode()))
    _k_core(keep, config, lambda: events)
    report.events_out = events.height
    if events.height == 0:
        worst = max(report.steps, key=lambda row: int(row["events"]), default=None)
        raise EmptyLog(
            what="event log", why=f" left; the step {worst['step']!r} removed {worst['events']}" if worst else ""
        )
    return events, report


def first_of_copies(events: pl.DataFrame) -> pl.Series:
    """True where no earlier row agrees in every column but ``row``; False marks an exact duplicate."""
    columns = [
        pl.Series(column.name, [str(value) for value in column]) if column.dtype == pl.Object else column
        for column in events.get_columns()
        if column.name != "row"
    ]
    return pl.DataFrame(columns).select(pl.struct(pl.all()).is_first_distinct()).to_series()


def bot_like(events: pl.DataFrame, config: CleaningConfig) -> pl.Series:
    """Ids of users with very many events and a tiny median pause."""
    busy = events.filter(pl.len().over("user_id") >= config.bot_events)
    gaps = (
        busy.sort("user_id", "timestamp", maintain_order=True)
        .group_by("user_id")
        .agg(pl.col("timestamp").diff().median().alias("gap"))
    )
    return gaps.filter(pl.col("gap") < config.bot_gap_seconds * 1e6)["user_id"]


def number_sessions(events: pl.DataFrame, gap_minutes: float) -> pl.DataFrame:
    """Add ``session`` (0, 1, ...) per user to events in user and time order."""
    pause = pl.col("timestamp").diff().over("user_id") > gap_minutes * 60e6
    return events.with_columns(pause.fill_null(False).cast(pl.Int32).cum_sum().over("user_id").alias("session"))


def _k_core(keep, config: CleaningConfig, current) -> None:  # type: ignore[no-untyped-def]
    if config.min_user_events == 1 and config.min_item_events == 1:
        return
    before = -1
    while before != current().height:
        before = current().height
        keep("user below the k-core", pl.len().over("user_id") >= config.min_user_events)
        keep("item below the k-core", pl.len().over("item_id") >= config.min_item_events)
