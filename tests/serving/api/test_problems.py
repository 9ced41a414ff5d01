"""Failures over HTTP: one form, the place and the value, and nothing of the inside."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

import segue
from segue.errors import ArtefactCorrupt, StoreBusy, StoreFull, StoreUnavailable
from segue.serving.api import common
from segue.serving.api.problems import shown
from segue.serving.app import create_app
from segue.serving.service import Service
from tests.serving.fakes import service_of

INSIDES = re.compile(rb'Traceback|File "|site-packages|\.py\b|/src/segue/|/home/')


def error_of(answer: Any) -> dict[str, str]:
    document: dict[str, str] = answer.json()["error"]
    assert set(document) == {"code", "message", "remedy"}
    assert document["remedy"]
    return document


BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"k": 0}, "body.k", "0"),
    ({"k": 1001}, "body.k", "1001"),
    ({"k": "many"}, "body.k", "'many'"),
    ({"k": 10**30}, "body.k", ""),
    ({"histroy": ["i1"]}, "body.histroy", "a list of 1"),
    ({"history": "i1"}, "body.history", "'i1'"),
    ({"history": ["i1", None]}, "body.history[1]", "None"),
    ({"history": ["i1", None]}, "body.history[1]", "a valid string or integer"),
    ({"user_id": 2**63}, "body.user_id", "less than 9223372036854775808"),
    ({"at": []}, "body.at", "a valid number, integer or string"),
    ({"history": ["i1", True]}, "body.history[1]", "True"),
    ({"history": ["i1", 1.5]}, "body.history[1]", "1.5"),
    ({"history": ["i1", "x" * 1001]}, "body.history[1]", "..."),
    ({"history": ["a\0b"]}, "body.history[0]", ""),
    ({"history": ["i1"] * 10_001}, "body.history", "a list of 10001"),
    ({"history": [{"item_id": "i1"}, {"timestamp": 3}]}, "body.history[1].item_id", "nothing"),
    ({"history": [{"item_id": "i1", "value": "x"}]}, "body.history[0].value", "'x'"),
    ({"filters": {"price_min": 3, "price_max": 2}}, "body.filters", "above"),
    ({"filters": {"colour": "red"}}, "body.filters.colour", "'red'"),
    ({"filters": {"price_min": 1e31}}, "body.filters.price_min", "1e+31"),
    ({"diversity": 1.5}, "body.diversity", "1.5"),
    ({"user_id": {}}, "body.user_id", "an empty object"),
]


@pytest.mark.parametrize(("body", "place", "value"), BAD, ids=[str(each[0])[:40] for each in BAD])
def test_what_cannot_be_taken_is_named_with_its_place_and_value(
    client: TestClient, body: dict[str, Any], place: str, value: str
) -> None:
    answer = client.post("/v1/recommend", json=body)
    assert answer.status_code == 422
    error = error_of(answer)
    assert error["code"] == "V001"
    assert error["message"].startswith(f"{place}: ")
    assert value in error["message"]
    assert len(answer.content) < 500


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 5_000, b'{"a":' * 5_000, b'{"k": NaN}', b'{"diversity": 1e999}', b'{"history": ["\\ud800"]}',
     b"\xff", b"null", b"3", b'"x"', b"[]", b'{"history": [' + b"9" * 5_000 + b"]}", b'{"at": 1e300}',
     b'{"history": [{"item_id": "i1", "timestamp": 99999999999999999999}]}', b'{"at": "\\u0000"}'],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/recommend", "/v1/generate", "/v1/events"])
def test_nonsense_is_refused(client: TestClient, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert error_of(answer)
    assert not INSIDES.search(answer.content)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"])
def test_what_does_not_say_that_it_is_json_is_refused(client: TestClient, kind: str) -> None:
    answer = client.post("/v1/recommend", content=b"a=b", headers={"content-type": kind})
    assert (answer.status_code, error_of(answer)["code"]) == (415, "V012")
    assert "content-type" in error_of(answer)["remedy"]
    assert (kind or "missing") in error_of(answer)["message"]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/problem+json"])
def test_what_says_that_it_is_json_is_read(client: TestClient, kind: str) -> None:
    assert client.post("/v1/recommend", content=b'{"k": 2}', headers={"content-type": kind}).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "name", "hint"),
    [
        ("GET", "/v1/recommend/u1?categories=Drama", "categories", ""),
        ("GET", "/v1/recommend/u1?k=3&divresity=0.5", "divresity", "Did you mean 'diversity'?"),
        ("GET", "/v1/items?q=star", "q", ""),
        ("GET", "/v1/items/i1/similar?n=3", "n", ""),
        ("GET", "/v1/models?k=1", "k", ""),
        ("POST", "/v1/recommend?k=3", "k", ""),
    ],
)
def test_a_parameter_that_nobody_reads_is_refused_by_name(
    client: TestClient, method: str, path: str, name: str, hint: str
) -> None:
    answer = client.request(method, path, json={} if method == "POST" else None)
    assert (answer.status_code, error_of(answer)["code"]) == (422, "V011")
    assert error_of(answer)["message"].startswith(f"query.{name}: ")
    assert error_of(answer)["message"].endswith(hint)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v2/recommend/u1", 404, "V059"),
        ("GET", "/v2", 404, "V059"),
        ("PATCH", "/v1/recommend", 405, "V002"),
        ("GET", "/v1/events", 405, "V002"),
        ("GET", "/v1/items/i999/similar", 404, "R004"),
        ("GET", "/v1/recommend/u1?k=0", 422, "V001"),
        ("GET", "/v1/recommend/u1?k=" + "9" * 5_000, 422, "V001"),
        ("GET", "/v1/recommend/u1?diversity=nan", 422, "V001"),
        ("GET", "/v1/recommend/u1?at=yesterday", 422, "R008"),
        ("GET", "/v1/recommend/u1?action=buy", 422, "R009"),
        ("GET", "/v1/recommend/%00", 422, "V001"),
        ("GET", "/v1/recommend/" + "x" * 1001, 422, "V001"),
    ],
)
def test_every_failure_has_its_status_and_code(
    client: TestClient, method: str, path: str, status: int, code: str
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, error_of(answer)["code"]) == (status, code)


def test_a_method_that_is_not_taken_is_told_which_are(client: TestClient) -> None:
    assert client.get("/v1/events").headers["allow"] == "POST"


def test_an_exception_that_nobody_foresaw_tells_nothing_of_the_inside(
    client: TestClient, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(question: object) -> None:
        raise KeyError("secret/path.py")

    service.answers.recommend = fail
    answer = client.post("/v1/recommend", json={})
    assert answer.status_code == 500
    error = error_of(answer)
    assert error["code"] == "V058"
    assert b"secret" not in answer.content
    assert not INSIDES.search(answer.content)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreUnavailable(url="sqlite:////secret/place.db", reason="locked"), 503),
        (StoreFull(url="postgresql://name@secret/x", reason="full"), 507),
        (ArtefactCorrupt(path="/secret/models/shop", reason="broken"), 422),
    ],
)
def test_errors_of_other_rooms_keep_their_status_and_hide_where_things_are(
    client: TestClient, service: Service, error: Exception, status: int
) -> None:
    service.store.away = error
    answer = client.post("/v1/events", json={"user_id": "u1", "item_id": "i1"})
    assert answer.status_code == status
    assert b"secret" not in answer.content


def test_limits_of_the_settings_are_named(ease: segue.EASE) -> None:
    service = service_of(ease, limits={"k": 5, "history": 2, "batch": 1, "steps": 3})
    with TestClient(create_app(service), "http://localhost") as client:
        answers = [
            client.get("/v1/recommend/u1?k=6"),
            client.post("/v1/recommend", json={"k": 6}),
            client.post("/v1/recommend", json={"history": ["i1"] * 3}),
            client.post("/v1/generate", json={"n": 4}),
            client.post("/v1/events", json=[{"user_id": "u", "item_id": "i"}] * 2),
        ]
    assert [answer.status_code for answer in answers] == [422] * 5
    assert [error_of(answer)["code"] for answer in answers] == ["V003"] * 5
    assert "limits.steps" in error_of(answers[3])["remedy"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
NAMES = ["user_id", "history", "at", "k", "n", "filters", "diversity", "explain", "action", "exclude_seen", "item_id",
         "timestamp", "value", "event_id", "events", "items", "title", "price", "role", "weight"]  # fmt: skip
BODIES = JSON | st.dictionaries(st.sampled_from(NAMES), JSON, max_size=5)
ROUTES = [("POST", "/v1/recommend"), ("POST", "/v1/generate"), ("POST", "/v1/events"), ("PUT", "/v1/items"),
          ("PUT", "/v1/models/model-1")]  # fmt: skip


def status_of(client: TestClient, route: tuple[str, str], body: Any) -> int:
    content = json.dumps(body).encode("utf-8", "surrogatepass")
    return client.request(*route, content=content, headers={"content-type": "application/json"}).status_code


@settings(max_examples=600)
@given(route=st.sampled_from(ROUTES), body=BODIES)
def test_no_body_breaks_the_service(whole: TestClient, route: tuple[str, str], body: Any) -> None:
    assert status_of(whole, route, body) < 500


def test_a_lookup_without_a_guard_would_be_seen(whole: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(service: Any) -> Any:
        return {"k": 1}["history"]

    monkeypatch.setattr("segue.serving.api.routes_recommend.limits_of", broken)
    assert status_of(whole, ROUTES[0], {"history": ["i1"]}) == 500
    assert common.limits_of is not broken


@pytest.fixture(scope="module")
def whole(ease: segue.EASE) -> Any:
    with TestClient(create_app(service_of(ease)), "http://localhost", raise_server_exceptions=False) as client:
        yield client


def test_values_are_shown_short() -> None:
    assert shown("x" * 100) == repr("x" * 60) + "..."
    assert shown(10**100) == "a very large number"
    assert shown({"a": 1}) == "an object"
    assert shown(None) == "None"


def test_ids_are_no_longer_than_the_store_keeps(client: TestClient) -> None:
    longest, longer = "é" * 500, "é" * 501
    assert client.post("/v1/recommend", json={"user_id": longest}).status_code == 200
    assert client.post("/v1/recommend", json={"user_id": longer}).status_code == 422
    assert client.get(f"/v1/recommend/{longer}").status_code == 422
    for name in ("user_id", "item_id", "event_id", "action", "recommendation_id"):
        refused = client.post("/v1/events", json={"user_id": "u", "item_id": "i", name: longer})
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "V001")


def test_a_full_queue_of_events_says_when_to_come_back(client: TestClient, service: Service) -> None:
    service.store.away = StoreBusy(waiting=20_000, limit=20_000)
    refused = client.post("/v1/events", json={"user_id": "u", "item_id": "i"})
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
