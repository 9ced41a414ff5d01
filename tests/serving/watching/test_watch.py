"""The watch: what it measures of each part, that a part which fails is told, and that it starts and stops."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from segue.errors import ConfigUnknown, RouteUnknown, StoreUnavailable
from segue.serving.app import create_app
from segue.serving.guard.connections import refused
from segue.serving.guard.keys import Keys
from segue.serving.service import Service
from segue.serving.settings import ServiceConfig
from segue.serving.store.follow import Follower
from segue.serving.store.rows import Event
from segue.serving.store.store import Store
from segue.serving.watching import watch as module
from segue.serving.watching.alerts import RULES, AlertsConfig
from segue.serving.watching.drift import DriftConfig
from segue.serving.watching.sources import connect
from segue.serving.watching.watch import Watch

from . import makers
from .makers import NOW, Clock, answer, event, served, service, shown
from .test_metrics import samples


class NoStore:
    """A store in memory that is there or away."""

    def __init__(self) -> None:
        self.events, self.away = 0, False
        self.address = "sqlite:////tmp/shop.db"

    def newest(self) -> dict[str, int]:
        if self.away:
            raise StoreUnavailable(url="sqlite:///shop.db", reason="away")
        return {"events": self.events, "served": 0}

    def events_after(self, seq: int, limit: int) -> list[Any]:
        return []

    def served_after(self, seq: int, limit: int) -> list[Any]:
        return []

    def served(self, name: str) -> None:
        return None


class World:
    """A watch over parts that do as they are told, and time that passes when told."""

    def __init__(self) -> None:
        self.clock, self.store = Clock(), NoStore()
        self.model = served("shop", {f"i{n}": 10 for n in range(20)} | {"cold": 0}, ["u1"])
        self.watch = Watch(AlertsConfig(), drift=DriftConfig(answers=100, events=100, least=50), clock=self.clock,
                           wall=self.clock)  # fmt: skip
        self.service = makers.service(self.store, self.model)
        self.watch._service = self.service
        self.watch._replay = module.Replay(self.store, self.watch.rates)

    def seconds(self, count: float, each: Any = lambda: None) -> None:
        for _ in range(int(count) // 5 + 1):
            each()
            with contextlib.suppress(StoreUnavailable):
                self.watch.read_store()
            self.watch.look()
            self.clock.now += 5

    def on(self) -> set[str]:
        return {change.name for change in self.watch.alerts.active()}

    def requests(self, seconds: float, status: str, count: int = 50) -> None:
        series = self.watch.metrics.requests.labels("/v1/recommend", status)
        for _ in range(count):
            series.observe(seconds)

    def feedback(self, clicks: int) -> None:
        """A day of 400 lists, so many of them clicked."""
        names = [f"{self.clock.now}-{n}" for n in range(400)]
        self.watch.rates.listed([shown(name, at=self.clock.now) for name in names])
        self.watch.rates.took([event(name, "x", "impression") for name in names])
        self.watch.rates.took([event(name, "x") for name in names[:clicks]])

    def acts(self, item: str) -> None:
        self.watch._took([event(None, item)] * 100)

    def asks(self, user: str, score: float) -> None:
        for n in range(100):
            self.watch.answered(answer("shop", ["i0"], score + n / 100, user), 0.01)
        self.watch.drift.digest()


def _usage(free: int) -> Any:
    return lambda path: SimpleNamespace(total=100, free=free)


def _set(target: Any, **values: Any) -> None:
    for name, value in values.items():
        setattr(target, name, value)


# What brings each number past its limit, and what brings it back.
CASES: dict[str, tuple[Any, Any]] = {
    "p99_seconds": (lambda w: w.requests(0.4, "200"), lambda w: w.requests(0.002, "200")),
    "error_share": (lambda w: w.requests(0.01, "500"), lambda w: w.requests(0.01, "200")),
    "refused_share": (lambda w: w.requests(0.01, "429"), lambda w: w.requests(0.01, "200")),
    "queue_fullness": (lambda w: _set(w.service.gate, waiting=9), lambda w: _set(w.service.gate, waiting=1)),
    "abandoned_threads": (lambda w: _set(w.service.gate, lost=3), lambda w: _set(w.service.gate, lost=0)),
    "follower_lag_seconds": (
        lambda w: (_set(w.store, events=7), w.service.follower.seen.update(events=2)),
        lambda w: w.service.follower.seen.update(events=7),
    ),
    "store_unavailable": (lambda w: _set(w.store, away=True), lambda w: _set(w.store, away=False)),
    "disk_free_share": (
        lambda w: _set(module.shutil, disk_usage=_usage(2)),
        lambda w: _set(module.shutil, disk_usage=_usage(50)),
    ),
    "model_age_seconds": (
        lambda w: _set(w.model, created=int((NOW - 30 * 86400) * 1e6)),
        lambda w: _set(w.model, created=int(NOW * 1e6)),
    ),
    "cold_items_share": (lambda w: w.acts("cold"), lambda w: w.acts("i1")),
    "cold_users_share": (lambda w: w.asks("stranger", 0.0), lambda w: w.asks("u1", 0.0)),
    "popularity_psi": (
        lambda w: w.acts("i0"),
        lambda w: w.watch._took([event(None, f"i{n % 20}") for n in range(100)]),
    ),
    "score_psi": (lambda w: w.asks("u1", 5.0), lambda w: w.asks("u1", 0.0)),
}


@pytest.mark.parametrize("rule", CASES)
def test_each_rule_is_raised_by_what_it_watches_and_cleared_by_its_end(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "shutil", SimpleNamespace(disk_usage=_usage(50)))
    world = World()
    worse, better = CASES[rule]
    better(world)
    world.seconds(70)
    assert rule not in world.on()
    world.seconds(60, lambda: worse(world))
    assert rule in world.on()
    world.seconds(120, lambda: better(world))
    assert rule not in world.on()


def test_a_drop_of_the_click_rate_is_raised_and_cleared() -> None:
    world = World()
    for clicks in (100, 100, 100, 20):
        world.clock.now += 86_400
        world.feedback(clicks)
    world.seconds(30)
    assert "click_rate_drop" in world.on()
    world.clock.now += 86_400
    world.feedback(100)
    world.seconds(30)
    assert "click_rate_drop" not in world.on()


def test_every_rule_has_its_case() -> None:
    assert {*CASES, "click_rate_drop"} == set(RULES)


def test_a_store_that_hangs_is_unavailable_although_nothing_failed() -> None:
    world = World()
    world.watch.read_store()
    assert world.watch.store_available()
    world.clock.now += 11  # the thread that asks is stuck
    assert not world.watch.store_available()


def test_what_was_shown_is_no_drift() -> None:
    world = World()
    world.watch._took([event("1", "cold", "impression")] * 100)
    assert world.watch.drift.cold_items() == {}
    world.watch._took([event("1", "cold", "click")] * 100)
    assert world.watch.drift.cold_items() == {("shop", "events"): 1.0}


def test_few_requests_raise_nothing() -> None:
    world = World()
    world.seconds(5)
    world.requests(9.0, "500", count=19)
    world.seconds(40)
    assert world.on() == set()


def test_what_was_given_up_and_what_the_protocol_refused_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    connect(world.watch, service(NoStore()))
    monkeypatch.setitem(refused, 418, 7)
    page = samples(world.watch.metrics)
    assert page["segue_lost_total", ("lists",)] == 4 + 2
    assert page["segue_lost_total", ("shadow_questions",)] == 3
    assert page["segue_protocol_refused_total", ("418",)] == 7


def test_a_service_without_parts_is_watched_as_far_as_it_goes() -> None:
    watch = Watch()
    watch.start(Service(ServiceConfig()))
    try:
        watch.look()
        assert ("segue_alert", ("error_share",)) in samples(watch.metrics)
    finally:
        watch.stop()


def test_a_look_that_fails_is_logged_once_and_the_watch_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(AlertsConfig(every_seconds=0.01))
    calls: list[int] = []

    def broken() -> None:
        calls.append(1)
        raise RuntimeError

    monkeypatch.setattr(watch, "look", broken)
    watch.start(Service(ServiceConfig()))
    deadline = time.monotonic() + 5
    while len(calls) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)
    watch.stop()
    assert len(calls) >= 5
    assert sum("segue-watch failed" in record.getMessage() for record in caplog.records) == 1


def test_in_the_application_a_click_is_counted_and_an_alert_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READ_S", 0.02)
    store = Store.open(f"sqlite:///{tmp_path / 'shop.db'}")
    settings = ServiceConfig.grouped({"alerts": {"every_seconds": 0.02, "for_seconds": 0, "disk_free_share": 0.999}})
    watch = Watch(settings.alerts, settings.feedback, settings.drift)
    follower = Follower(store, poll_seconds=0.02)
    app = create_app(Service(settings, store=store, follower=follower, keys=Keys(store), watch=watch))
    with TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 50_000)) as client:
        watch.stored(store.append([Event("1", "u", "x", 1, "click", None, "r1")]))
        store.log_served([shown("r1", at=time.time())])
        client.get("/healthz")
        client.get("/v1/nothing")
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            page = client.get("/metrics")
            found = client.get("/v1/alerts").json()
            if 'segue_online_clicks_total{model="a"} 1.0' in page.text and found["active"]:
                break
            time.sleep(0.02)
        assert 'segue_online_clicks_total{model="a"} 1.0' in page.text
        assert 'segue_request_seconds_count{route="/healthz",status="200"} 1.0' in page.text
        assert 'segue_request_seconds_count{route="(other)",status="404"} 1.0' in page.text
        assert f'segue_errors_total{{code="{RouteUnknown.code}"}} 1.0' in page.text
        assert 'segue_events_total{outcome="stored"} 1.0' in page.text
        assert 'segue_alert{alert="disk_free_share"} 1.0' in page.text
        assert page.headers["content-type"].startswith("text/plain")
        assert [change["name"] for change in found["active"]] == ["disk_free_share"]
        assert found["history"][0]["state"] == "raised"
        openmetrics = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
        assert openmetrics.text.endswith("# EOF\n")


def test_settings_have_a_group_for_each() -> None:
    settings = ServiceConfig.read(None, ["alerts.p99_seconds=0.2", 'feedback.click=["open"]', "drift.least=7"])
    assert (settings.alerts.p99_seconds, settings.feedback.click, settings.drift.least) == (0.2, ("open",), 7)
    with pytest.raises(ConfigUnknown, match="alerts"):
        ServiceConfig.read(None, ["alerts.p99=0.2"])


def test_the_age_of_a_model_whose_registration_is_ahead_of_this_clock_is_zero() -> None:
    watch = Watch()
    served = SimpleNamespace(name="shop", created=(time.time() + 3_600) * 1e6)
    watch._service = SimpleNamespace(models=SimpleNamespace(serving=lambda: [served]))
    assert watch.model_ages() == {"shop": 0.0}
