"""A path names one id: what ``POST /v1/events`` takes is read and erased under its quoted id, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.routing import compile_path

import segue
from segue.serving.app import create_app
from segue.serving.building import build
from segue.serving.guard.paths import PathPattern
from segue.serving.settings import ServiceConfig

ODD = [
    "carol\n",
    "bob\nsmith",
    "\r",
    "a/b",
    "a/events",
    "a/similar",
    "%0A",
    "..",
    ".",
    " ",
    "a b",
    "é",
    "\x85",
    "日本",
    "a?b#c",
]
ids = st.one_of(
    st.sampled_from(ODD),
    st.text(st.sampled_from("ab/\n\r\t%.? #é\x7f\x85\u2028"), min_size=1, max_size=6),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=8),
)


@pytest.fixture(scope="module")
def client(ease: segue.EASE, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    home = tmp_path_factory.mktemp("exact")
    ease.save(home / "shop")
    store = {"url": f"sqlite:///{home}/events.db"}
    service = build(home / "shop", ServiceConfig.grouped({"store": store, "page": {"on": False}}))
    with TestClient(create_app(service), "http://localhost") as asking:
        yield asking


async def _asked(app: Any, method: str, raw: str) -> tuple[int, Any]:
    """Ask an application as a server does; clients for tests would decode a path twice and drop its dots."""
    sent: list[Any] = []
    bodies = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for body in bodies:
            return body
        await asyncio.sleep(60)  # the client stays
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": unquote(raw), "raw_path": raw.encode(), "query_string": b""}
    scope |= {"headers": [(b"host", b"localhost")], "server": ("127.0.0.1", 80), "client": ("127.0.0.1", 9)}
    await app({**scope, "scheme": "http", "http_version": "1.1", "root_path": ""}, receive, send)
    return sent[0]["status"], json.loads(b"".join(message.get("body", b"") for message in sent[1:]))


def ask(client: TestClient, method: str, before: str, name: str, after: str = "") -> tuple[int, Any]:
    assert client.portal is not None
    return client.portal.call(_asked, client.app, method, f"{before}{quote(name, safe='')}{after}")


def events_of(client: TestClient, user: str) -> list[str]:
    status, answer = ask(client, "GET", "/v1/users/", user, "/events")
    assert (status, answer["user_id"]) == (200, user)
    return [event["item_id"] for event in answer["events"]]


@settings(max_examples=60)
@given(user=ids, other=ids)
def test_a_user_is_read_and_erased_under_their_own_path_alone(client: TestClient, user: str, other: str) -> None:
    for each in {user, other}:
        assert client.post("/v1/events", json={"user_id": each, "item_id": "i4"}).status_code == 201
    assert events_of(client, user) == ["i4"]
    status, erasure = ask(client, "DELETE", "/v1/users/", user)
    assert (status, erasure["user_id"]) == (200, user)
    assert events_of(client, user) == []
    if other != user:
        assert events_of(client, other) == ["i4"]
        ask(client, "DELETE", "/v1/users/", other)


def test_an_item_is_found_under_its_own_path_alone(client: TestClient) -> None:
    assert [ask(client, "GET", "/v1/items/", name)[0] for name in ODD] == [404] * len(ODD)
    assert client.put("/v1/items", json=[{"item_id": name, "title": "Odd"} for name in ODD]).status_code == 200
    until = time.monotonic() + 20
    while ask(client, "GET", "/v1/items/", ODD[-1])[0] != 200:
        assert time.monotonic() < until
    assert [ask(client, "GET", "/v1/items/", name)[1]["item"]["item_id"] for name in ODD] == ODD


@pytest.mark.parametrize(
    "path", ["/v1/items/i4%0A", "/v1/items/i4/similar%0A", "/v1/items/i4%0A/similar", "/healthz%0A"]
)
def test_a_newline_at_the_end_names_nothing_that_is_there(client: TestClient, path: str) -> None:
    assert client.portal is not None
    assert client.portal.call(_asked, client.app, "GET", path)[0] == 404


def test_the_patterns_of_the_router_alone_would_name_another_user() -> None:
    pattern = compile_path("/v1/users/{user_id:path}")[0]
    assert pattern.match("/v1/users/carol\n")["user_id"] == "carol"  # type: ignore[index]
    assert pattern.match("/v1/users/bob\nsmith") is None


def test_an_escaped_slash_belongs_to_the_id() -> None:
    similar, item = PathPattern("/v1/items/{item_id:path}/similar"), PathPattern("/v1/items/{item_id:path}")

    def scope(path: str, raw: bytes) -> dict[str, object]:
        return {"path": path, "raw_path": raw}

    escaped = scope("/v1/items/a/similar", b"/v1/items/a%2Fsimilar")
    assert similar.match(escaped) is None
    assert item.match(escaped) == {"item_id": "a/similar"}
    assert similar.match(scope("/v1/items/a/similar", b"/v1/items/a/similar")) == {"item_id": "a"}
