"""Health of a service in figures and words, read from its parts when the page asks; parts that are not there are left
out. What is watched, and which limits hold, is ``watching``'s."""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from segue.errors import SegueError
from segue.serving.page.source import Alert, Health, Model
from segue.serving.service import Service
from segue.serving.watching.latency import LastMinute

_PAST = 50
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
Pairs = Sequence[tuple[str, str]]


class Figures:
    """Reads health; the latencies are of what came since the reading a minute ago, or since the start."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._minute = None if service.watch is None else LastMinute(service.watch.metrics)

    def read(self) -> Health:
        """How the service is now."""
        why = self._missing()
        watch, alerts = self.service.watch, []
        past: list[Alert] = []
        if watch is not None:
            alerts = [_alert(change) for change in watch.alerts.active()]
            past = [_alert(change) for change in watch.alerts.history()[:_PAST]]
        models, can_roll_back = self._models()
        return Health(
            not why,
            why or "It answers, and the store answers it.",
            list(self._tiles()),
            {name: pairs for name, pairs in self._groups() if pairs},
            models,
            alerts,
            past,
            can_roll_back,
        )

    def _missing(self) -> str:
        service = self.service
        if service.draining:
            return "It is about to end."
        try:
            service.models.choose(None)
            service.store.ping()
        except SegueError as error:
            return str(error)
        return ""

    def _tiles(self) -> Iterable[tuple[str, str, str]]:
        service, watch = self.service, self.service.watch
        if self._minute is not None:
            recent = self._minute.read(time.monotonic())
            yield "p50", _milliseconds(recent.p50), "half of the last minute's requests take less"
            yield "p99", _milliseconds(recent.p99), "99 of 100 of them take less"
            yield "requests", f"{recent.requests:,}", "in the last minute"
        if service.gate is not None:
            stats = service.gate.stats()
            yield "waiting", f"{stats.waiting} of {service.gate.queue}", f"{stats.running} are being answered"
        yield "memory", f"{_resident() / 1e6:,.0f} MB", "of this process"
        if watch is not None:
            yield "behind", f"{watch.lag_seconds():.1f} s", f"{watch.behind:,} events not yet known here"

    def _groups(self) -> Iterable[tuple[str, Pairs]]:
        yield "Store", self._store()
        yield "Requests", self._requests()
        yield "Drift", self._drift()
        yield "Updates", self._updates()

    def _store(self) -> Pairs:
        store, pairs = self.service.store, []
        pairs.append(("address", str(getattr(store, "address", ""))))
        try:
            newest = store.newest()
            pairs += [(f"newest number of {name}", f"{seq:,}") for name, seq in newest.items()]
        except SegueError as error:
            pairs.append(("reading it", str(error)))
        if self.service.writer is not None:
            pairs.append(("events waiting for their commit", f"{self.service.writer.waiting:,}"))
        free = None if self.service.watch is None else self.service.watch.disk_free()
        if free is not None:
            pairs.append(("free on its disk", f"{free:.0%}"))
        return pairs

    def _requests(self) -> Pairs:
        if self.service.gate is None:
            return []
        stats = self.service.gate.stats()
        return [
            ("answered", f"{stats.finished:,}"),
            ("refused, for too many waited", f"{stats.refused:,}"),
            ("past their deadline", f"{stats.expired:,}"),
            ("threads nobody waits for", f"{stats.lost:,}"),
        ]

    def _drift(self) -> Pairs:
        if self.service.watch is None:
            return []
        drift, limits = self.service.watch.drift, self.service.watch.alerts.config
        pairs: list[tuple[str, str]] = []
        for name, readings, limit, form, judged in (  # alerts judge one kind of each
            ("popularity of items (PSI)", drift.popularity_psi(), limits.popularity_psi, ".3f", "events"),
            ("best scores (PSI)", drift.score_psi(), limits.score_psi, ".3f", ""),
            ("items not met in training", drift.cold_items(), limits.cold_items_share, ".1%", "events"),
            ("users not met in training", drift.cold_users(), limits.cold_users_share, ".1%", "answers"),
        ):
            for key, value in readings.items():
                told = _within(value, limit, form) if judged in ("", key[-1]) else f"{value:{form}}"
                pairs.append((f"{name}, {', '.join(key)}", told))
        return pairs or [("all of it", f"told from {drift.config.least:,} events or answers on")]

    def _updates(self) -> Pairs:
        schedule = self.service.schedule
        if schedule is None:
            return [("schedule", "none; by hand: segue update DIR --store URL")]
        state = schedule.state()
        before = state.last or {}
        last = " ".join(str(before[name]) for name in ("state", "name", "why") if before.get(name))
        pairs = [
            ("now", f"{state.running} is being updated" if state.running else "at rest"),
            ("last", last or "none yet"),
            ("new events since", f"{state.waiting:,}"),
            ("next", "by events alone" if state.next is None else str(state.next)),
        ]
        if state.elsewhere:
            pairs[0] = ("now", "another process updates")
        return [*pairs, ("failed", state.failed)] if state.failed else pairs

    def _models(self) -> tuple[list[Model], bool]:
        try:
            infos = self.service.models.all()
            can_roll_back = bool(self.service.models.registry.answered())
        except SegueError:
            return [], False
        rows = [
            Model(info.row.name, info.row.role, info.row.weight, told(info.row.created, "time"), _note(info))
            for info in infos
        ]
        return rows, can_roll_back


def told(moment: int | None, clock: str, seconds: bool = False) -> str:
    """A moment for a person, in UTC; of an order its number, and nothing where there is none."""
    if moment is None or moment < 0:
        return ""
    if clock == "order":
        return str(moment)
    try:
        return f"{_EPOCH + dt.timedelta(microseconds=moment):{'%Y-%m-%d %H:%M:%S' if seconds else '%Y-%m-%d %H:%M'}}"
    except OverflowError:
        return str(moment)


def _note(info: Any) -> str:
    if info.refused:
        return f"refused: {info.refused}"
    learnt = f"learnt to event {info.row.learnt_to_seq:,}"
    return learnt if info.loaded or info.row.role == "waiting" else f"{learnt}; not loaded here yet"


def _alert(change: Any) -> Alert:
    number = "" if change.value is None else f"{change.value:.4g} (limit {change.limit:.4g}) "
    return Alert(change.name, change.state, change.at, f"{number}{change.detail}")


def _within(value: float, limit: float | None, form: str) -> str:
    return f"{value:{form}}" + ("" if limit is None else f" (limit {limit:{form}})")


def _milliseconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{1_000 * seconds:.3g} ms"


def _resident() -> int:
    """Bytes of this process in memory; the most it ever had where the system tells no more."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
