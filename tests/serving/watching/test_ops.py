"""The dashboard and the alert rules: they parse, and every name in them is on the page of a running watch."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from segue.serving.guard.connections import refused
from segue.serving.watching.alerts import RAISED, RULES
from segue.serving.watching.drift import DriftConfig
from segue.serving.watching.sources import connect
from segue.serving.watching.watch import Watch

from .makers import answer, event, served, service, shown
from .test_watch import NoStore

OPS = Path(__file__).parents[3] / "ops"
_WORDS = {"sum", "min", "by", "on"}  # those that are no call


@pytest.fixture(scope="module")
def scraped() -> dict[str, dict[str, set[str]]]:
    """What a watch shows that has something of everything: names, and the values of their labels."""
    watch = Watch(drift=DriftConfig(answers=10, events=10, least=1))
    parts = service(NoStore(), served("shop", {"x": 1}, ["u1"]))
    watch._service = parts
    connect(watch, parts)
    watch.metrics.requests.labels("/v1/recommend", "500").observe(0.01)
    watch.metrics.error("V001")
    refused[431] += 1
    watch.rates.listed([shown("1", model="shop", at=watch.rates._wall())])
    watch.rates.took([event("1", "x", "purchase")])
    watch._took([event(None, "x")] * 10)
    for _ in range(10):
        watch.answered(answer("shop", ["x"]), 0.01)
    watch.drift.digest()
    names: dict[str, dict[str, set[str]]] = {}
    for family in text_string_to_metric_families(watch.metrics.scrape()[0].decode()):
        for sample in family.samples:
            labels = names.setdefault(sample.name, {})
            for label, value in sample.labels.items():
                labels.setdefault(label, set()).add(value)
    watch.stop()
    return names


def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((OPS / "prometheus-alerts.yml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((OPS / "grafana-dashboard.json").read_text())
    return document


def expressions() -> list[str]:
    return [rule["expr"] for rule in rules()] + [
        target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]
    ]


def balanced(text: str) -> bool:
    """Whether brackets close what they opened, outside of strings."""
    stack: list[str] = []
    for sign in re.sub(r'"[^"]*"', "", text):
        if sign in "([{":
            stack.append(sign)
        elif sign in ")]}" and (not stack or "([{".index(stack.pop()) != ")]}".index(sign)):
            return False
    return not stack and text.count('"') % 2 == 0


def unknown(expression: str, scraped: dict[str, dict[str, set[str]]]) -> list[str]:
    """Names and labels of an expression that no scrape has."""
    known = {**scraped, "up": {}}
    wrong = []
    bare = re.sub(r"\b(by|on) \([^)]*\)|\[[^\]]*\]", "", expression)  # without groupings and ranges
    for name, _, inside in re.findall(r"\b([a-z][a-z_]+)\b(?!\()(\{([^}]*)\})?", bare):
        if name in _WORDS:
            continue
        if name not in known:
            wrong.append(name)
            continue
        for label, how, value in re.findall(r'(\w+)(=~|=)"([^"]*)"', inside):
            if label in ("instance", "job"):
                continue
            found = known[name].get(label, set())
            if not any(re.fullmatch(value, each) if how == "=~" else value == each for each in found):
                wrong.append(f"{name}{{{label}}}")
    return wrong


@pytest.mark.parametrize("expression", expressions())
def test_every_expression_is_balanced_and_names_what_is_there(
    expression: str, scraped: dict[str, dict[str, set[str]]]
) -> None:
    assert balanced(expression)
    assert re.search(r"\b(segue|process)_|\bup\b", expression)
    assert unknown(expression, scraped) == []


@pytest.mark.parametrize(
    "broken",
    [
        "rate(segue_refusals_total[5m])",
        'segue_alert{alert="no_such_alert"} == 1',
        'segue_cold_items_share{kind="events"} > 0.5',
        "histogram_quantile(0.9, segue_request_second_bucket)",
    ],
)
def test_the_check_finds_a_name_that_is_not_there(broken: str, scraped: dict[str, dict[str, set[str]]]) -> None:
    assert unknown(broken, scraped)
    assert not balanced(broken + ")")
    assert not balanced(broken + ' "')


def test_the_dashboard_shows_every_metric(scraped: dict[str, dict[str, set[str]]]) -> None:
    text = " ".join(expressions())
    shown = {re.sub(r"_(bucket|count|sum|created)$", "", name) for name in scraped if name.startswith("segue_")}
    assert {name for name in shown if name not in text} == set()


def test_the_dashboard_can_be_imported_into_any_grafana() -> None:
    document = dashboard()
    assert [variable["name"] for variable in document["templating"]["list"]] == ["datasource", "instance"]
    ids = [panel["id"] for panel in document["panels"]]
    assert len(ids) == len(set(ids)) > 20
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in document["panels"]}
    assert len(places) == len(ids)
    for panel in document["panels"]:
        assert {each["datasource"]["uid"] for each in [panel, *panel["targets"]]} == {"${datasource}"}


def test_every_built_in_alert_has_a_rule_of_prometheus(scraped: dict[str, dict[str, set[str]]]) -> None:
    assert len(rules()) >= len(RULES) + len(RAISED)
    text = " ".join(rule["expr"] for rule in rules())
    assert [name for name in RAISED if f'segue_alert{{alert="{name}"}} == 1' not in text] == []
    assert {rule["labels"]["severity"] for rule in rules()} <= {"warning", "critical"}
    assert all(re.fullmatch(r"\d+[smh]", rule.get("for", "0s")) for rule in rules())
    assert len({rule["alert"] for rule in rules()}) == len(rules())
