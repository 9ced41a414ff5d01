"""Alerts: every threshold raises and clears, with patience on both sides; what others raise stays until cleared."""

from __future__ import annotations

import logging

import pytest

from segue.errors import ConfigUnknown, ConfigValue
from segue.serving.watching.alerts import RAISED, RULES, Alerts, AlertsConfig, Measured


class Clock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def watched(clock: Clock, **settings: object) -> Alerts:
    return Alerts(AlertsConfig.parse(settings), clock=clock, wall=clock)


def hold(alerts: Alerts, clock: Clock, seconds: float, **numbers: float | None) -> None:
    """The same numbers for a while, read each second."""
    for _ in range(int(seconds) + 1):
        alerts.evaluate({name: Measured(value, "shop") for name, value in numbers.items()})
        clock.now += 1


def on(alerts: Alerts) -> list[str]:
    return [change.name for change in alerts.active()]


def sides(rule: str) -> tuple[float, float, float]:
    """Numbers past a rule's limit, between limit and its clearing, and well within."""
    limit = getattr(AlertsConfig(), rule)
    low = rule == "disk_free_share"
    return (limit * 0.5, limit * 1.1, limit * 2) if low else (limit * 2, limit * 0.9, limit * 0.5)


@pytest.mark.parametrize("rule", RULES)
def test_each_threshold_raises_and_clears(rule: str, clock: Clock) -> None:
    alerts = watched(clock)
    past, between, within = sides(rule)
    hold(alerts, clock, 20, **{rule: within})
    assert on(alerts) == []
    hold(alerts, clock, 20, **{rule: past})
    assert on(alerts) == [rule]
    assert alerts.states()[rule,] == 1
    hold(alerts, clock, 20, **{rule: between})
    assert on(alerts) == [rule]
    hold(alerts, clock, 20, **{rule: within})
    assert on(alerts) == []
    assert [change.state for change in alerts.history()] == ["cleared", "raised"]
    raised = alerts.history()[1]
    assert (raised.value, raised.limit, raised.detail) == (past, getattr(AlertsConfig(), rule), "shop")


@pytest.mark.parametrize("rule", RULES)
def test_each_threshold_can_be_turned_off(rule: str, clock: Clock) -> None:
    alerts = watched(clock, **{rule: None})
    hold(alerts, clock, 60, **{rule: sides(rule)[0]})
    assert on(alerts) == []


@pytest.mark.parametrize("name", RAISED)
def test_what_another_part_raises_stays_until_it_is_cleared(name: str, clock: Clock) -> None:
    alerts = watched(clock)
    for _ in range(3):
        alerts.raise_alert(name, "shop-0002 is damaged")
    hold(alerts, clock, 60)
    assert on(alerts) == [name]
    alerts.clear(name)
    alerts.clear(name)
    assert on(alerts) == []
    assert len(alerts.history()) == 2


def test_an_alert_that_is_on_is_told_anew_when_it_is_about_more(clock: Clock) -> None:
    alerts = watched(clock)
    for detail in ("shop", "shop", "shop, bakery"):
        alerts.alarm("online_worse", detail)
    assert [change.detail for change in alerts.history()] == ["shop, bakery", "shop"]
    assert [change.detail for change in alerts.active()] == ["shop, bakery"]
    alerts.alarm("online_worse", None)
    assert on(alerts) == []


def test_every_setting_that_is_a_limit_is_a_rule() -> None:
    limits = {name for name, field in AlertsConfig.model_fields.items() if field.annotation == float | None}
    assert limits == set(RULES)


def test_a_short_peak_raises_nothing(clock: Clock) -> None:
    alerts = watched(clock, for_seconds=10)
    for _ in range(5):
        hold(alerts, clock, 8, p99_seconds=9.0)
        hold(alerts, clock, 1, p99_seconds=0.01)
    assert alerts.history() == []


def test_numbers_that_swing_around_the_limit_make_no_noise(clock: Clock) -> None:
    alerts = watched(clock, p99_seconds=0.1, for_seconds=0)
    for second in range(100):
        alerts.evaluate({"p99_seconds": Measured(0.101 if second % 2 else 0.09)})
        clock.now += 1
    assert len(alerts.history()) == 1


def test_a_number_that_cannot_be_told_is_within(clock: Clock) -> None:
    alerts = watched(clock)
    hold(alerts, clock, 20, p99_seconds=9.0)
    hold(alerts, clock, 20, p99_seconds=None)
    assert on(alerts) == []


def test_history_is_bounded_and_so_are_names(clock: Clock) -> None:
    alerts = watched(clock, history=5)
    for number in range(1000):
        alerts.raise_alert(f"name {number}")
    assert len(alerts.history()) == 5
    assert len(alerts.active()) == 256


def test_a_log_line_is_written_at_raise_and_clear(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "segue.alerts")
    alerts = watched(clock)
    hold(alerts, clock, 20, p99_seconds=0.25)
    hold(alerts, clock, 20, p99_seconds=0.01)
    alerts.raise_alert("model_refused", "line\nfeed\x1b[0m")
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "alert raised: p99_seconds: 0.25 (limit 0.1), shop"),
        ("INFO", "alert cleared: p99_seconds: 0.01 (limit 0.1), shop"),
        ("WARNING", "alert raised: model_refused, line feed [0m"),
    ]


def test_settings_refuse_what_makes_no_sense() -> None:
    with pytest.raises(ConfigUnknown, match="p99_seconds"):
        AlertsConfig.parse({"p99_second": 1})
    with pytest.raises(ConfigValue):
        AlertsConfig.parse({"clear_share": 1.5})


def test_the_address_of_the_webhook_is_not_shown() -> None:
    config = AlertsConfig.parse({"webhook": "https://hooks.example/T0K3N"})
    assert "T0K3N" not in f"{config!r} {config} {config.model_dump_json()}"
