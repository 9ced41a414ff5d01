"""Connections that send slowly, or not at all: each part of a request has a time and a size of its own.

uvicorn limits the time between requests only. This protocol adds a clock for the head of a request, a pace for its
body and for reading the answer, a size of the head (the parser has none), and a number of connections: where all are
taken, one that does nothing makes room, then the one that has been longest about its head. What a body may hold is
``limits``' matter. While the gate is full, a costly request is refused here as soon as its head is parsed: a refusal
then costs a few percent of an answer, and clients that come back at once leave the workers their time.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import Any

from pydantic import Field
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from segue.config import Config
from segue.errors import Busy, HeadRefused
from segue.errors.guarding import GuardError
from segue.serving.guard.admission import Admission
from segue.serving.guard.headers import DATA_POLICY
from segue.serving.guard.refusing import answer

DISCARDED = 16_000_000
"""Bytes of a body read on after it was refused, so that the client reads the answer instead of a broken pipe."""


class ConnectionsConfig(Config):
    """How slow, how large and how many."""

    head_seconds: float = Field(5.0, gt=0)
    """From the first byte (or the connection) to the end of a request's head."""
    idle_seconds: int = Field(5, ge=1)
    """Between two requests of a connection."""
    body_grace_seconds: float = Field(2.0, gt=0)
    """After this a body must have kept its pace."""
    body_bytes_per_second: int = Field(1_000, ge=1)
    """The slowest pace of a body."""
    answer_seconds: float = Field(10.0, gt=0)
    """For the client to take a part of the answer."""
    head_bytes: int = Field(16_384, ge=256)
    """Size of a request's line and headers; then 414 or 431."""
    headers: int = Field(100, ge=1)
    """Number of headers; then 431."""
    connections: int = Field(1000, ge=1)
    """All connections."""
    connections_per_address: int = Field(500, ge=1)
    """Connections of one client address; a proxy is one address."""
    proxies: str = ""
    """Addresses (separated by commas) of proxies whose X-Forwarded-For is believed."""
    hosts: tuple[str, ...] = ()
    """Further names under which the service may be called on loopback."""
    open: bool = False
    """Whether a service without a key answers requests that come through a proxy, or under any name."""
    linger_seconds: float = Field(0.5, ge=0)
    """After the signal to end: how long new requests are still taken, while /readyz says 503."""
    drain_seconds: float = Field(8.0, gt=0)
    """After the signal to end: by then all that was admitted is answered, or cut."""


refused: Counter[int] = Counter()
"""Connections and heads that this process refused before any application saw them, by status; metrics read it."""


