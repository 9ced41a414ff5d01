"""Seconds of each request by route template and status: a pure ASGI middleware, and percentiles of the last minute.

Requests that no route took (unknown paths, requests refused before routing) share one label. Whoever answers with an
error leaves its code in the scope as ``segue_error``, and it is counted here.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from time import perf_counter

import numpy as np
from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from segue.serving.watching.metrics import OTHER, SECONDS, Metrics

_GONE = 499  # as nginx writes a client that left before its answer
_LABELS = 512  # pairs of route and status; a service has a few dozen


class Latency:
    """Measures every request; put outermost, so that refusals count too."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics
        self._series: dict[tuple[str, int], Histogram] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and note how long its answer took."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        status = _GONE

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics = self.metrics
        metrics.in_flight += 1
        began = perf_counter()
        try:
            await self.app(scope, receive, noting)
        except Exception:
            status = 500
            raise
        finally:
            metrics.in_flight -= 1
            route = getattr(scope.get("route"), "path", OTHER)
            self._of(route, status).observe(perf_counter() - began)
            if (code := scope.get("segue_error")) is not None:
                metrics.error(code)
            if status == 429:
                metrics.refused.inc()
            elif status == 504:
                metrics.late.inc()

    def _of(self, route: str, status: int) -> Histogram:
        """The series of a pair; looked up here because the library's own look-up costs more than the observation."""
        series = self._series.get((route, status))
        if series is None:
            if len(self._series) >= _LABELS:
                route, status = OTHER, 0
            series = self._series[route, status] = self.metrics.requests.labels(route, str(status))
        return series


@dataclass(frozen=True)
class Recent:
    """The requests of the last minute.

    Attributes:
        requests: how many.
        p99: seconds within which 99 of 100 were answered, interpolated within a bucket; None where there were none.
        errors, refused: shares of them that ended with 5xx, and with 429; None likewise.
        p50: as p99, of half of them.
    """

    requests: int
    p99: float | None
    errors: float | None
    refused: float | None
    p50: float | None = None


ASKED = (
    "/v1/recommend",
    "/v1/generate",
    "/v1/events",
    "/v1/items/{item_id:path}/similar",
    "/v1/items/{item_id}/similar",
)


class LastMinute:
    """Differences of the histogram over a sliding window, read in the background.

    Only routes that begin so count: what applications ask. Pages and probes would dilute them, and an erasure
    may take its time without being late.
    """

    def __init__(self, metrics: Metrics, seconds: float = 60.0, prefixes: tuple[str, ...] = ASKED) -> None:
        self._metrics = metrics
        self._seconds = seconds
        self._prefixes = prefixes
        self._kept: deque[tuple[float, np.ndarray, np.ndarray]] = deque()
        self._bounds = np.zeros(0)

    def read(self, now: float) -> Recent:
        """Take a reading at a moment in seconds of any steady clock, and tell what happened since the window began."""
        buckets, outcomes = self._totals()
        if not self._kept:  # what came before the first reading is of this window too
            self._kept.append((now, np.zeros_like(buckets), np.zeros_like(outcomes)))
        self._kept.append((now, buckets, outcomes))
        while len(self._kept) > 2 and self._kept[1][0] <= now - self._seconds:
            self._kept.popleft()
        _, first_buckets, first_outcomes = self._kept[0]
        buckets, (answered, errors, refused) = buckets - first_buckets, outcomes - first_outcomes
        asked = int(answered)
        if not asked:
            return Recent(0, None, None, None)
        p50, p99 = (self._quantile(share, buckets) for share in (0.5, 0.99))
        return Recent(asked, p99, float(errors / asked), float(refused / asked), p50)

    def _totals(self) -> tuple[np.ndarray, np.ndarray]:
        """Counts since the start: one per bucket (not cumulative), and requests, errors, refusals."""
        series: dict[tuple[str, str], dict[float, float]] = {}
        for sample in (sample for family in self._metrics.requests.collect() for sample in family.samples):
            if sample.name.endswith("_bucket"):
                key = (sample.labels["route"], sample.labels["status"])
                series.setdefault(key, {})[float(sample.labels["le"])] = sample.value
        totals, outcomes = None, np.zeros(3)
        for (route, status), cumulative in series.items():
            self._bounds = np.array(sorted(cumulative))
            counts = np.diff([cumulative[bound] for bound in self._bounds], prepend=0.0)
            # A refusal comes before routing, where no route has taken the request.
            if not route.startswith(self._prefixes) and not (route == OTHER and status in ("429", "503", "504")):
                continue
            totals = counts if totals is None else totals + counts
            outcomes += counts.sum() * np.array([1, status.startswith("5"), status == "429"])
        return np.zeros(len(SECONDS) + 1) if totals is None else totals, outcomes

    def _quantile(self, share: float, counts: np.ndarray) -> float:
        cumulative = np.cumsum(counts)
        place = int(np.searchsorted(cumulative, share * cumulative[-1]))
        if not np.isfinite(self._bounds[place]):
            return float(self._bounds[place - 1])
        lower = self._bounds[place - 1] if place else 0.0
        before = cumulative[place - 1] if place else 0.0
        within = (share * cumulative[-1] - before) / counts[place]
        return float(lower + within * (self._bounds[place] - lower))
