"""Metrics, rates, drift and alerts as one part of the service: what requests tell it, and the threads that look around.

One thread talks to the store (rates, lag, whether it answers), which may hang; another holds numbers against limits and
never waits for anything. Requests call ``answered`` and ``stored``, which only count.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from segue.errors import StoreError
from segue.serving.ticker import Ticker
from segue.serving.watching.alerts import Alerts, AlertsConfig, Measured
from segue.serving.watching.drift import Drift, DriftConfig
from segue.serving.watching.latency import LastMinute
from segue.serving.watching.metrics import Metrics
from segue.serving.watching.rates import FeedbackConfig, Rates
from segue.serving.watching.replay import Replay
from segue.serving.watching.sources import connect

_FEW = 20  # requests in a minute: the slowest of fewer is no percentile
_READ_S = 1.0  # between looks at the store
_SLICE_S = 2.0  # of reading, before it is asked again what is newest
_SILENT_S = 10.0  # a store that has not answered for so long is unavailable, whatever it is doing


class Watch:
    """The part of the service that watches the others.

    Args:
        alerts, feedback, drift: settings.
        clock: steady seconds.
        wall: seconds since 1970.

    Attributes:
        metrics, rates, drift, alerts: see their modules.
        behind: events of the store that the follower has not told yet.

    Raises:
        WebhookRefused: alerts may not be sent to the address given.
    """

    def __init__(
        self,
        alerts: AlertsConfig | None = None,
        feedback: FeedbackConfig | None = None,
        drift: DriftConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._clock, self._wall = clock, wall
        self.metrics = Metrics()
        self.alerts = Alerts(alerts, clock=clock, wall=wall, told=lambda outcome: self.metrics.sent(outcome))
        self.rates = Rates(feedback, wall)
        self.drift = Drift(drift, self._serving)
        self.behind = 0
        self._minute = LastMinute(self.metrics)
        self._service: Any = None
        self._replay: Replay | None = None
        self._answered_at = self._level_at = clock()
        self._away = False
        self._tickers: list[Ticker] = []

    # -- hooks of the requests ---------------------------------------------------------------------------------

    def answered(self, answer: Any, seconds: float, kind: str = "recommend") -> None:
        """A model gave an answer (``Answer``) after so many seconds; ``kind``: recommend, generate or similar."""
        self.metrics.answered(answer.model, kind, seconds)
        if kind == "recommend":
            self.drift.answered(answer)

    def stored(self, appended: Any) -> None:
        """Events were acknowledged (``Appended``)."""
        self.metrics.stored(appended.stored, appended.known)

    # -- running -----------------------------------------------------------------------------------------------

    def start(self, service: Any) -> None:
        """Look around from now on; parts that the service lacks are not watched."""
        self._service = service
        connect(self, service)
        if service.follower is not None:
            service.follower.subscribe(self._took)
        if service.store is not None:
            self._replay = Replay(service.store, self.rates)
            self._tickers.append(Ticker("segue-watch-store", _READ_S, self.read_store))
        self._tickers.append(Ticker("segue-watch", self.alerts.config.every_seconds, self.look))
        for ticker in self._tickers:
            ticker.start()

    def stop(self) -> None:
        """End the threads, and send the alerts that wait."""
        for ticker in self._tickers:
            ticker.stop(timeout=2.0)  # one that hangs in the store is left behind; it does not hold the process
        self._tickers.clear()
        self.alerts.close()

    def read_store(self) -> None:
        """Ask the store what is newest, and read the lists that are new; at first all that is kept of rates."""
        assert self._replay is not None
        try:
            newest = self._service.store.newest()["events"]
            seen = newest if self._service.follower is None else self._service.follower.seen.get("events", newest)
            self.behind = max(newest - seen, 0)
            now = self._clock()
            self._answered_at = now
            if not self.behind:
                self._level_at = now
            self._away = False
            if self._replay.done:
                self._replay.step(_SLICE_S)
            else:
                self._replay.rebuild(_SLICE_S)
        except StoreError:
            self._away = True
            raise

    def look(self) -> None:
        """Take in what was noted and hold every number against its limit."""
        self.drift.digest()
        self.alerts.evaluate(self.measure())

    def measure(self) -> dict[str, Measured]:
        """The number of each rule now."""
        recent = self._minute.read(self._clock())
        enough = recent.requests >= _FEW
        about = f"{recent.requests} requests"
        told = {
            "p99_seconds": Measured(recent.p99 if enough else None, about),
            "error_share": Measured(recent.errors if enough else None, about),
            "refused_share": Measured(recent.refused if enough else None, about),
            "click_rate_drop": _worst(self.rates.click_rate_drops()),
            "cold_users_share": _worst(_only(self.drift.cold_users(), "answers")),
            "cold_items_share": _worst(_only(self.drift.cold_items(), "events")),
            "popularity_psi": _worst(_only(self.drift.popularity_psi(), "events")),
            "score_psi": _worst({name: value for (name,), value in self.drift.score_psi().items()}),
        }
        service = self._service
        if service is None:
            return told
        if service.gate is not None:
            stats = service.gate.stats()
            told["queue_fullness"] = Measured(stats.waiting / max(service.gate.queue, 1), f"{stats.waiting} wait")
            told["abandoned_threads"] = Measured(stats.lost)
        if service.store is not None:
            told["store_unavailable"] = Measured(0.0 if self.store_available() else 1.0)
            told["follower_lag_seconds"] = Measured(self.lag_seconds(), f"{self.behind} events")
            if (free := self.disk_free()) is not None:
                told["disk_free_share"] = Measured(free)
        if ages := self.model_ages():
            youngest = min(ages, key=ages.__getitem__)
            told["model_age_seconds"] = Measured(ages[youngest], youngest)
        return told

    # -- numbers -----------------------------------------------------------------------------------------------

    def store_available(self) -> bool:
        """Whether the store answered when it was last asked, and that is not long ago."""
        return not self._away and self._clock() - self._answered_at < _SILENT_S

    def lag_seconds(self) -> float:
        """How long ago the follower had told all that was in the store; 0 while it has."""
        return 0.0 if not self.behind else self._clock() - self._level_at

    def disk_free(self) -> float | None:
        """Free share of the disk of an embedded store; None for a server's, and for one that lives in memory."""
        scheme, _, path = getattr(self._service.store, "address", "").partition("///")
        if not scheme.startswith("sqlite") or not path:
            return None
        usage = shutil.disk_usage(Path(path).absolute().parent)
        return usage.free / usage.total

    def model_ages(self) -> dict[str, float]:
        """Seconds since each model that serves was registered; 0 where the clock of who registered it is ahead."""
        return {served.name: max(0.0, self._wall() - served.created / 1e6) for served in self._serving()}

    def _serving(self) -> Sequence[Any]:
        if self._service is None or self._service.models is None:
            return ()
        serving: Sequence[Any] = self._service.models.serving()
        return serving

    def _took(self, events: Sequence[Any]) -> None:
        self.rates.took(events)
        # What was shown is the model's doing; drift is in what people do.
        shown = self.rates.config.impression
        self.metrics.unknown_items(self.drift.took([event for event in events if event.action not in shown]))


def _only(told: Mapping[tuple[str, ...], float], of: str) -> dict[str, float]:
    return {name: value for (name, kind), value in told.items() if kind == of}


def _worst(by_model: Mapping[str, float]) -> Measured:
    """The greatest number and whose it is."""
    if not by_model:
        return Measured(None)
    name = max(by_model, key=by_model.__getitem__)
    return Measured(by_model[name], name)
