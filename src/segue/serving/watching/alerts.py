"""Thresholds, and what happens when one is passed: an alert is raised on the page, in the log and by webhook.

An alert is raised when its number has been past its limit for a while, and cleared when it has come back well within it
for as long: numbers that swing around a limit make no noise. A number that cannot be told (no requests, too few
clicks) is within. Other parts raise and clear alerts of their own by name. What is measured is ``watch``'s.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from pydantic import Field, SecretStr

from segue.config import Config
from segue.serving.watching.webhook import Webhook

_NAMES = 256  # alerts by name that are kept apart
_DETAIL = 500  # characters

log = logging.getLogger("segue.alerts")


class AlertsConfig(Config):
    """Limits (None: no such alert), and where alerts are sent."""

    p99_seconds: float | None = Field(default=0.1, gt=0)
    """99 of 100 requests of the last minute are answered within this."""
    error_share: float | None = Field(default=0.01, gt=0)
    """Share of the requests of the last minute that end with 5xx."""
    refused_share: float | None = Field(default=0.05, gt=0)
    """Share of the requests of the last minute that are refused because too many wait."""
    queue_fullness: float | None = Field(default=0.8, gt=0)
    """Requests that wait, of those that may."""
    abandoned_threads: float | None = Field(default=2, gt=0)
    """Threads that work on what nobody waits for any more."""
    follower_lag_seconds: float | None = Field(default=10, gt=0)
    """How long an event in the store may be unknown to this process."""
    store_unavailable: float | None = Field(default=0.5, gt=0)
    """1 while the store does not answer."""
    disk_free_share: float | None = Field(default=0.05, gt=0)
    """Free share of the disk of an embedded store; raised below it."""
    model_age_seconds: float | None = Field(default=14 * 86_400, gt=0)
    """Age of the youngest model that answers."""
    click_rate_drop: float | None = Field(default=0.2, gt=0)
    """Relative loss of a model's click rate against its own reference, where it is no chance (p < 0.01)."""
    cold_users_share: float | None = Field(default=0.9, gt=0)
    """Answers for users that the model has not met in training."""
    cold_items_share: float | None = Field(default=0.5, gt=0)
    """Events on items that the model has not met in training."""
    popularity_psi: float | None = Field(default=0.25, gt=0)
    """Population stability index of item popularity, training against recent events."""
    score_psi: float | None = Field(default=0.25, gt=0)
    """Population stability index of the best scores, a model's first answers against its recent ones."""
    for_seconds: float = Field(default=15, ge=0)
    """How long a number is past its limit before the alert is raised, and within before it is cleared."""
    clear_share: float = Field(default=0.8, gt=0, le=1)
    """Within means below this share of the limit (above the limit divided by it, where low is bad)."""
    every_seconds: float = Field(default=5, gt=0)
    """Seconds between evaluations."""
    history: int = Field(default=200, ge=1, le=10_000)
    """Changes that are kept for the page."""
    webhook: SecretStr | None = None
    """Where alerts are sent by POST as JSON."""
    webhook_plain_http: bool = False
    """Allow http to other machines."""
    webhook_timeout: float = Field(default=5, gt=0, le=60)
    """Seconds for one attempt."""
    webhook_attempts: int = Field(default=4, ge=1, le=10)
    """Attempts for one alert."""
    webhook_room: int = Field(default=100, ge=1, le=10_000)
    """Alerts that wait to be sent."""


# Each rule is the setting of the same name; those below are raised by the parts that meet them.
RULES = (
    "p99_seconds",
    "error_share",
    "refused_share",
    "queue_fullness",
    "abandoned_threads",
    "follower_lag_seconds",
    "store_unavailable",
    "disk_free_share",
    "model_age_seconds",
    "click_rate_drop",
    "cold_users_share",
    "cold_items_share",
    "popularity_psi",
    "score_psi",
)
RAISED = ("model_refused", "update_failed", "online_worse", "online_failed")
_LOW_IS_BAD = ("disk_free_share",)


class Measured(NamedTuple):
    """A number and whose it is; None where it cannot be told."""

    value: float | None
    detail: str = ""


