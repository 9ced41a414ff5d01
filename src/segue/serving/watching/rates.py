"""What became of the lists that were shown: impressions, clicks and conversions by model, position and time.

An event that names a recommendation closes the loop: the list tells which model gave it, at which place the item stood
and when. Each item of a list counts once in each role, however many events say so; what was clicked or bought was seen,
so it counts as an impression too. Everything belongs to the hour in which its list was shown: rates are shares of what
was shown then. Counting is a union of sets, so the order of events does not matter, nor does reading one twice, and a
replay of the store gives the same numbers. No user is known here. Reading the store is ``replay``'s.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from segue.config import Config
from segue.serving.watching.metrics import Labels
from segue.serving.watching.proportions import Difference, difference, wilson

HOUR = 3_600_000_000  # microseconds
ROLES = ("impressions", "clicks", "conversions")
Role = Literal["impressions", "clicks", "conversions"]
By = Literal["model", "position", "hour", "day"]
_MODELS = 64
_SURE = 0.01


class FeedbackConfig(Config):
    """What actions mean, and how much is remembered."""

    impression: tuple[str, ...] = ("impression",)
    """Actions that say an item was seen. They are no history, and nothing is learnt from them as from what was done:
    histories, updates by the clock, online mode and the page all go by this."""
    click: tuple[str, ...] = ("click", "view")
    """Actions that say it was looked at."""
    conversion: tuple[str, ...] = ("purchase", "order")
    """Actions that say it was what the list was for."""
    served_as_impressions: bool = False
    """Where nobody sends impressions: every item of a list that was answered counts as one."""
    hours: int = Field(default=168, ge=1, le=24 * 366)
    """Hours that are kept."""
    recent_hours: int = Field(default=24, ge=1)
    """What ``click_rate_drop`` compares with the hours before."""
    positions: int = Field(default=20, ge=1, le=1000)
    """Positions that are told apart; those beyond count as the last."""
    lists: int = Field(default=50_000, ge=100)
    """Lists with feedback that are remembered, so that nothing counts twice."""
    recent_lists: int = Field(default=10_000, ge=100)
    """Lists whose items are at hand; others are read from the store again."""
    waiting: int = Field(default=10_000, ge=100)
    """Events that wait for their list to be read."""

    @model_validator(mode="after")
    def _one_role_each(self) -> FeedbackConfig:
        actions = [*self.impression, *self.click, *self.conversion]
        if len(set(actions)) < len(actions):
            raise ValueError("an action has two roles among impression, click and conversion")
        return self


class _Shown(NamedTuple):
    """What is needed of a list."""

    model: str
    received: int
    items: tuple[str, ...]


@dataclass(frozen=True)
class Rate:
    """A row of the table; what it is not broken down by is None.

    Attributes:
        model: which model answered.
        position: from 1; the last one stands for all beyond.
        start: the first microsecond (UTC) of the hour or day.
        impressions, clicks, conversions: counts.
        click_rate, conversion_rate: shares of the impressions, None where there were none.
        click_interval, conversion_interval: 95% of them (Wilson 1927).
    """

    model: str | None
    position: int | None
    start: int | None
    impressions: int
    clicks: int
    conversions: int

    @property
    def click_rate(self) -> float | None:
        """Clicks of impressions."""
        return None if not self.impressions else min(self.clicks / self.impressions, 1.0)

    @property
    def conversion_rate(self) -> float | None:
        """Conversions of impressions."""
        return None if not self.impressions else min(self.conversions / self.impressions, 1.0)

    @property
    def click_interval(self) -> tuple[float, float]:
        """Low and high."""
        return wilson(self.clicks, self.impressions)

    @property
    def conversion_interval(self) -> tuple[float, float]:
        """Low and high."""
        return wilson(self.conversions, self.impressions)


class Rates:
    """Counts over the last hours; memory is bounded by the settings.

    Args:
        config: roles of actions, and bounds.
        wall: seconds since 1970.

    Attributes:
        unknown: events whose list was not found, or that came for a list too old to count.
    """

    def __init__(self, config: FeedbackConfig | None = None, wall: Callable[[], float] = time.time) -> None:
        self.config = config = config or FeedbackConfig()
        self.unknown = 0
        self._wall = wall
        self._lock = threading.RLock()
        self._role = {
            action: role for role, name in enumerate(("impression", "click", "conversion"))
            for action in getattr(config, name)
        }  # fmt: skip
        self._model = Labels(_MODELS)
        self._cells: dict[tuple[int, str], np.ndarray] = {}  # (positions, roles) by hour and model
        self._totals: dict[str, np.ndarray] = {}
        self._shown: OrderedDict[str, _Shown] = OrderedDict()
        self._counted: dict[str, tuple[int, int]] = {}  # when the list was shown, and what of it has counted, as bits
        self._floor = -1  # lists shown before it are forgotten
        self._waiting: deque[tuple[float, str, str, int]] = deque()

    # -- counting ----------------------------------------------------------------------------------------------

    def _of(self, served: Any) -> _Shown:
        # The same items stand in most lists: one text of each is enough, a tenth of the memory.
        items = tuple(sys.intern(str(item)) for item in served.items)
        return _Shown(self._model(served.model), served.received, items)

    def listed(self, lists: Iterable[Any]) -> None:
        """Take lists that were shown (``ServedList``), each once; shadows' are left aside."""
        with self._lock:
            for served in lists:
                if served.shadow:
                    continue
                shown = self._of(served)
                self._remember(served.recommendation_id, shown)
                if self.config.served_as_impressions and served.received >= self._edge():
                    places = np.minimum(np.arange(len(shown.items)), self.config.positions - 1)
                    self._add(shown, places, 0)
            self._forget()

    def took(self, events: Iterable[Any]) -> None:
        """Take events (``StoredEvent``); those of a list that is not at hand wait for :meth:`settle`."""
        with self._lock:
            for event in events:
                role = self._role.get(event.action)
                if event.recommendation_id is None or role is None:
                    continue
                shown = self._shown.get(event.recommendation_id)
                if shown is not None:
                    self._count(event.recommendation_id, shown, event.item_id, role)
                elif len(self._waiting) < self.config.waiting:
                    self._waiting.append((event.received / 1e6, event.recommendation_id, event.item_id, role))
                else:
                    self.unknown += 1
            self._forget()

    def settle(self, find: Callable[[str], Any], seconds: float = 1.0, patience: float = 60.0) -> None:
        """Count what waits, reading lists with ``find`` (id to ``ServedList`` or None).

        Args:
            find: may raise; then what waits goes on waiting.
            seconds: how long to read at most; the rest is left for the next time.
            patience: seconds from an event's coming until its list, if it is not there, is given up.
        """
        until, now = time.monotonic() + seconds, self._wall()
        for _ in range(len(self._waiting)):
            if time.monotonic() > until:
                return
            came, name, item, role = self._waiting[0]
            with self._lock:
                shown = self._shown.get(name)
            if shown is None and (served := find(name)) is not None:
                shown = self._of(served)
            with self._lock:
                self._waiting.popleft()
                if shown is not None:
                    self._remember(name, shown)
                    self._count(name, shown, item, role)
                elif now - came < patience:
                    self._waiting.append((came, name, item, role))
                else:
                    self.unknown += 1
        with self._lock:
            self._forget()

    def _remember(self, name: str, shown: _Shown) -> None:
        self._shown[name] = shown
        if len(self._shown) > self.config.recent_lists:
            self._shown.popitem(last=False)

    def _count(self, name: str, shown: _Shown, item: str, role: int) -> None:
        if item not in shown.items:
            return
        if shown.received < self._edge():
            self.unknown += 1
            return
        place = shown.items.index(item)
        before = self._counted.get(name, (0, 0))[1]
        # What was clicked or bought was seen.
        bits = 1 << role | (0 if self.config.served_as_impressions else 1)
        if role == 0 and self.config.served_as_impressions:
            return
        new = bits << 3 * place & ~before
        if new:
            self._counted[name] = shown.received, before | new
            for number in range(3):
                if new >> 3 * place & 1 << number:
                    self._add(shown, min(place, self.config.positions - 1), number)

    def _add(self, shown: _Shown, places: Any, role: int) -> None:
        cell = self._cells.setdefault((shown.received // HOUR, shown.model), self._empty())
        np.add.at(cell[:, role], places, 1)
        self._totals.setdefault(shown.model, np.zeros(3, np.int64))[role] += np.size(places)

    def _empty(self) -> np.ndarray:
        return np.zeros((self.config.positions, len(ROLES)), np.int64)

    def first_hour(self) -> int:
        """The oldest hour that is kept, in hours since 1970."""
        return int(self._wall() * 1e6) // HOUR - self.config.hours + 1

    def _edge(self) -> int:
        """Lists shown before it no longer count: they are older than the hours kept, or forgotten."""
        return max(self._floor, self.first_hour() * HOUR)

    def _forget(self) -> None:
        first = self.first_hour()
        for key in [key for key in self._cells if key[0] < first]:
            del self._cells[key]
        if len(self._counted) > self.config.lists:
            # The oldest tenth goes; events that still come for lists of that age can be told from new ones no longer.
            moments = np.fromiter((received for received, _ in self._counted.values()), np.int64)
            edge = self._floor = int(np.partition(moments, len(moments) // 10)[len(moments) // 10]) + 1
            self._counted = {name: kept for name, kept in self._counted.items() if kept[0] >= edge}

    # -- reading -----------------------------------------------------------------------------------------------

    def table(self, by: tuple[By, ...] = ("model",), since: int | None = None, until: int | None = None) -> list[Rate]:
        """Rates broken down by some of model, position, and hour or day (UTC).

        Args:
            by: what rows tell apart; nothing is one row for all.
            since, until: microseconds UTC of when lists were shown, to the hour; None is all that is kept.
        """
        first = self.first_hour() if since is None else max(self.first_hour(), since // HOUR)
        last = None if until is None else until // HOUR
        rows: dict[tuple[Any, ...], np.ndarray] = {}
        with self._lock:
            for (hour, model), cell in self._cells.items():
                if hour < first or (last is not None and hour > last):
                    continue
                start = hour * HOUR if "hour" in by else hour // 24 * 24 * HOUR if "day" in by else None
                parts = enumerate(cell, start=1) if "position" in by else [(None, cell.sum(0))]
                for position, counts in parts:
                    if counts.any():
                        key = (model if "model" in by else None, position, start)
                        rows[key] = rows[key] + counts if key in rows else counts
        keys = sorted(rows, key=lambda key: tuple((part is not None, part) for part in key))
        return [Rate(*key, *map(int, rows[key])) for key in keys]

    def totals(self, role: Role) -> dict[tuple[str, ...], float]:
        """Counts by model since the start of the process and of what was read at its start; they only grow."""
        with self._lock:
            return {(model,): float(counts[ROLES.index(role)]) for model, counts in self._totals.items()}

    def compare(self, first: str, second: str, role: Role = "clicks", since: int | None = None) -> Difference | None:
        """How the rate of the second model differs from that of the first; None where one was never shown."""
        rows = {row.model: row for row in self.table(("model",), since)}
        if first not in rows or second not in rows:
            return None
        pair = rows[first], rows[second]
        hits = getattr(pair[0], role), getattr(pair[1], role)
        return difference(hits, (pair[0].impressions, pair[1].impressions))

    def click_rate_drops(self) -> dict[str, float]:
        """Relative loss of each model's click rate, the recent hours against those before, where it is no chance."""
        edge = (int(self._wall() * 1e6) // HOUR - self.config.recent_hours + 1) * HOUR
        before = {row.model: row for row in self.table(("model",), until=edge - 1)}
        drops: dict[str, float] = {}
        for now in self.table(("model",), since=edge):
            then = before.get(now.model)
            if then is None or not then.clicks or now.model is None:
                continue
            found = difference((then.clicks, now.clicks), (then.impressions, now.impressions))
            if found is not None and found.value < 0 and found.p < _SURE:
                drops[now.model] = -found.value / found.first
        return drops
