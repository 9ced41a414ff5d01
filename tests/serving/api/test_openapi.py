"""The document that clients are generated from, HEAD, and the identity of a request."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

import segue
from segue.serving.app import create_app
from segue.serving.guard.keys import Keys
from segue.serving.service import Service
from segue.serving.watching.metrics import Metrics
from tests.serving.fakes import service_of
from tests.serving.guard.shop import KeysInMemory

ROUTES = {
    "DELETE /v1/items/{item_id}": "items",
    "DELETE /v1/models/{name}": "admin",
    "DELETE /v1/users/{user_id}": "admin",
    "GET /healthz": None,
    "GET /metrics": "metrics",
    "GET /readyz": None,
    "GET /v1/alerts": "admin",
    "GET /v1/items": "recommend",
    "GET /v1/items/{item_id}": "recommend",
    "GET /v1/items/{item_id}/similar": "recommend",
    "GET /v1/models": "admin",
    "GET /v1/models/{name}/online": "admin",
    "GET /v1/recommend/{user_id}": "recommend",
    "GET /v1/users/{user_id}/events": "admin",
    "POST /v1/events": "events",
    "POST /v1/generate": "recommend",
    "POST /v1/models": "admin",
    "POST /v1/models/roll-back": "admin",
    "POST /v1/models/{name}/activate": "admin",
    "POST /v1/models/{name}/online": "admin",
    "POST /v1/recommend": "recommend",
    "PUT /v1/items": "items",
    "PUT /v1/models/{name}": "admin",
}
"""Every operation of the document and its scope: a change here is a change of the interface."""


def made(model: segue.Recommender) -> Service:
    """A service with metrics and no keys."""
    service = service_of(model)
    watch: Any = SimpleNamespace(metrics=Metrics(), start=lambda _: None, stop=lambda: None)
    watch.answered = lambda *_: None
    service.watch, service.keys = watch, Keys(KeysInMemory())
    return service


@pytest.fixture
def app(ease: segue.EASE) -> Any:
    return create_app(made(ease))


@pytest.fixture(scope="module")
def document(ease: segue.EASE) -> dict[str, Any]:
    return create_app(made(ease)).openapi()


def test_the_document_has_every_route_with_its_scope(document: dict[str, Any]) -> None:
    found = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            security = operation["security"]
            scopes = {scope for each in security for scopes in each.values() for scope in scopes}
            assert len(scopes) == (1 if security else 0)
            assert [name for each in security for name in each] == (["bearer", "apiKey"] if security else [])
            found[f"{method.upper()} {path}"] = next(iter(scopes), None)
    assert found == ROUTES


def test_the_document_says_how_a_key_is_shown(document: dict[str, Any]) -> None:
    schemes = document["components"]["securitySchemes"]
    assert schemes["bearer"]["scheme"] == "bearer"
    assert (schemes["apiKey"]["in"], schemes["apiKey"]["name"]) == ("header", "X-API-Key")


def asked_for(document: dict[str, Any], name: str) -> set[str]:
    """What generators of typed clients ask for: what is required, and what has a default (as if it were)."""
    schema = document["components"]["schemas"][name]
    return {*schema.get("required", ()), *(key for key, each in schema["properties"].items() if "default" in each)}


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("RecommendIn", set()),
        ("GenerateIn", set()),
        ("FiltersIn", set()),
        ("HistoryEvent", {"item_id"}),
        ("EventIn", {"user_id", "item_id"}),
        ("ModelIn", {"path"}),
    ],
)
def test_a_generated_client_asks_for_nothing_that_has_a_default(
    document: dict[str, Any], name: str, needed: set[str]
) -> None:
    assert asked_for(document, name) == needed


def test_a_default_is_told_in_words(document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["RecommendIn"]["properties"]
    assert fields["k"]["description"].endswith("Default: 10.")
    assert fields["explain"]["description"].endswith("Default: False.")


def test_reasons_of_answers_are_always_whole(document: dict[str, Any]) -> None:
    assert set(document["components"]["schemas"]["ReasonOut"]["required"]) == {"text", "kind", "contributions"}


# -- HEAD --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/v1/items?query=film", "/v1/items/i3", "/openapi.json", "/metrics"]
)
def test_head_answers_as_get_does_without_a_body(app: Any, path: str) -> None:
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        got, asked = client.get(path), client.head(path)
    assert asked.status_code == got.status_code == 200
    assert asked.content == b""
    assert asked.headers["content-type"] == got.headers["content-type"]
    if path != "/metrics":
        assert asked.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("path", ["/v1/recommend/u1", "/v1/events"])
def test_head_ranks_nothing_and_writes_nothing(app: Any, path: str) -> None:
    with TestClient(app, "http://localhost", raise_server_exceptions=False) as client:
        assert client.head(path).status_code == 405


def test_head_needs_the_key_that_get_needs(ease: segue.EASE) -> None:
    service = service_of(ease)
    service.keys = Keys(KeysInMemory())
    reader, writer = service.keys.create(["recommend"]), service.keys.create(["items"])
    with TestClient(create_app(service), "http://localhost", raise_server_exceptions=False) as client:
        asked = [client.head("/v1/items/i3", headers={"X-API-Key": key}).status_code for key in (reader, writer, "")]
    assert asked == [200, 403, 401]


# -- scopes of their own -----------------------------------------------------------------------------------------


def test_metrics_and_items_have_scopes_that_open_nothing_else(ease: segue.EASE) -> None:
    service = made(ease)
    keys = {scope: service.keys.create([scope]) for scope in ("metrics", "items", "admin", "recommend")}
    with TestClient(create_app(service), "http://localhost", raise_server_exceptions=False) as client:

        def status(scope: str, method: str, path: str, body: Any = None) -> int:
            return client.request(method, path, headers={"X-API-Key": keys[scope]}, json=body).status_code

        assert [status(scope, "GET", "/metrics") for scope in keys] == [200, 403, 200, 403]
        row = [{"item_id": "i900"}]
        assert [status(scope, "PUT", "/v1/items", row) for scope in keys] == [403, 200, 200, 403]
        assert [status(scope, "GET", "/v1/models") for scope in keys] == [403, 403, 200, 403]