@dataclass(frozen=True)
class Change:
    """An alert was raised or cleared.

    Attributes:
        name: the rule, or the name another part gave.
        state: which of the two.
        at: when, ISO 8601 in UTC.
        value, limit: the number and its limit, where it has one.
        detail: whose number it is, or what happened.
    """

    name: str
    state: Literal["raised", "cleared"]
    at: str
    value: float | None = None
    limit: float | None = None
    detail: str = ""

    def __str__(self) -> str:
        number = "" if self.value is None else f": {self.value:.4g} (limit {self.limit:.4g})"
        return f"alert {self.state}: {self.name}{number}{f', {self.detail}' if self.detail else ''}"


class Alerts:
    """Which alerts are on, and what was.

    Args:
        config: limits.
        clock: steady seconds.
        wall: seconds since 1970, for what people read.
        told: what became of each document for the webhook.

    Raises:
        WebhookRefused: the address is none that alerts may be sent to.
    """

    def __init__(
        self,
        config: AlertsConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        told: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self.config = config or AlertsConfig()
        self._clock, self._wall = clock, wall
        self._lock = threading.Lock()
        self._on: dict[str, Change] = {}
        self._turning: dict[str, float] = {}  # since when a rule's number says otherwise than its state
        self._history: deque[Change] = deque(maxlen=self.config.history)
        secret = self.config.webhook
        self._webhook = None if secret is None else Webhook(
            secret.get_secret_value(),
            timeout=self.config.webhook_timeout,
            attempts=self.config.webhook_attempts,
            room=self.config.webhook_room,
            plain_http=self.config.webhook_plain_http,
            told=told,
        )  # fmt: skip

    def evaluate(self, measured: Mapping[str, Measured]) -> None:
        """Hold numbers against their limits; a rule without a number here is within."""
        now = self._clock()
        for name in RULES:
            limit = getattr(self.config, name)
            if limit is None:
                continue
            value, detail = measured.get(name, Measured(None))
            on = name in self._on
            if self._says(name, value, limit, on) == on:
                self._turning.pop(name, None)
            elif now - self._turning.setdefault(name, now) >= self.config.for_seconds:
                self._turning.pop(name)
                self._change(name, not on, value, limit, detail)

    def raise_alert(self, name: str, detail: str = "") -> None:
        """Something happened that somebody should see; it stays until it is cleared.

        It is told anew where it is on with another detail.
        """
        self._change(name, True, None, None, detail)

    def clear(self, name: str, detail: str = "") -> None:
        """It is over; nothing happens where it was not on."""
        self._change(name, False, None, None, detail)

    def alarm(self, name: str, detail: str | None) -> None:
        """Raise with this detail, or clear where there is none."""
        if detail is None:
            self.clear(name)
        else:
            self.raise_alert(name, detail)

    def active(self) -> list[Change]:
        """The alerts that are on, the latest first."""
        with self._lock:
            return sorted(self._on.values(), key=lambda change: change.at, reverse=True)

    def history(self) -> list[Change]:
        """What was raised and cleared, the latest first."""
        with self._lock:
            return list(reversed(self._history))

    def states(self) -> dict[tuple[str, ...], float]:
        """1 for each alert that is on and 0 for each that is not, by name."""
        with self._lock:
            return {(name,): float(name in self._on) for name in {*RULES, *RAISED, *self._on}}

    def close(self) -> None:
        """Send what waits, and end."""
        if self._webhook is not None:
            self._webhook.close()

    def _says(self, name: str, value: float | None, limit: float, on: bool) -> bool:
        """Whether the number says that the alert should be on; ``on``: whether it is."""
        if value is None:
            return False
        share = self.config.clear_share if on else 1.0
        return value < limit / share if name in _LOW_IS_BAD else value > limit * share

    def _change(self, name: str, on: bool, value: float | None, limit: float | None, detail: str) -> None:
        moment = datetime.fromtimestamp(self._wall(), UTC).isoformat(timespec="milliseconds")
        text = "".join(c if c.isprintable() else " " for c in detail)[:_DETAIL]
        change = Change(name, "raised" if on else "cleared", moment, value, limit, text)
        with self._lock:
            before = self._on.get(name)
            if on == (before is not None) and (before is None or before.detail == text):
                return
            if on and before is None and len(self._on) >= _NAMES:
                return
            if on:
                self._on[name] = change
            else:
                del self._on[name]
            self._history.append(change)
        log.log(logging.WARNING if on else logging.INFO, "%s", change)
        if self._webhook is not None:
            document: dict[str, Any] = {"service": "segue", "text": f"segue: {change}", **asdict(change)}
            self._webhook.send(document)
