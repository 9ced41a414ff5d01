"""How large, how deep and how slow a body may be; judged before anything parses it.

A declared length is refused at once, an undeclared one when it is passed. The body is read as a whole (it is small by
then), its brackets are counted outside of strings, and the application gets it as one message. The head of a request
and the pace of its bytes are ``connections``' matter, what the values mean is the schemas'.
"""

from __future__ import annotations

import asyncio
import re

import numpy as np
from pydantic import Field

from segue.config import Config
from segue.errors import BodyMalformed, BodyTooLarge, BodyTooSlow, Busy
from segue.errors.guarding import GuardError
from segue.serving.guard.refusing import App, Message, Receive, Scope, Send, header, refuse


class BodyConfig(Config):
    """Limits of one body, and of all that are being read."""

    body_bytes: int = Field(1_000_000, ge=1)
    """Bytes of one body; then 413."""
    json_depth: int = Field(32, ge=1)
    """Objects and lists within each other; then 422."""
    json_values: int = Field(100_000, ge=1)
    """Commas, and so values, of one body; then 422."""
    body_seconds: float = Field(10.0, gt=0)
    """From the head of a request to the end of its body; then 408."""
    bodies_bytes: int = Field(64_000_000, ge=1)
    """Bytes of all bodies being read at once; then 429."""


_ESCAPE = re.compile(rb"\\.", re.DOTALL)
_STRING = re.compile(rb'"[^"]*"')
_OTHERS = bytes(sorted(set(range(256)) - set(b'"[]{}')))
_STEPS = np.zeros(256, dtype=np.int8)
_STEPS[list(b"[{")] = 1
_STEPS[list(b"]}")] = -1


def depth(body: bytes, enough: int = 0) -> int:
    """The deepest nesting of lists and objects in a JSON text, brackets in strings not counted.

    Where there are no more than ``enough`` opening brackets at all, their number is returned instead, which is not
    smaller. Text that is no JSON has some depth too; to refuse it is the parser's part.
    """
    opening = body.count(b"[") + body.count(b"{")
    if opening <= enough:
        return opening
    if b"\\" in body:
        body = _ESCAPE.sub(b"", body)
    brackets = _STRING.sub(b"", body.translate(None, _OTHERS))
    steps = _STEPS[np.frombuffer(brackets, dtype=np.uint8)]
    return int(np.cumsum(steps, dtype=np.int32).max(initial=0))


class BodyLimit:
    """ASGI middleware: refuses bodies past the limits, and hands the others on whole."""

    def __init__(self, app: App, settings: BodyConfig | None = None) -> None:
        self.app = app
        self.settings = settings or BodyConfig()
        self._held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the body, judge it, pass it on."""
        if scope["type"] != "http" or not _has_body(scope):
            await self.app(scope, receive, send)
            return
        body = bytearray()
        try:
            try:
                async with asyncio.timeout(self.settings.body_seconds):
                    whole = await self._read(scope, receive, body)
                if not whole:
                    return  # the client has gone
                self._judge(body)
            except TimeoutError:
                await refuse(scope, send, BodyTooSlow(seconds=self.settings.body_seconds))
                return
            except GuardError as error:
                await refuse(scope, send, error)
                return
            await self.app(scope, _replay(bytes(body), receive), send)
        finally:
            self._held -= len(body)

    async def _read(self, scope: Scope, receive: Receive, body: bytearray) -> bool:
        """Fill ``body``; False when the client leaves before its end."""
        declared = header(scope, b"content-length") or ""
        self._refuse_size(int(declared) if declared.isdecimal() else 0)
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                return False
            chunk = message.get("body", b"")
            self._refuse_size(len(body) + len(chunk))
            if self._held + len(chunk) > self.settings.bodies_bytes:
                raise Busy(what="bodies being read", seconds=1)
            body += chunk
            self._held += len(chunk)
            more = message.get("more_body", False)
        return True

    def _refuse_size(self, size: int) -> None:
        if size > self.settings.body_bytes:
            raise BodyTooLarge(limit=self.settings.body_bytes)

    def _judge(self, body: bytearray) -> None:
        if body.count(b",") >= self.settings.json_values:
            raise BodyMalformed(limit=self.settings.json_values, what="values")
        if depth(bytes(body), enough=self.settings.json_depth) > self.settings.json_depth:
            raise BodyMalformed(limit=self.settings.json_depth, what="levels of lists and objects")


def _has_body(scope: Scope) -> bool:
    return header(scope, b"transfer-encoding") is not None or header(scope, b"content-length") not in (None, "0")


def _replay(body: bytes, receive: Receive) -> Receive:
    """The whole body as one message, then whatever the client says next (that it leaves)."""
    told = False

    async def again() -> Message:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