class _Refused:
    """Stands for the cycle of a request that was refused before it had one: uvicorn drops the rest of its body."""

    response_complete = True
    disconnected = False
    keep_alive = True
    message_event = asyncio.Event()


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with clocks and sizes. ``protocol`` makes a subclass with settings of its own."""

    limits = ConnectionsConfig()
    admission: Admission | None = None
    _clock: asyncio.TimerHandle | None = None
    _slow_reader: asyncio.TimerHandle | None = None
    _in_body = False
    _head_began = 0.0
    _head_bytes = 0
    _body_began = 0.0
    _body_bytes = 0
    _refused_at = -1e9
    _parsed = 0
    _refusal: tuple[GuardError, int] | None = None
    # uvicorn's own, which it does not type.
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, make room for it, start the clock of its first head."""
        super().connection_made(transport)
        if not self._make_room():
            self._refuse(Busy(what=f"{len(self.connections)} connections", seconds=1))
            return
        self._start_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop all clocks."""
        self._stop_clock()
        self._stop_reader_clock()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count what a head or a body has brought, and parse it."""
        if self.transport.is_closing():
            return
        if self.admission is not None and self._clock is None and not self._in_body and self.idle:
            refusal = self.admission.refusal_of(data)
            if refusal is not None:  # the parser never sees it
                self._refused_at = time.monotonic()
                self.transport.write(refusal)
                self._pause(self.admission)
                return
        if self._in_body:
            self._body_bytes += len(data)
            if self._body_bytes > DISCARDED and self.cycle.response_complete:
                self._cut()
                return
        elif self._clock is None:
            self._start_head()
        was_in_body = self._in_body
        super().data_received(data)
        if self.transport.is_closing() or self.parser is None:
            return
        if not self._in_body and not was_in_body and self._clock is not None:
            # Still the same head: also a value that never ends, which the parser keeps to itself, is counted.
            self._head_bytes += len(data)
            if self._head_bytes > self.limits.head_bytes:
                self._refuse(HeadRefused(reason=f"has more than {self.limits.head_bytes} bytes"))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._parsed = 0

    def on_url(self, url: bytes) -> None:
        """Part of the address."""
        super().on_url(url)
        self._limit_head(len(url), 414)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        super().on_header(name, value)
        self._limit_head(len(name) + len(value) + 4, 431)

    def on_headers_complete(self) -> None:
        """The head is whole: from here on the body is timed."""
        self._stop_clock()
        self._in_body, self._body_began, self._body_bytes = True, time.monotonic(), 0
        self._clock = self.loop.call_later(self.limits.body_grace_seconds, self._check_pace)
        if self.admission is not None and self.idle and not self.parser.should_upgrade():
            refusal = self.admission.refusal(self.url, self.headers)
            if refusal is not None:
                self._turn_away(refusal)
                return
            if self.admission.reserve(self.url):
                self._start_reserved(self.admission)
                return
        super().on_headers_complete()

    def _start_reserved(self, admission: Admission) -> None:
        """Start the request with an application that gives its place back at the end."""
        app = self.app

        async def releasing(scope: Any, receive: Any, send: Any) -> None:
            try:
                await app(scope, receive, send)
            finally:
                admission.release()

        self.app = releasing
        try:
            super().on_headers_complete()
        except BaseException:
            admission.release()
            raise
        finally:
            self.app = app

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._in_body = False
        self._stop_clock()
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """A WebSocket has its own clock (pings)."""
        self._stop_clock()
        super().handle_websocket_upgrade()

    def pause_writing(self) -> None:
        """The client does not take the answer: give it some time."""
        super().pause_writing()
        if self._slow_reader is None:
            self._slow_reader = self.loop.call_later(self.limits.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """It does again."""
        self._stop_reader_clock()
        super().resume_writing()

    def _stop_reader_clock(self) -> None:
        if self._slow_reader is not None:
            self._slow_reader.cancel()
            self._slow_reader = None

    def timeout_keep_alive_handler(self) -> None:
        """Nothing came after the last answer, except what was refused unparsed."""
        silent = time.monotonic() - self._refused_at
        if silent < self.timeout_keep_alive:
            left = self.timeout_keep_alive - silent
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
            return
        self._cut()

    def send_400_response(self, msg: str) -> None:
        """What the parser does not understand, in the form of all answers."""
        self._refuse(*(self._refusal or (HeadRefused(reason="is not HTTP"), 400)))

    @property
    def idle(self) -> bool:
        """Whether nothing is asked and nothing being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _start_head(self) -> None:
        self._head_began, self._head_bytes = time.monotonic(), 0
        self._clock = self.loop.call_later(self.limits.head_seconds, self._head_too_slow)

    def _head_too_slow(self) -> None:
        # An answer may still be under way where requests are sent one behind the other.
        self._clock = None
        if self.idle:
            self._refuse(HeadRefused(reason=f"did not arrive within {self.limits.head_seconds} s"), 408)
        else:
            self._start_head()

    def _check_pace(self) -> None:
        self._clock = None
        now = time.monotonic()
        wait = 1.0
        if self.flow.read_paused:  # while the application does not read, the client cannot send
            self._body_began, self._body_bytes, wait = now, 0, self.limits.body_grace_seconds
        elif self._body_bytes < (now - self._body_began) * self.limits.body_bytes_per_second:
            self._cut()
            return
        self._clock = self.loop.call_later(wait, self._check_pace)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _limit_head(self, size: int, status: int) -> None:
        self._parsed += size
        if self._parsed > self.limits.head_bytes:
            reason = f"has more than {self.limits.head_bytes} bytes"
        elif len(self.headers) > self.limits.headers:
            reason = f"has more than {self.limits.headers} headers"
        else:
            return
        self._refusal = HeadRefused(reason=reason), status
        raise self._refusal[0]  # the parser stops, and uvicorn asks for a 400

    def _turn_away(self, refusal: bytes) -> None:
        """Answer from the prebuilt refusal; no application sees the request, and the rest of its body is dropped."""
        assert self.admission is not None
        self.cycle = _Refused()  # type: ignore[assignment]
        if not self.parser.should_keep_alive() or self.parser.get_http_version() == "1.0":
            self.transport.write(refusal.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1))
            self._cut()
            return
        self.transport.write(refusal)
        self.on_response_complete()
        self._pause(self.admission)

    def _pause(self, admission: Admission) -> None:
        """Let a refused client wait a little before its next request is read, where many are refused."""
        if admission.pauses():
            self.flow.pause_reading()
            admission.resume_later(self._read_again)

    def _read_again(self) -> None:
        if not self.transport.is_closing():  # the client may have left meanwhile
            self.flow.resume_reading()

    def _make_room(self) -> bool:
        """Whether this connection may stay; one that is idle, or long about its head, goes for it."""
        others = [c for c in self.connections if c is not self and isinstance(c, GuardedProtocol)]
        same = [c for c in others if c.client and self.client and c.client[0] == self.client[0]]
        if len(same) >= self.limits.connections_per_address:
            candidates = same
        elif len(self.connections) > self.limits.connections:
            candidates = others
        else:
            return True
        idle = [c for c in candidates if c.idle and not c.transport.is_closing()]
        if not idle:
            return False
        # First those between two requests, then those that have been sending a head for longest.
        min(idle, key=lambda c: (c._clock is not None, c._head_began))._cut()
        return True

    def _refuse(self, error: GuardError, status: int | None = None) -> None:
        if self.transport.is_closing():
            return
        refused[status or error.status] += 1
        if self.idle:
            headers, body = answer(error)
            headers += [(b"connection", b"close"), (b"x-content-type-options", b"nosniff")]
            headers += [(b"content-security-policy", DATA_POLICY.encode())]
            lines = [name + b": " + value + b"\r\n" for name, value in headers]
            self.transport.write(b"".join([STATUS_LINE[status or error.status], *lines, b"\r\n", body]))
        self._cut()

    def _cut(self) -> None:
        """Close, and do not wait for a client that takes nothing."""
        self._stop_clock()
        transport = self.transport
        if not transport.is_closing():
            transport.close()
            self.loop.call_later(1.0, transport.abort)


def protocol(settings: ConnectionsConfig, admission: Admission | None = None) -> type[GuardedProtocol]:
    """The protocol with these settings, for ``uvicorn.Config(http=...)``."""
    attributes: dict[str, Any] = {"limits": settings, "admission": admission}
    return type("ConfiguredProtocol", (GuardedProtocol,), attributes)
