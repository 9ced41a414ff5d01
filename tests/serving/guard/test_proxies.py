"""Without a key, a request with a sign of a proxy is refused on every route."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import segue
from segue.serving.app import create_app
from segue.serving.building import build
from segue.serving.guard.connections import ConnectionsConfig
from segue.serving.guard.keys import Keys
from segue.serving.guard.proxies import sign
from segue.serving.settings import ServiceConfig
from tests.serving.guard.shop import KeysInMemory, client, guarded

SIGNS = [
    {"Forwarded": "for=192.0.2.1"},
    {"X-Forwarded-For": "192.0.2.1"},
    {"X-Forwarded-Proto": "https"},
    {"x-forwarded-anything": "1"},
    {"X-Real-IP": "192.0.2.1"},
    {"Via": "1.1 proxy"},
    {"CF-Connecting-IP": "192.0.2.1"},
    {"True-Client-IP": "192.0.2.1"},
    {"X-Original-URL": "/"},
    {"X-Amzn-Trace-Id": "1"},
]


async def status(headers: dict[str, str], path: str = "/v1/recommend/u1", **more: Any) -> int:
    async with client(guarded(**more)) as asking:
        return (await asking.get(path, headers=headers)).status_code


@pytest.mark.anyio
@pytest.mark.parametrize("headers", SIGNS, ids=str)
async def test_a_sign_of_a_proxy_is_refused_and_named(headers: dict[str, str]) -> None:
    async with client(guarded()) as asking:
        refused = await asking.get("/v1/recommend/u1", headers=headers)
        assert (await asking.get("/v1/recommend/u1")).status_code == 200
    name = next(iter(headers)).lower()
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "V106")
    assert name in refused.json()["error"]["message"]


@pytest.mark.anyio
@pytest.mark.parametrize("headers", SIGNS, ids=str)
async def test_a_service_without_the_check_would_be_open_to_whoever_reaches_the_proxy(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("segue.serving.guard.doorman.sign", lambda scope: None)
    assert await status(headers) == 200


@pytest.mark.anyio
@pytest.mark.parametrize("host", ["shop.example", "127.0.0.1.nip.io", "localhost.example", "", "10.0.0.1", "user@host"])
async def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    assert await status({"Host": host}) == 421


def test_http_1_0_and_two_hosts_are_signs_of_a_proxy() -> None:
    assert sign({"headers": [(b"host", b"127.0.0.1")], "http_version": "1.0"})
    assert sign({"headers": [(b"host", b"127.0.0.1"), (b"host", b"x")], "http_version": "1.1"})
    assert sign({"headers": [(b"host", b"127.0.0.1"), (b"user-agent", b"curl")], "http_version": "1.1"}) is None


@pytest.mark.anyio
async def test_with_a_key_or_with_open_a_proxy_is_welcome() -> None:
    keys = Keys(KeysInMemory())
    secret = keys.create(["recommend"])
    headers = {"X-Forwarded-For": "192.0.2.1", "X-API-Key": secret}
    assert await status(headers, keys=keys) == 200
    opened = ConnectionsConfig(open=True)
    assert await status({"X-Forwarded-For": "192.0.2.1", "Host": "shop.example"}, connections=opened) == 200


def test_every_route_of_the_service_but_health_refuses_a_proxy(ease: segue.EASE, tmp_path: Any) -> None:
    ease.save(tmp_path / "shop")
    service = build(tmp_path / "shop", ServiceConfig.grouped({"store": {"url": f"sqlite:///{tmp_path}/events.db"}}))
    app = create_app(service)
    proxied = {"X-Forwarded-For": "192.0.2.1"}
    with TestClient(app, "http://localhost", headers=proxied) as asking:
        answers: dict[str, httpx.Response] = {}
        for path, operations in app.openapi()["paths"].items():
            for method in operations:
                answers[f"{method} {path}"] = asking.request(method, path.replace("{", "").replace("}", ""))
        for path in ("/metrics", "/openapi.json", "/ui", "/ui/live"):
            answers[path] = asking.get(path)
        with pytest.raises(WebSocketDisconnect), asking.websocket_connect("/ui/_nicegui_ws/socket.io/"):
            pass
    health = {name for name, answer in answers.items() if answer.status_code == 200}
    assert health == {"get /healthz", "get /readyz"}
    assert {answer.status_code for name, answer in answers.items() if name not in health} == {403}
    assert len(answers) > 20
