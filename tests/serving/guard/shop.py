"""A guarded application without a model, and a store of keys in memory, for the tests of the guard."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
from fastapi import Depends, FastAPI, Request

from segue.serving.guard.guarding import guard
from segue.serving.guard.keys import Keys
from segue.serving.guard.scopes import needs
from segue.serving.store.rows import KeyRow


class KeysInMemory:
    """What of the store the keys use."""

    def __init__(self) -> None:
        self.rows: dict[str, KeyRow] = {}

    def key_rows(self) -> list[KeyRow]:
        return list(self.rows.values())

    def add_key(self, row: KeyRow) -> None:
        assert row.key_id not in self.rows
        self.rows[row.key_id] = replace(row)

    def revoke_key(self, key_id: str) -> bool:
        return self.rows.pop(key_id, None) is not None


def build() -> FastAPI:
    """Routes of each scope."""
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.get("/healthz", dependencies=[Depends(needs(None))])
    async def healthz() -> dict[str, str]:
        return {"status": "alive"}

    @app.post("/v1/events", dependencies=[Depends(needs("events"))])
    async def events(request: Request) -> int:
        return len(await request.body())

    @app.get("/v1/recommend/{user_id}", dependencies=[Depends(needs("recommend"))])
    async def recommend(user_id: str, request: Request) -> dict[str, str]:
        request.state.model, request.state.user_id = "films", user_id
        return {"user": user_id}

    @app.delete("/v1/users/{user_id}", dependencies=[Depends(needs("admin"))])
    async def erase(user_id: str) -> None: ...

    @app.get("/broken", dependencies=[Depends(needs("recommend"))])
    async def broken(text: str = "") -> None:
        raise ValueError(f"what nobody foresaw: {text}")

    return app


def guarded(keys: Keys | None = None, add: Callable[[FastAPI], Any] | None = None, **more: Any) -> FastAPI:
    """The application with its guard."""
    app = build()
    if add is not None:
        add(app)
    guard(app, keys or Keys(KeysInMemory()), **{"declared": {"/openapi.json": "admin"}, **more})
    return app


@asynccontextmanager
async def client(app: Any, server: str = "127.0.0.1") -> AsyncIterator[httpx.AsyncClient]:
    """Someone who asks it without a socket, as if it came in at the address ``server``."""

    async def placed(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "server": (server, 8000)}, receive, send)

    transport = httpx.ASGITransport(placed, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://{server}:8000") as asking:
        yield asking
