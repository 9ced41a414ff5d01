"""Who may see the page, and what the browser may do with it: login, origin, and the headers of every answer.

An ASGI middleware around NiceGUI. Where keys exist it shows nothing but a login until an admin's key was given; then a
cookie that scripts cannot read and other sites cannot send stands for it, as long as the key is valid, for twelve
hours at most. Sessions are kept in memory: a restart ends them. Without keys the guard lets in who is on this machine.
Whatever changes something must come from the page itself; of sockets that is asked always. Foreign hosts are refused by
the guard before.

Every document may run only the scripts that carry its own nonce or are the service's, may evaluate none, and loads
from and talks to nobody but the service.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import secrets
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from segue.errors import LoginRefused, LoginTooOften, OriginRefused, SegueError, ServiceError
from segue.serving.page.look import STYLE
from segue.serving.page.source import PageSource

COOKIE = "segue_page"
_HOURS = 12
_SESSIONS, _TRIES, _ADDRESSES = 64, 10, 10_000
_FORM_BYTES = 4_096
_POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; "
    "style-src 'self' 'nonce-{nonce}' 'unsafe-hashes' '{hidden}'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Of documents; what they load needs none of its own."""
# The one style that NiceGUI writes into an element of its template.
_HIDDEN = "sha256-" + base64.b64encode(hashlib.sha256(b"display: none").digest()).decode()
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # without a referrer at all, a browser hides where a login comes from
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
]


@dataclass
class Sessions:
    """Logins that are valid, and how many failed lately."""

    source: PageSource
    _ends: dict[str, tuple[str, float]] = field(default_factory=dict)
    _failed: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)

    def open(self, secret: str, address: str) -> str:
        """Begin a session with an admin's key; gives its token.

        Args:
            secret: what was given.
            address: who gives it; wrong keys close the login to their address alone.

        Raises:
            LoginRefused: it is no admin's key.
            LoginTooOften: too many were tried.
        """
        now = time.monotonic()
        failed: Sequence[float] = self._failed.get(address, ())
        if len(failed) == _TRIES and now - failed[0] < 60:
            raise LoginTooOften(count=_TRIES)
        key_id = self.source.admitted(secret)
        if key_id is None:
            self._failed.setdefault(address, deque(maxlen=_TRIES)).append(now)
            self._failed.move_to_end(address)
            while len(self._failed) > _ADDRESSES:
                self._failed.popitem(last=False)
            raise LoginRefused()
        while len(self._ends) >= _SESSIONS:
            self._ends.pop(next(iter(self._ends)))
        token = secrets.token_urlsafe(32)
        self._ends[token] = key_id, now + _HOURS * 3_600
        return token

    def valid(self, token: str | None) -> bool:
        """Whether a session stands."""
        key_id, ends = self._ends.get(token or "", ("", 0.0))
        if not key_id:
            return False
        if time.monotonic() < ends and self.source.still_admitted(key_id):
            return True
        self.close(token)
        return False

    def close(self, token: str | None) -> None:
        """End a session."""
        self._ends.pop(token or "", None)


class Door:
    """The middleware; ``sessions`` of a ``source``."""

    def __init__(self, app: Any, source: PageSource) -> None:
        self.app, self.source, self.sessions = app, source, Sessions(source)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Let a request pass, or not."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = _headers(scope)
        path, token = scope["path"].removeprefix(scope.get("root_path", "")), _cookie(headers)
        # Whom the guard lets do everything: who is on this machine, while no key exists.
        free = "admin" in scope.get("state", {}).get("allowed", ())
        if _is_foreign(scope, headers):
            await _refuse(scope, send, OriginRefused(origin=headers.get("origin", "unknown")[:60]))
        elif path in ("/login", "/logout") and not free:
            await self._log_in_or_out(path, scope, receive, send, token)
        elif not free and not self.sessions.valid(token):
            await _to_login(scope, send, path)
        elif scope["type"] == "websocket":
            await self.app(scope, self._while_valid(receive, token), send)
        else:
            await self.app(scope, receive, _sealed(send))

    def _while_valid(self, receive: Any, token: str | None) -> Any:
        """What a socket says, until its session ends."""

        async def receiving() -> Any:
            message = await receive()
            if message["type"] == "websocket.receive" and self.source.locked() and not self.sessions.valid(token):
                return {"type": "websocket.disconnect", "code": 1008}
            return message

        return receiving

    async def _log_in_or_out(self, path: str, scope: Any, receive: Any, send: Any, token: str | None) -> None:
        home = scope.get("root_path", "") + "/"
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
        elif path == "/logout" and scope["method"] == "POST":
            self.sessions.close(token)
            await _redirect(send, home + "login", _cookie_header(scope, "", home, 0))
        elif scope["method"] == "POST":
            try:
                given = parse_qs((await _body(receive)).decode("utf-8", "replace"))
                opened = self.sessions.open(given.get("key", [""])[0].strip(), _address(scope))
            except ServiceError as error:
                await asyncio.sleep(0.3)  # who guesses shall wait
                await _login_page(send, error)
                return
            await _redirect(send, home, _cookie_header(scope, opened, home, _HOURS * 3_600))
        else:
            await _login_page(send, None)


