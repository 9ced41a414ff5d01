"""What every answer tells a browser, and which calls of a browser are refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from starlette.responses import HTMLResponse

from segue.serving.guard.connections import ConnectionsConfig
from tests.faults.guarded import PAGE_POLICY
from tests.serving.guard.shop import client, guarded


def ask(method: str, path: str, headers: dict[str, str] | None = None, **more: Any) -> Any:
    async def asked() -> Any:
        async with client(guarded(**more)) as asking:
            return await asking.request(method, path, headers=headers)

    return asyncio.run(asked())


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/healthz", 200),
        ("GET", "/openapi.json", 200),
        ("GET", "/nowhere", 404),
        ("PUT", "/healthz", 405),
        ("GET", "/broken", 500),
    ],
)
def test_every_answer_has_the_security_headers(method: str, path: str, status: int) -> None:
    answer = ask(method, path)
    assert answer.status_code == status
    told = answer.headers
    assert told["content-security-policy"].startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in told["content-security-policy"]
    assert told["x-content-type-options"] == "nosniff"
    assert told["referrer-policy"] == "no-referrer"
    assert told["cross-origin-opener-policy"] == "same-origin"
    assert told["cache-control"] == "no-store"
    assert len(told["x-request-id"]) == 16


def test_a_page_has_a_policy_of_its_own_and_loads_nothing_from_elsewhere() -> None:
    def add(app: Any) -> None:
        app.mount("/page", HTMLResponse("<p>hello</p>"))

    answer = ask(
        "GET", "/page/", add=add, declared={"/openapi.json": "admin", "/page": None}, pages={"/page": PAGE_POLICY}
    )
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy == PAGE_POLICY
    assert "http" not in policy
    assert "*" not in policy


def test_a_foreign_host_on_loopback_is_refused() -> None:
    assert ask("GET", "/healthz", {"Host": "evil.example"}).status_code == 421
    assert ask("GET", "/healthz", {"Host": "evil.example:8000"}).status_code == 421
    assert ask("GET", "/healthz", {"Host": ""}).status_code == 421
    assert ask("GET", "/healthz", {"Host": "[::1"}).status_code == 421
    assert ask("GET", "/healthz", {"Host": "127.0.0.1.evil.example"}).status_code == 421


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1", "[::1]:8000", "LOCALHOST"])
def test_loopback_has_its_names(host: str) -> None:
    assert ask("GET", "/healthz", {"Host": host}).status_code == 200


def test_further_names_are_a_setting() -> None:
    named = ConnectionsConfig(hosts=("Shop.example",))
    assert ask("GET", "/healthz", {"Host": "shop.example:80"}, connections=named).status_code == 200
    assert ask("GET", "/healthz", {"Host": "evil.example"}, connections=named).status_code == 421


def test_what_another_site_wants_changed_is_refused() -> None:
    own, foreign = {"Origin": "http://127.0.0.1:8000"}, {"Origin": "https://evil.example"}
    assert ask("POST", "/v1/events", own).status_code == 200
    assert ask("POST", "/v1/events", foreign).status_code == 421
    assert ask("POST", "/v1/events", {"Origin": "null"}).status_code == 421
    assert ask("GET", "/healthz", foreign).status_code == 200  # a browser keeps the answer from that site
