"""How a middleware says no: an error as a JSON answer, before any route is reached.

The form is that of the whole interface: ``{"error": {"code", "message", "remedy"}}``.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from segue.errors.serving import ServiceError

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def answer(error: ServiceError) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of an error."""
    told = {"error": {"code": error.code, "message": error.message, "remedy": error.advice}}
    body = json.dumps(told).encode()
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **error.headers}
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()], body


async def refuse(scope: Scope, send: Send, error: ServiceError) -> None:
    """Answer a request, or close a WebSocket before it opens; metrics find the error's code in the scope."""
    scope["segue_error"] = error.code
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008, "reason": error.code})
        return
    headers, body = answer(error)
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def header(scope: Scope, name: bytes) -> str | None:
    """The first header of a name (lower case), or None."""
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), None)
