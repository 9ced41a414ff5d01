"""Events over HTTP."""

from __future__ import annotations

import time
from typing import Any

import polars as pl
import pytest
from fastapi.testclient import TestClient

import segue
from segue.errors import StoreUnavailable
from segue.serving.app import create_app
from segue.serving.service import Service
from tests.serving.fakes import service_of

EVENT = {"event_id": "e1", "user_id": "u1", "item_id": "i1", "timestamp": 1_600_000_000, "action": "view", "value": 2}


@pytest.mark.parametrize("body", [EVENT, [EVENT], {"events": [EVENT]}])
def test_one_event_a_list_and_a_batch_are_stored_alike(client: TestClient, service: Service, body: Any) -> None:
    answer = client.post("/v1/events", json=body)
    assert answer.status_code == 201
    assert answer.json() == {"stored": 1, "known": 0, "unknown_items": 0, "conflicts": [], "event_ids": None}
    (event,) = service.store.events
    assert (event.event_id, event.user_id, event.item_id, event.timestamp) == ("e1", "u1", "i1", 1_600_000_000_000_000)
    assert (event.action, event.value, event.recommendation_id) == ("view", 2.0, None)


def test_sending_again_stores_once(client: TestClient) -> None:
    client.post("/v1/events", json=EVENT)
    again = client.post("/v1/events", json=[EVENT, {**EVENT, "event_id": "e2"}, EVENT])
    assert (again.status_code, again.json()["stored"], again.json()["known"]) == (201, 1, 2)
    last = client.post("/v1/events", json=EVENT)
    assert (last.status_code, last.json()["stored"], last.json()["known"]) == (200, 0, 1)


def test_an_id_that_comes_again_with_something_else_is_told(client: TestClient, service: Service) -> None:
    client.post("/v1/events", json=EVENT)
    again = client.post("/v1/events", json=[{**EVENT, "user_id": "bob"}, {**EVENT}])
    assert (again.status_code, again.json()["known"], again.json()["conflicts"]) == (200, 2, ["e1"])
    assert [each.user_id for each in service.store.events] == ["u1"]


def test_an_event_without_a_moment_may_be_sent_again(client: TestClient) -> None:
    event = {"event_id": "e9", "user_id": "u1", "item_id": "i1"}
    answers = [client.post("/v1/events", json=event).json() for _ in range(2)]
    assert [(each["stored"], each["known"], each["conflicts"]) for each in answers] == [(1, 0, []), (0, 1, [])]


def test_an_id_may_be_a_number_as_any_other(client: TestClient, service: Service) -> None:
    answers = [client.post("/v1/events", json={**EVENT, "event_id": each}).json() for each in (0, "0", 7)]
    assert [each["stored"] for each in answers] == [1, 0, 1]
    assert [each.event_id for each in service.store.events] == ["0", "7"]


def test_ids_and_moments_are_made_where_they_are_missing(client: TestClient, service: Service) -> None:
    answer = client.post("/v1/events", json=[{"user_id": 7, "item_id": 8}, EVENT]).json()
    first, second = service.store.events
    assert answer["event_ids"] == [first.event_id, "e1"]
    assert (first.user_id, first.item_id) == ("7", "8")
    assert abs(first.timestamp - time.time() * 1e6) < 60e6
    assert second.event_id == "e1"


def test_items_that_the_catalogue_lacks_are_stored_and_counted(client: TestClient, service: Service) -> None:
    answer = client.post("/v1/events", json={"user_id": "u1", "item_id": "not yet"}).json()
    assert (answer["stored"], answer["unknown_items"]) == (1, 1)
    assert len(service.store.events) == 1


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ([EVENT, {**EVENT, "value": "much"}], "body[1].value"),
        ({"events": [EVENT, {"user_id": "u1"}]}, "body.events[1].item_id"),
        ([EVENT, {**EVENT, "timestamp": "some day"}], "body[1].timestamp"),
        ({"events": [{**EVENT, "timestamp": 1e300}]}, "body.events[0].timestamp"),
        ({**EVENT, "timestamp": True}, "body.timestamp"),
        ({**EVENT, "timestamp": 1_600_000_000_000}, "body.timestamp: looks like milliseconds"),
        ({**EVENT, "timestamp": 1.6e15}, "body.timestamp: looks like microseconds"),
        ({**EVENT, "event_id": 2**63}, "body.event_id: input should be less than"),
        ({**EVENT, "when": 3}, "body.when"),
        ({"events": []}, "body.events"),
        ([EVENT] * 1_001, "body"),
        ([], "body"),
    ],
)
def test_a_batch_with_something_wrong_is_refused_whole(
    client: TestClient, service: Service, body: Any, place: str
) -> None:
    answer = client.post("/v1/events", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "V001")
    assert answer.json()["error"]["message"].startswith(place if ":" in place else f"{place}: ")
    assert not service.store.events


def test_an_event_from_the_far_future_is_refused_by_its_place(client: TestClient, service: Service) -> None:
    answer = client.post("/v1/events", json=[EVENT, {**EVENT, "timestamp": "2999-01-01T00:00:00Z"}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "V010")
    assert answer.json()["error"]["message"].startswith("body[1].timestamp is 2999-01-01T00:00:00Z, more than 24 hours")
    assert not service.store.events
    assert client.post("/v1/events", json={**EVENT, "timestamp": time.time() + 23 * 3_600}).status_code == 201


def test_how_far_ahead_an_event_may_be_is_a_setting(ease: segue.EASE) -> None:
    with TestClient(create_app(service_of(ease, limits={"ahead_hours": 1})), "http://localhost") as client:
        assert client.post("/v1/events", json={**EVENT, "timestamp": time.time() + 2 * 3_600}).status_code == 422
        assert client.post("/v1/events", json={**EVENT, "timestamp": time.time() + 1_800}).status_code == 201


def test_an_order_has_no_future() -> None:
    log = pl.DataFrame({"user_id": ["a", "a", "b"], "item_id": ["i1", "i2", "i1"], "timestamp": [1, 2, 3]})
    ordered = segue.Popular().fit(segue.Dataset.from_frames(log))
    assert ordered.clock == "order"
    with TestClient(create_app(service_of(ordered)), "http://localhost") as client:
        assert client.post("/v1/events", json={**EVENT, "timestamp": 2**62}).status_code == 201


def test_nothing_is_acknowledged_that_is_not_stored(client: TestClient, service: Service) -> None:
    service.store.away = StoreUnavailable(url="x", reason="away")
    assert client.post("/v1/events", json=EVENT).status_code == 503
