"""The interface on the real parts: store, models, gate, guard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

import segue
from segue.errors import ConfigValue
from segue.serving.app import create_app
from segue.serving.building import build
from segue.serving.settings import ServiceConfig


@pytest.fixture
def client(habits: segue.PatternRecommender, tmp_path: Path) -> Iterator[TestClient]:
    habits.save(tmp_path / "shop")
    settings = ServiceConfig.grouped({"store": {"url": f"sqlite:///{tmp_path}/events.db"}})
    with TestClient(create_app(build(tmp_path / "shop", settings)), "http://localhost") as client:
        yield client


def test_what_a_user_did_counts_in_the_next_answer(client: TestClient) -> None:
    told = client.post("/v1/events", json={"event_id": "e1", "user_id": "new", "item_id": "i4", "action": "view"})
    answer = client.get("/v1/recommend/new?explain=true").json()
    assert told.json() == {"stored": 1, "known": 0, "unknown_items": 0, "conflicts": [], "event_ids": None}
    assert answer["history_length"] == 1
    assert answer["items"][0]["reasons"][0]["because"] == "i4"


def test_what_is_kept_of_a_user_is_told_part_by_part(client: TestClient) -> None:
    stamp = "2021-05-01T12:00:00Z"
    sent = [{"event_id": f"e{n}", "user_id": "new", "item_id": "i4", "timestamp": stamp} for n in range(3)]
    client.post("/v1/events", json=[*sent, {"user_id": "other", "item_id": "i1"}])
    first = client.get("/v1/users/new/events?limit=2").json()
    last = client.get(f"/v1/users/new/events?limit=2&after={first['next']}").json()
    assert [each["event_id"] for each in first["events"] + last["events"]] == ["e0", "e1", "e2"]
    assert (first["events"][0]["timestamp"], first["user_id"], last["next"]) == (stamp, "new", None)
    assert client.get("/v1/users/nobody/events").json() == {"user_id": "nobody", "events": [], "next": None}


def test_a_new_item_is_ranked_within_a_second(client: TestClient) -> None:
    began = time.monotonic()
    row = {"item_id": "i900", "title": "Brand new", "categories": ["Drama"], "price": 9_000, "quantity": 1}
    assert client.put("/v1/items", json=[row]).json() == {"stored": 1, "new": 1}
    found: list[str] = []
    while not found and time.monotonic() < began + 5:
        answer = client.post("/v1/recommend", json={"filters": {"price_min": 9_000}}).json()
        found = [each["title"] for each in answer["items"]]
    assert found == ["Brand new"]
    assert time.monotonic() - began < 1.5  # a second, and the slack of a busy machine
    assert client.get("/v1/items?query=brand").json()["items"][0]["price"] == 9_000


def test_models_are_told_apart_and_changed(client: TestClient) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["name"], model["role"], model["loaded"], model["refused"]) == ("shop", "active", True, None)
    refused = client.put("/v1/models/shop", json={"role": "waiting"})
    unknown = client.post("/v1/models/nothing/activate")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "V068")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "V060")


def test_events_on_items_that_the_catalogue_lacks_are_counted_in_the_answers_to_their_user(client: TestClient) -> None:
    rows = [{"event_id": item, "user_id": "new", "item_id": item} for item in ("i4", "i-none", "i-nothing")]
    assert client.post("/v1/events", json=rows).json()["unknown_items"] == 2
    answer = client.get("/v1/recommend/new").json()
    assert (answer["history_length"], answer["unknown_items"]) == (1, 2)


def test_one_setting_says_what_an_impression_is_called(habits: segue.PatternRecommender, tmp_path: Path) -> None:
    habits.save(tmp_path / "shop")
    groups = {
        "store": {"url": f"sqlite:///{tmp_path}/events.db"},
        "feedback": {"impression": ["seen"]},
        "online": {"on": True},
        "schedule": {"events": 1_000_000},
    }
    service = build(tmp_path / "shop", ServiceConfig.grouped(groups))
    with TestClient(create_app(service), "http://localhost") as client:
        for action in ("seen", "view"):
            event = {"event_id": action, "user_id": "new", "item_id": "i4", "action": action}
            assert client.post("/v1/events", json=event).status_code == 201
        assert client.get("/v1/recommend/new").json()["history_length"] == 1
        assert service.online.config.feedback.impressions == ("seen",)
        assert service.schedule._shown == ("seen",)
    with pytest.raises(ConfigValue, match=r"feedback\.impression"):
        ServiceConfig.grouped({"online": {"feedback": {"impressions": ["seen"]}}})


def test_a_model_is_added_to_an_a_b_test_and_answers_its_share(
    client: TestClient, habits: segue.PatternRecommender, tmp_path: Path
) -> None:
    habits.save(tmp_path / "shop-b")
    asked = {"path": str(tmp_path / "shop-b"), "role": "active", "weight": 3}
    added = client.post("/v1/models", json=asked)
    assert added.status_code == 201
    assert [(each["name"], each["role"]) for each in added.json()["models"]] == [
        ("shop", "active"),
        ("shop-b", "active"),
    ]
    end = time.monotonic() + 5
    while not all(each["loaded"] for each in client.get("/v1/models").json()["models"]) and time.monotonic() < end:
        time.sleep(0.02)
    names = [client.get(f"/v1/recommend/person-{n}").json()["model"] for n in range(60)]
    assert 30 < names.count("shop-b") < 60
    again = client.post("/v1/models", json={**asked, "path": str(tmp_path / "shop"), "name": "shop-b"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "V061")
    assert str(tmp_path) not in again.text


def test_what_is_no_artefact_is_no_model_and_no_place_on_the_disk_is_told(client: TestClient, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in ("folder", "nothing", "events.db", "x" * 900):
        answer = client.post("/v1/models", json={"path": str(tmp_path / path)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "A001")
        assert path in answer.text
        assert str(tmp_path) not in answer.text
    bad = client.post("/v1/models", json={"path": str(tmp_path / "shop"), "name": "a/b"})
    assert (bad.status_code, bad.json()["error"]["code"]) == (422, "V069")
    assert len(client.get("/v1/models").json()["models"]) == 1


def test_the_service_counts_what_it_answers(client: TestClient) -> None:
    client.get("/v1/recommend/u1")
    client.get("/v1/recommend/u1?k=0")
    client.get("/v1/items/i1/similar")
    page = client.get("/metrics").text
    assert 'segue_answer_seconds_count{kind="recommend",model="shop"} 1.0' in page
    assert 'segue_answer_seconds_count{kind="similar",model="shop"} 1.0' in page
    assert 'segue_errors_total{code="V001"} 1.0' in page
