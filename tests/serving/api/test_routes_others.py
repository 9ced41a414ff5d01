"""Catalogue, people, models and health over HTTP, and the document that describes it all."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

import segue
from segue.errors import StoreUnavailable
from segue.serving.guard.gate import Gate
from segue.serving.service import Service
from tests.serving.fakes import FakeServed


def test_similar_items_come_with_titles(client: TestClient, ease: segue.EASE) -> None:
    answer = client.get("/v1/items/i3/similar", params={"k": 3}).json()
    assert [each["item_id"] for each in answer["items"]] == ease.similar_items(["i3"], k=3)["similar_item_id"].to_list()
    assert answer["items"][0]["title"].startswith("Film")
    assert (answer["model"], answer["item_id"]) == ("model-1", "i3")


@pytest.mark.parametrize(
    ("query", "found"),
    [("film NUMBER 4", ["i4", "i40", "i41"]), ("i40", ["i40"]), ("ber 41", ["i41"]), ("none such", []), ("(", [])],
)
def test_the_catalogue_is_searched_by_title_and_id(client: TestClient, query: str, found: list[str]) -> None:
    answer = client.get("/v1/items", params={"query": query}).json()
    assert sorted(each["item_id"] for each in answer["items"]) == found
    assert all(each["title"] == f"Film number {each['item_id'][1:]}" for each in answer["items"])


def test_without_a_text_the_popular_items_come_first(client: TestClient, popular: segue.Popular) -> None:
    answer = client.get("/v1/items", params={"k": 5}).json()
    assert [each["item_id"] for each in answer["items"]] == popular.recommend(histories=[[]], k=5)["item_id"].to_list()


def test_one_item_is_told_by_its_row(client: TestClient) -> None:
    answer = client.get("/v1/items/i3").json()
    assert (answer["model"], answer["item"]["item_id"], answer["item"]["title"]) == ("model-1", "i3", "Film number 3")
    absent = client.get("/v1/items/none")
    assert (absent.status_code, absent.json()["error"]["code"]) == (404, "R004")


@pytest.mark.parametrize("rows", [[{"item_id": "i900", "title": "New", "categories": ["drama"], "price": 3}]])
@pytest.mark.parametrize("form", [lambda rows: rows, lambda rows: {"items": rows}])
def test_rows_of_items_are_kept_for_every_model(client: TestClient, service: Service, rows: Any, form: Any) -> None:
    answer = client.put("/v1/items", json=form(rows))
    assert (answer.status_code, answer.json()) == (200, {"stored": 1, "new": 1})
    assert service.store.rows == rows
    assert service.models.woken == 1


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"item_id": "i1", "price": 3}, {"item_id": "i2", "price": "dear"}],
         "body[1].price: a number is wanted as in the catalogue (met 'dear')."),
        ([{"item_id": "i1", "categories": "Drama"}],
         "body[0].categories: a list of texts is wanted as in the catalogue (met 'Drama')."),
        ([{"item_id": "i1", "title": 5}], "body[0].title: a text is wanted as in the catalogue (met 5)."),
        ([{"item_id": "i1", "in_stock": "yes"}], "body[0].in_stock: true or false is wanted (met 'yes')."),
        ([{"item_id": "i1", "stock": "few"}], "body[0].stock: a number is wanted (met 'few')."),
        ([{"item_id": "i1", "year": 1999}, {"item_id": "i2", "year": None}, {"item_id": "i3", "year": "soon"}],
         "body[2].year: a number is wanted as in body[0] (met 'soon')."),
        ([{"title": "nameless"}], "body[0].item_id: field required (met nothing)."),
        ([{"item_id": "i1", "more": {"a": 1}}],
         "body[0].more: input should be a valid boolean, integer, number, string or list (met an object)."),
        ([], "body: list should have at least 1 item after validation, not 0 (met a list of 0)."),
    ],
)  # fmt: skip
def test_rows_that_the_catalogue_cannot_take_are_not_kept(
    client: TestClient, service: Service, rows: Any, told: str
) -> None:
    answer = client.put("/v1/items", json=rows)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "V001")
    assert answer.json()["error"]["message"] == told
    assert not service.store.rows


def test_a_model_that_takes_no_items_says_so(client: TestClient, service: Service, shop: segue.Dataset) -> None:
    class Fixed(segue.Popular):
        _grow = segue.Recommender._grow

    service.models.active = [FakeServed("fixed", Fixed().fit(shop))]
    answer = client.put("/v1/items", json=[{"item_id": "i900"}])
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "R030")


def test_models_are_listed_activated_and_changed(client: TestClient, service: Service) -> None:
    (model,) = client.get("/v1/models").json()["models"]
    assert (model["name"], model["role"], model["loaded"]) == ("model-1", "active", True)
    assert model["created"] == "1970-01-01T00:00:00Z"
    assert client.post("/v1/models", json={"path": "nothing"}).status_code == 422
    assert client.post("/v1/models/model-1/activate").json()["models"] == [model]
    assert client.put("/v1/models/model-1", json={"role": "shadow", "weight": 2}).status_code == 200
    assert client.post("/v1/models/roll-back").json() == {"active": ["model-1"]}


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", {}), ("POST", {"undo": 1})])
def test_where_online_mode_is_off_nothing_is_learnt_for_a_model(client: TestClient, method: str, body: Any) -> None:
    answer = client.request(method, "/v1/models/model-1/online", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "V072")


def test_alive_is_not_ready(client: TestClient, service: Service) -> None:
    assert client.get("/readyz").json() == {"status": "ready", "reason": None}
    service.store.away = StoreUnavailable(url="sqlite:///secret", reason="away")
    away = client.get("/readyz")
    assert (away.status_code, away.json()["status"]) == (503, "not ready")
    assert "secret" not in away.text
    service.store.away = None
    service.draining = True
    assert client.get("/readyz").status_code == 503
    assert client.get("/healthz").json() == {"status": "ok", "reason": None}


def test_the_document_names_every_failure_and_gives_examples(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    paths = document["paths"]
    assert {path for path in paths if path.startswith("/v1")} == {
        "/v1/recommend/{user_id}", "/v1/recommend", "/v1/generate", "/v1/events", "/v1/items/{item_id}/similar",
        "/v1/items", "/v1/items/{item_id}", "/v1/users/{user_id}",
        "/v1/users/{user_id}/events", "/v1/models", "/v1/models/{name}/activate", "/v1/models/roll-back",
        "/v1/models/{name}",
        "/v1/models/{name}/online",
    }  # fmt: skip
    problem = {"$ref": "#/components/schemas/Problem"}
    for path, methods in paths.items():
        for route in methods.values():
            assert route["summary"]
            assert route["description"]
            if path.startswith("/v1"):
                assert route["responses"]["422"]["content"]["application/json"]["schema"] == problem
                assert "500" in route["responses"]
    schemas = document["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    asked = schemas["RecommendIn"]
    assert asked["examples"]
    assert asked["properties"]["k"]["maximum"] == 1_000
    assert all("description" in each for each in asked["properties"].values())


@pytest.mark.parametrize("kind", ["put", "delete"])
def test_changes_have_a_deadline_and_take_no_place_of_a_question(
    client: TestClient, service: Service, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    service.changes = Gate(capacity=1, queue=0, deadline_seconds=0.3)
    go = threading.Event()
    for name in ("put_items", "erase"):
        monkeypatch.setattr(service.store, name, lambda *_: go.wait(20))
    body = {"item_id": "i1", "title": "New"}
    began = time.perf_counter()
    late = client.put("/v1/items", json=[body]) if kind == "put" else client.delete("/v1/users/u1")
    assert (late.status_code, late.json()["error"]["code"]) == (504, "V041")
    assert time.perf_counter() - began < 10
    assert client.get("/v1/recommend/u3").status_code == 200
    go.set()
