"""An item that is removed is in no list of any process until it is put again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import segue
from segue.serving.answers.questions import Question
from segue.serving.app import create_app
from segue.serving.building import build
from segue.serving.service import Service
from segue.serving.settings import ServiceConfig


@pytest.fixture
def service(ease: segue.EASE, tmp_path: Path) -> Service:
    ease.save(tmp_path / "shop")
    return build(tmp_path / "shop", settings_of(tmp_path))


def settings_of(folder: Path) -> ServiceConfig:
    return ServiceConfig.grouped({"store": {"url": f"sqlite:///{folder}/events.db"}, "page": {"on": False}})


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    with TestClient(create_app(service), "http://localhost") as asking:
        yield asking


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def listed(client: TestClient, path: str = "/v1/recommend", body: Any = None) -> list[str]:
    body = {"history": ["i1", "i2"], "k": 42, "exclude_seen": False} if body is None else body
    return [item["item_id"] for item in client.post(path, json=body).json()["items"]]


def test_a_removed_item_leaves_every_list_and_comes_back_by_put(client: TestClient) -> None:
    best, *others = listed(client)
    answer = client.delete(f"/v1/items/{best}")
    assert (answer.status_code, answer.json()) == (200, {"item_id": best, "removed": True})
    until(lambda: best not in listed(client))
    assert listed(client) == others
    assert best not in listed(client, "/v1/generate", {"history": ["i1", "i2"], "n": 42, "exclude_seen": False})
    assert best not in [item["item_id"] for item in client.get("/v1/items/i9/similar?k=42").json()["items"]]
    assert best not in [item["item_id"] for item in client.get("/v1/items?query=&k=100").json()["items"]]
    assert client.get(f"/v1/items/{best}").status_code == 404
    assert client.get(f"/v1/items/{best}/similar").status_code == 404
    assert client.delete(f"/v1/items/{best}").json()["removed"] is False
    assert client.post("/v1/events", json={"user_id": "u1", "item_id": best}).status_code == 201
    client.put("/v1/items", json=[{"item_id": best, "title": "Back"}])
    until(lambda: best in listed(client))
    assert client.get(f"/v1/items/{best}").json()["item"]["title"] == "Back"


def test_an_item_that_never_was_is_not_found(client: TestClient) -> None:
    assert client.delete("/v1/items/nothing").status_code == 404


def test_the_other_items_of_a_list_are_ranked_from_one_on(client: TestClient) -> None:
    best = client.get("/v1/items/i9/similar?k=3").json()["items"][0]["item_id"]
    client.delete(f"/v1/items/{best}")
    until(lambda: client.get(f"/v1/items/{best}").status_code == 404)
    assert [item["rank"] for item in client.get("/v1/items/i9/similar?k=3").json()["items"]] == [1, 2, 3]


def test_a_replica_and_a_restart_leave_it_out_too(client: TestClient, tmp_path: Path) -> None:
    best = listed(client)[0]
    replica = build(None, settings_of(tmp_path))
    replica.start()
    try:
        question = Question(items=("i1", "i2"), k=42, exclude_seen=False)
        client.delete(f"/v1/items/{best}")
        until(lambda: best not in [item.item_id for item in replica.answers.recommend(question).items])
    finally:
        replica.stop()
    again = build(None, settings_of(tmp_path))
    assert best not in [item.item_id for item in again.answers.recommend(question).items]
