"""What the service counts about itself, for Prometheus: names, labels and how they are read.

Hot paths add one to a counter; whatever another part knows already (queue, lag, rates, drift) is asked of that part
when somebody reads the page, by callables handed in, so that requests pay nothing for it. Each ``Metrics`` has its own
registry, so several applications live in one process. Labels are bounded: past a limit all share one value. Latency of
requests is measured in ``latency``, thresholds are in ``alerts``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

OTHER = "(other)"
_UNREAD_SECONDS = 0.00005
SECONDS = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
Family = type[GaugeMetricFamily] | type[CounterMetricFamily]
# A reading: one number, numbers by label values, or None where there is nothing to tell now.
Reading = float | Mapping[tuple[str, ...], float] | None

log = logging.getLogger(__name__)


class Labels:
    """Lets through the first ``limit`` distinct values of a label; all later ones are ``(other)``."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value, or ``(other)`` where there is no room for a new one."""
        if value in self._known:
            return value
        if len(self._known) >= self._limit:
            return OTHER
        self._known.add(value)
        return value


class Asked:
    """A collector of numbers that other parts know: each is a callable, asked at the scrape.

    A callable that fails leaves its numbers out of this scrape (once logged), and the rest of the page stands.
    """

    def __init__(self) -> None:
        self._asked: dict[str, tuple[Family, str, tuple[str, ...], Callable[[], Reading]]] = {}
        self._failed: set[str] = set()

    def add(self, kind: Family, name: str, about: str, labels: Sequence[str], ask: Callable[[], Reading]) -> None:
        """Tell of a number; one with the same name takes the place of the one before."""
        self._asked[name] = (kind, about, tuple(labels), ask)

    def describe(self) -> Iterable[Metric]:
        """Nothing yet: the names come later, and their prefix is no other collector's."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Ask everyone."""
        for name, (kind, about, labels, ask) in list(self._asked.items()):
            try:
                reading = ask()
                self._failed.discard(name)
            except Exception:  # one part that fails must not take the page of all others with it
                if name not in self._failed:
                    log.warning("%s could not be read", name, exc_info=True)
                self._failed.add(name)
                continue
            if reading is None:
                continue
            family = kind(name, about, labels=labels)
            for values, number in reading.items() if isinstance(reading, Mapping) else [((), reading)]:
                family.add_metric(values, number)
            yield family


class Metrics:
    """Counters of one application, and its scrape.

    Attributes:
        registry: where all of them are.
        in_flight: requests that are being answered now.
        requests: seconds of requests by route template and status.
    """

    def __init__(self, models: int = 64) -> None:
        """``models``: how many names of models the labels tell apart."""
        self.registry = CollectorRegistry()
        self.in_flight = 0
        self._asked = Asked()
        self._models, self._codes = Labels(models), Labels(256)
        ProcessCollector(registry=self.registry)

        def counter(name: str, about: str, *labels: str) -> Counter:
            return Counter(name, about, labels, registry=self.registry)

        self.requests = Histogram(
            "segue_request_seconds",
            "Seconds from the first byte of a request to the last of its answer.",
            ["route", "status"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.refused = counter("segue_refused", "Requests refused because too many waited (429).")
        self.late = counter("segue_deadline_passed", "Requests whose deadline passed (504).")
        self._errors = counter("segue_errors", "Requests that ended in an error, by its code.", "code")
        self._events = counter("segue_events", "Events acknowledged by this process: stored now, or known.", "outcome")
        self._unknown = counter("segue_events_unknown_item", "Events (but impressions) on items that no model knows.")
        self._answers = Histogram(
            "segue_answer_seconds",
            "Seconds that a model worked on an answer, by model and kind.",
            ["model", "kind"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._webhook = counter("segue_webhook", "Alerts sent by webhook.", "outcome")
        for outcome in ("stored", "known"):  # so that a rate over them exists from the first scrape
            self._events.labels(outcome)
        for outcome in ("sent", "failed", "dropped"):
            self._webhook.labels(outcome)
        self.gauge("segue_requests_in_flight", "Requests being answered now.", lambda: self.in_flight)
        self.registry.register(self._asked)

    def error(self, code: str) -> None:
        """A request ended in an error with this code."""
        self._errors.labels(self._codes(code)).inc()

    def refused_unread(self, code: str, count: int) -> None:
        """Requests were refused (429) before they were read; each took less than the smallest bucket."""
        self.refused.inc(count)
        self._errors.labels(self._codes(code)).inc(count)
        series = self.requests.labels(OTHER, "429")
        for _ in range(count):
            series.observe(_UNREAD_SECONDS)

    def stored(self, stored: int, known: int) -> None:
        """Events were acknowledged."""
        self._events.labels("stored").inc(stored)
        self._events.labels("known").inc(known)

    def unknown_items(self, count: int) -> None:
        """Events were read whose item no model knows."""
        self._unknown.inc(count)

    def answered(self, model: str, kind: str, seconds: float) -> None:
        """A model answered."""
        self._answers.labels(self._models(model), kind).observe(seconds)

    def sent(self, outcome: str) -> None:
        """What became of an alert that was to go by webhook: sent, failed or dropped."""
        self._webhook.labels(outcome).inc()

    def gauge(self, name: str, about: str, ask: Callable[[], Reading], labels: Sequence[str] = ()) -> None:
        """A number that another part knows, asked at the scrape; ``labels`` name the keys of what it returns."""
        self._asked.add(GaugeMetricFamily, name, about, labels, ask)

    def total(self, name: str, about: str, ask: Callable[[], Reading], labels: Sequence[str] = ()) -> None:
        """As :meth:`gauge`, for a number that only grows; it is shown as ``name_total``."""
        self._asked.add(CounterMetricFamily, name, about, labels, ask)

    def scrape(self, accept: str = "") -> tuple[bytes, str]:
        """The page and its content type, in the format that the ``Accept`` header asks for (OpenMetrics or text)."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
