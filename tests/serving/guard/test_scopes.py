"""Every route of an application x every key: who is let in, and that no route can be forgotten."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import iter_route_contexts
from starlette.responses import PlainTextResponse

from segue.errors import ScopeUndeclared, ScopeUnknown, TooManyAttempts
from segue.serving.guard.doorman import Attempts
from segue.serving.guard.keys import Keys
from segue.serving.guard.scopes import RouteTable, needs
from segue.serving.service import Service
from segue.serving.settings import ServiceConfig
from tests.serving.guard.shop import KeysInMemory, build, client, guarded

HOLDERS = ("none", "wrong", "events", "recommend", "admin")


def expected(scopes: frozenset[str], holder: str) -> int | None:
    """The refusal of a holder, None where it is let in."""
    if not scopes or holder == "admin" or scopes == {holder}:
        return None
    return 401 if holder in ("none", "wrong") else 403


async def violations(app: FastAPI, table: RouteTable, secrets: dict[str, str]) -> list[str]:
    """Where an answer is not what the table says, over all routes, methods, holders and both headers."""
    found = []
    async with client(app) as asking:
        for route in table.routes:
            path = re.sub(r"\{[^}]*\}", "x", route.template)
            for method in sorted(route.methods or {"GET"}):
                for holder in HOLDERS:
                    for name, form in (("Authorization", "Bearer {}"), ("X-API-Key", "{}")):
                        headers = {} if holder == "none" else {name: form.format(secrets[holder])}
                        answer = await asking.request(method, path, headers=headers)
                        want = expected(route.scopes, holder)
                        refused = answer.status_code if answer.status_code in (401, 403, 429) else None
                        if refused != want:
                            found.append(f"{method} {path} by {holder}: {answer.status_code}, not {want or 'let in'}")
                        if refused == 401 and not answer.headers["WWW-Authenticate"].startswith("Bearer"):
                            found.append(f"{method} {path} by {holder}: no WWW-Authenticate")
                        if (
                            refused == 403
                            and method != "HEAD"
                            and sorted(route.scopes)[0] not in answer.json()["error"]["message"]
                        ):
                            found.append(f"{method} {path} by {holder}: 403 names no scope")
    return found


def with_keys() -> tuple[Keys, dict[str, str]]:
    keys = Keys(KeysInMemory())
    secrets = {scope: keys.create([scope]) for scope in ("events", "recommend", "admin")}
    return keys, {**secrets, "wrong": "segue_00000000_" + "x" * 43}


@pytest.fixture(autouse=True)
def _many_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts.__init__, "__defaults__", (10_000, 0.2, 4096))


def test_a_key_opens_the_routes_of_its_scope_and_no_other() -> None:
    keys, secrets = with_keys()
    app = guarded(keys)
    table = RouteTable(build(), {"/openapi.json": "admin"})
    assert len(table.routes) == 6
    assert asyncio.run(violations(app, table, secrets)) == []


def test_the_matrix_finds_a_route_that_lets_everybody_in() -> None:
    keys, secrets = with_keys()
    app = guarded(keys, declared={"/openapi.json": None})
    table = RouteTable(build(), {"/openapi.json": "admin"})
    assert asyncio.run(violations(app, table, secrets))


def test_so_it_is_for_every_route_of_the_service() -> None:
    from segue.serving.app import create_app

    keys, secrets = with_keys()
    app = create_app(Service(ServiceConfig(), keys=keys))
    table = app.state.routes
    assert {route.template for route in table.routes} == {route.path for route in iter_route_contexts(app.routes)}
    assert asyncio.run(violations(app, table, secrets)) == []


def undeclared_route(app: FastAPI) -> None:
    @app.get("/forgotten")
    async def forgotten() -> None: ...


def undeclared_router(app: FastAPI) -> None:
    router = APIRouter()

    @router.get("/b")
    async def forgotten() -> None: ...

    app.include_router(router, prefix="/a")


def undeclared_mount(app: FastAPI) -> None:
    app.mount("/page", PlainTextResponse("hello"))


def undeclared_socket(app: FastAPI) -> None:
    @app.websocket("/ws")
    async def forgotten(websocket: Any) -> None: ...


def undeclared_plain_route(app: FastAPI) -> None:
    app.add_route("/metrics", lambda request: PlainTextResponse(""))


@pytest.mark.parametrize(
    "add", [undeclared_route, undeclared_router, undeclared_mount, undeclared_socket, undeclared_plain_route]
)
def test_an_application_with_a_route_that_declares_nothing_cannot_be_built(add: Any) -> None:
    with pytest.raises(ScopeUndeclared, match=r"/forgotten|/a/b|/page|/ws|/metrics"):
        guarded(add=add)


def test_a_router_may_declare_for_its_routes_and_the_include_for_its_router() -> None:
    def add(app: FastAPI) -> None:
        inner, outer = APIRouter(), APIRouter(prefix="/v2", dependencies=[Depends(needs("events"))])

        @inner.get("/thing/{name}")
        async def thing(name: str) -> str:
            return name

        outer.include_router(inner, prefix="/deep")
        app.include_router(outer)
        app.include_router(inner, prefix="/v3", dependencies=[Depends(needs("admin"))])

    app = build()
    add(app)
    table = RouteTable(app, {"/openapi.json": "admin"})
    found = {route.template: set(route.scopes) for route in table.routes}
    assert found["/v2/deep/thing/{name}"] == {"events"}
    assert found["/v3/thing/{name}"] == {"admin"}
    keys, secrets = with_keys()

    async def ask() -> list[int]:
        async with client(guarded(keys, add)) as asking:
            headers = {"X-API-Key": secrets["events"]}
            return [(await asking.get(f"/{v}/thing/a", headers=headers)).status_code for v in ("v2/deep", "v3")]

    assert asyncio.run(ask()) == [200, 403]


def test_what_is_added_after_the_guard_is_not_found() -> None:
    app = guarded()
    undeclared_route(app)

    async def ask() -> int:
        async with client(app) as asking:
            return (await asking.get("/forgotten")).status_code

    assert asyncio.run(ask()) == 404


def test_a_route_without_the_doorman_is_closed() -> None:
    async def ask() -> list[int]:
        app = build()
        app.add_exception_handler(Exception, lambda request, error: PlainTextResponse("", error.status))  # type: ignore[attr-defined]
        async with client(app) as asking:
            return [(await asking.get(path)).status_code for path in ("/healthz", "/v1/recommend/u")]

    assert asyncio.run(ask()) == [200, 401]


def test_without_a_key_the_service_is_open_on_loopback_only() -> None:
    async def ask() -> list[int]:
        answers = []
        for server in ("127.0.0.1", "192.0.2.7"):
            async with client(guarded(), server) as asking:
                answers.append((await asking.get("/v1/recommend/u")).status_code)
        return answers

    assert asyncio.run(ask()) == [200, 401]


def test_a_wrong_method_and_an_unknown_path_are_told_apart() -> None:
    async def ask() -> list[int]:
        async with client(guarded()) as asking:
            return [
                (await asking.post("/v1/recommend/u")).status_code,
                (await asking.get("/v1/nothing")).status_code,
                (await asking.get("/v1/events/")).status_code,
            ]

    assert asyncio.run(ask()) == [405, 404, 404]


def test_wrong_keys_are_slowed_down_by_address_and_right_ones_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts.__init__, "__defaults__", (3, 0.001, 4096))
    keys, secrets = with_keys()

    async def ask() -> list[int]:
        async with client(guarded(keys)) as asking:
            holders = ["wrong"] * 5 + ["events", "wrong", "none"]
            return [
                (await asking.post("/v1/events", headers={"X-API-Key": secrets[h]} if h != "none" else {})).status_code
                for h in holders
            ]

    assert asyncio.run(ask()) == [401, 401, 401, 429, 429, 200, 429, 401]


def test_attempts_come_back_with_time_and_addresses_are_not_kept_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("segue.serving.guard.doorman.time.monotonic", lambda: now)
    attempts = Attempts(burst=1, per_second=0.5, addresses=2)
    attempts.wrong("a")
    with pytest.raises(TooManyAttempts) as refused:
        attempts.wrong("a")
    assert refused.value.headers == {"Retry-After": "2"}
    now = 2.0
    attempts.wrong("a")
    attempts.wrong("b")
    attempts.wrong("c")
    assert len(attempts._left) == 2


def test_a_scope_that_does_not_exist_is_named() -> None:
    with pytest.raises(ScopeUnknown, match="Did you mean 'recommend'"):
        needs("recomend")
