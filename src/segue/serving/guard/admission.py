"""Who is refused before a request is read: while the gate is full, or while a key is at its limits (429).

The protocol calls ``Admission.refusal`` with a parsed head. What it refuses costs no route, no body and no task, and
its log line is one for all refusals of a second. The same decision stands behind authentication as an ASGI middleware:
there each key is counted, and servers without the protocol of this package are covered too.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import secrets
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from segue.errors import KeyBusy, KeyTooFast
from segue.errors.guarding import LaterError
from segue.serving.guard.gate import Gate
from segue.serving.guard.headers import ALWAYS, DATA_POLICY
from segue.serving.guard.keys import Keys
from segue.serving.guard.logs import logger
from segue.serving.guard.refusing import App, Receive, Scope, Send, answer, refuse

COSTLY = (b"/v1/recommend", b"/v1/generate", b"/v1/items/")
"""Beginnings of the paths whose routes pass the gate."""
_LINES = (b"POST /v1/recommend ", b"GET /v1/recommend/", b"POST /v1/generate ", b"GET /v1/items/")
_FRAMING = re.compile(
    rb"\r\n(content-length|transfer-encoding|expect|upgrade|connection)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)",
    re.IGNORECASE,
)
_FREE = (b"/healthz", b"/readyz")
_TICK_SECONDS = 0.01
PAUSE_SECONDS = 0.03
"""How long the connection of a refused client is not read while many are refused."""
_MANY = 20
"""Refusals within one pause from which the next connections are paused."""


@dataclass(slots=True)
class _Usage:
    """What a key has in flight, and its bucket of requests."""

    running: int = 0
    tokens: float = 0.0
    filled_at: float | None = None


class Admission:
    """Decides by the state of the gate and the limits of keys; use it on the event loop alone.

    Args:
        gate: where costly requests are computed.
        keys: whose limits count.
        observe: called once a second with an error's code and the number of refusals that no middleware saw.
    """

    def __init__(self, gate: Gate, keys: Keys, observe: Callable[[str, int], None] | None = None) -> None:
        self.gate, self.keys, self.observe = gate, keys, observe
        self._usage: dict[str, _Usage] = {}
        self._places = 0  # costly requests between their head and the end of their answer
        self._prefix, self._numbers = secrets.token_hex(4), itertools.count()
        self._paused: deque[tuple[float, Callable[[], None]]] = deque()
        self._recent = 0
        self._recent_since = 0.0
        self._unlogged: Counter[str] = Counter()
        self._flushing = False
        self._built: tuple[tuple[str, int], bytes] | None = None

    # -- before a request is read ------------------------------------------------------------------------------

    def refusal_of(self, data: bytes) -> bytes | None:
        """A whole response where ``data`` is exactly one plain request that is refused now, else None.

        Whatever is not plain (a body in parts, ``Expect``, an upgrade, a connection that is to be closed) is parsed.
        """
        full = self._full()
        if not (full or self._usage) or not data.startswith(_LINES):
            return None
        end = data.find(b"\r\n\r\n")
        if end < 0 or data.find(b" HTTP/1.1\r\n", 0, end) < 0:
            return None
        length = 0
        for name, value in _FRAMING.findall(data, 0, end + 2):
            if name.lower() == b"content-length" and value.isdigit():
                length = int(value)
            elif name.lower() != b"connection" or value.lower() != b"keep-alive":
                return None
        if len(data) != end + 4 + length:
            return None
        error: LaterError | None = None
        if self._usage and (at := data.find(b"segue_", 0, end)) >= 0:
            key_id = data[at + 6 : at + 14].decode("latin-1")
            error = self._over(key_id) if key_id in self._usage else None
        if error is None:
            if not full:
                return None
            error = self.gate.refuse()
        self._note(error)
        return self._response(error)

    def refusal(self, url: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes | None:
        """A whole response where a request with this head is refused now, else None."""
        if url.startswith(_FREE):
            return None
        error = self._key_refusal(headers)
        if error is None:
            if not url.startswith(COSTLY) or not self._full():
                return None
            error = self.gate.refuse()
        self._note(error)
        return self._response(error)

    def _full(self) -> bool:
        return self._places >= self.gate.capacity + self.gate.queue or self.gate.full()

    def reserve(self, url: bytes) -> bool:
        """Take a place for a request that goes on; whether there is one to give back by :meth:`release`.

        Many heads are parsed before the first of their requests comes to the gate: without the reservation one free
        place would let all of them pass, each to be refused at full cost.
        """
        costly = url.startswith(COSTLY)
        self._places += costly
        return costly

    def release(self) -> None:
        """Give a reserved place back."""
        self._places -= 1

    def pauses(self) -> bool:
        """Whether so many are refused now that a refused connection is read again only after a pause."""
        now = time.monotonic()
        if now - self._recent_since > PAUSE_SECONDS:
            self._recent_since, self._recent = now, self._recent // 2
        self._recent += 1
        return self._recent > _MANY

    def resume_later(self, resume: Callable[[], None]) -> None:
        """Call ``resume`` after a pause; a few at a time, so that other requests come between them."""
        if not self._paused:
            asyncio.get_running_loop().call_later(_TICK_SECONDS, self._resume)
        self._paused.append((time.monotonic() + PAUSE_SECONDS, resume))

    def _resume(self) -> None:
        now = time.monotonic()
        while self._paused and self._paused[0][0] <= now:
            self._paused.popleft()[1]()
        if self._paused:
            asyncio.get_running_loop().call_later(_TICK_SECONDS, self._resume)

    def _key_refusal(self, headers: Sequence[tuple[bytes, bytes]]) -> LaterError | None:
        """The key of a head is not checked here: a false one is refused as little as the true one would be."""
        if not self._usage:
            return None
        for name, value in headers:
            if name in (b"authorization", b"x-api-key"):
                parts = value.rpartition(b" ")[2].split(b"_", 2)
                key_id = parts[1].decode("latin-1") if len(parts) == 3 else ""
                return self._over(key_id) if key_id in self._usage else None
        return None

    def _response(self, error: LaterError) -> bytes:
        """The bytes of a refusal; the costly part is built once for each number of seconds."""
        known = (error.code, int(error.values["seconds"]))
        if self._built is None or self._built[0] != known:
            headers, body = answer(error)
            headers += [*ALWAYS, (b"cache-control", b"no-store"), (b"content-security-policy", DATA_POLICY.encode())]
            lines = b"".join(name + b": " + value + b"\r\n" for name, value in headers)
            template = b"HTTP/1.1 429 Too Many Requests\r\n" + lines + b"x-request-id: %b\r\n\r\n"
            self._built = known, template.replace(b"%", b"%%").replace(b"%%b", b"%b") + body.replace(b"%", b"%%")
        return self._built[1] % f"{self._prefix}{next(self._numbers):08x}".encode()

    def _note(self, error: LaterError) -> None:
        self._unlogged[error.code] += 1
        if not self._flushing:
            self._flushing = True
            asyncio.get_running_loop().call_later(1.0, self._log)

    def _log(self) -> None:
        """One line for the refusals of the last second; a line for each would cost more than the refusal."""
        counts, self._unlogged, self._flushing = self._unlogged, Counter(), False
        for code, count in counts.items():
            logger.info("requests refused", extra={"fields": {"status": 429, "code": code, "count": count}})
            if self.observe is not None:
                self.observe(code, count)

    # -- behind authentication ---------------------------------------------------------------------------------

    def _over(self, key_id: str) -> LaterError | None:
        """The refusal of a key that is at one of its limits now, else None; takes nothing from its bucket."""
        usage, row = self._usage[key_id], self.keys.row(key_id)
        if row is None:
            return None
        most = self._concurrency(row.concurrency)
        if usage.running >= most:
            return KeyBusy(key_id=key_id, limit=most, seconds=self.gate.retry_after())
        if row.rate is not None and self._tokens(usage, row.rate) < 1:
            seconds = max(1, round((1 - usage.tokens) / row.rate + 0.5))
            return KeyTooFast(key_id=key_id, limit=row.rate, seconds=seconds)
        return None

    def _concurrency(self, limit: int | None) -> int:
        """A key without a limit of its own may hold three quarters of all places, so that others find one."""
        places = self.gate.capacity + self.gate.queue
        return max(1, places * 3 // 4) if limit is None else limit

    @staticmethod
    def _tokens(usage: _Usage, rate: float) -> float:
        """Fill the bucket of a key up to now; it holds what ``rate`` gives in two seconds, and at least one."""
        now, most = time.monotonic(), max(1.0, 2 * rate)
        before = usage.filled_at
        usage.tokens = most if before is None else min(most, usage.tokens + (now - before) * rate)
        usage.filled_at = now
        return usage.tokens

    def enter(self, key_id: str) -> None:
        """Count a request of a key. Raises ``KeyBusy`` or ``KeyTooFast`` where the key is at its limit."""
        usage = self._usage.setdefault(key_id, _Usage())
        error = self._over(key_id)
        if error is not None:
            self.gate.count_refusal()
            raise error
        usage.running += 1
        usage.tokens -= 1

    def leave(self, key_id: str) -> None:
        """The request of a key has been answered."""
        usage = self._usage[key_id]
        usage.running -= 1
        row = self.keys.row(key_id)
        if not usage.running and (row is None or row.rate is None):
            del self._usage[key_id]


class AdmissionMiddleware:
    """ASGI middleware behind authentication and before the body: the gate's queue, and the limits of the key."""

    def __init__(self, app: App, admission: Admission) -> None:
        self.app, self.admission = app, admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse with 429."""
        if scope["type"] != "http" or scope["path"].encode().startswith(_FREE):
            await self.app(scope, receive, send)
            return
        if self.admission.gate.full() and scope["path"].encode().startswith(COSTLY):
            await refuse(scope, send, self.admission.gate.refuse())
            return
        key_id: Any = scope.get("state", {}).get("key")
        if key_id is None:
            await self.app(scope, receive, send)
            return
        try:
            self.admission.enter(key_id)
        except LaterError as error:
            await refuse(scope, send, error)
            return
        try:
            await self.app(scope, receive, send)
        finally:
            self.admission.leave(key_id)


_HEALTH = SimpleNamespace(path="/healthz")


class AliveMiddleware:
    """ASGI middleware: answers ``/healthz`` before all other middlewares, whatever waits behind them."""

    def __init__(self, app: App) -> None:
        self.app = app
        body = b'{"status":"ok","reason":null}'
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
            (b"content-security-policy", DATA_POLICY.encode()),
            *ALWAYS,
        ]
        self._start = {"type": "http.response.start", "status": 200, "headers": headers}
        self._body = {"type": "http.response.body", "body": body}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http" and scope["path"] == "/healthz" and scope["method"] in ("GET", "HEAD"):
            scope["route"] = _HEALTH  # the label of its metrics
            await send(dict(self._start))
            await send(dict(self._body))
            return
        await self.app(scope, receive, send)
