"""Whether the process lives, and whether it takes requests."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Depends, Request, Response

from segue.errors import SegueError
from segue.serving.api import schemas_admin
from segue.serving.api.common import sent, service_of
from segue.serving.guard.scopes import needs

_PING_S = 2.0
checking = APIRouter(tags=["health"])


@checking.get("/healthz", summary="Alive", response_model=schemas_admin.Health, dependencies=[Depends(needs(None))])
async def alive() -> Response:
    """The process answers. Says nothing about store and models; restart it where this fails."""
    return sent({"status": "ok", "reason": None})


@checking.get(
    "/readyz",
    summary="Ready",
    response_model=schemas_admin.Health,
    responses={503: {"model": schemas_admin.Health, "description": "Not ready"}},
    dependencies=[Depends(needs(None))],
)
async def ready(request: Request) -> Response:
    """A model can answer, the store can be reached, and the process is not about to end; else 503. Send it requests.

    With ``store.needed_for_readiness=false`` the store does not count.
    """
    reason = await _missing(service_of(request))
    return sent({"status": "not ready" if reason else "ready", "reason": reason}, 503 if reason else 200)


async def _missing(service: Any) -> str | None:
    if service.draining:
        return "it is about to end"
    if service.models is None or service.answers is None or service.store is None:
        return "it has not started"
    try:
        service.models.choose(None)
        if not service.settings.store.needed_for_readiness:
            return None
        await asyncio.wait_for(asyncio.to_thread(service.store.ping), _PING_S)
    except TimeoutError:
        return "the store does not answer"
    except SegueError as error:
        return f"[{error.code}]"
    return None