def _headers(scope: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}


def _address(scope: Any) -> str:
    """Who asks: an IPv4 address, or the network of an IPv6 one, of which everybody has many."""
    told = str((scope.get("client") or ("",))[0])
    try:
        address = ipaddress.ip_address(told.partition("%")[0])
    except ValueError:
        return told
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _cookie(headers: dict[str, str]) -> str | None:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return None if found is None else found.value


def _cookie_header(scope: Any, token: str, path: str, seconds: int) -> str:
    safe = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{COOKIE}={token}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Strict{safe}"


def _is_foreign(scope: Any, headers: dict[str, str]) -> bool:
    """Whether another site asks for what only the page itself may: a socket, or a change."""
    origin = headers.get("origin")
    if scope["type"] == "websocket" or ("_nicegui_ws" in scope["path"] and origin is not None):
        return urlsplit(origin or "").netloc.lower() != headers.get("host", "").lower()
    return (
        scope["method"] not in ("GET", "HEAD")
        and origin is not None
        and urlsplit(origin).netloc.lower() != headers.get("host", "").lower()
    )


async def _body(receive: Any) -> bytes:
    body: bytes = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > _FORM_BYTES or message["type"] == "http.disconnect":
            return b""
        if not message.get("more_body"):
            return body


def _sealed(send: Any) -> Any:
    """Send with headers; a document waits until it is whole, so that its own scripts get its nonce.

    That is sound as NiceGUI writes texts into a document only with ``<`` escaped.
    """
    nonce = secrets.token_urlsafe(16)
    start: dict[str, Any] | None = None
    parts: list[bytes] = []

    async def sending(message: Any) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *_HEADERS]}
            if any(n.lower() == b"content-type" and v.startswith(b"text/html") for n, v in message["headers"]):
                start = message
                return
        elif start is not None:
            parts.append(message.get("body", b""))
            if message.get("more_body"):
                return
            body = b"".join(parts)
            for tag in (b"<script", b"<style"):
                body = body.replace(tag, tag + b' nonce="' + nonce.encode() + b'"')
            headers = [(n, v) for n, v in start["headers"] if n.lower() != b"content-length"]
            policy = (b"content-security-policy", _POLICY.format(nonce=nonce, hidden=_HIDDEN).encode())
            length = (b"content-length", str(len(body)).encode())
            await send({**start, "headers": [*headers, policy, length]})
            message = {"type": "http.response.body", "body": body}
        await send(message)

    return sending


async def _answer(send: Any, status: int, body: str, headers: Iterator[tuple[bytes, bytes]] | list[Any] = ()) -> None:  # type: ignore[assignment]
    sealed = _sealed(send)
    kind = (b"content-type", b"text/html; charset=utf-8")
    caching = (b"cache-control", b"no-store")
    await sealed({"type": "http.response.start", "status": status, "headers": [kind, caching, *headers]})
    await sealed({"type": "http.response.body", "body": body.encode()})


async def _redirect(send: Any, to: str, cookie: str | None = None) -> None:
    headers = [(b"location", to.encode())]
    if cookie is not None:
        headers.append((b"set-cookie", cookie.encode()))
    await _answer(send, 303, "", headers)


async def _refuse(scope: Any, send: Any, error: SegueError) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    else:
        told = f"<p role='alert'><b>{error.code}</b> {escape(error.message)} {escape(error.advice)}</p>"
        await _answer(send, getattr(error, "status", 403), _plain(told))


async def _to_login(scope: Any, send: Any, path: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
    elif path.startswith("/_nicegui"):
        await _answer(send, 401, _plain("<p>Log in first.</p>"))
    else:
        await _redirect(send, scope.get("root_path", "") + "/login")


async def _login_page(send: Any, error: ServiceError | None) -> None:
    told = ""
    if error is not None:
        told = f"<p class='error' role='alert'><b class='bad'>{error.code}</b> {error.message} {error.advice}</p>"
    form = (
        "<h1>Segue</h1><p class='soft'>This service has keys; its page opens with an admin's.</p>"
        f"{told}<form method='post' class='ask'><label>Admin key"
        "<input name='key' type='password' autocomplete='current-password' required autofocus></label>"
        "<div class='row'><button class='main'>Log in</button></div></form>"
    )
    await _answer(send, 200 if error is None else error.status, _plain(form))


def _plain(body: str) -> str:
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'><title>Segue</title>"
        f"<style>{STYLE} main {{ max-width: 26rem; margin: 10vh auto; padding: 0 1rem }}</style></head>"
        f"<body><main>{body}</main></body></html>"
    )
