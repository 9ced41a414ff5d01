"""Security headers on every answer, and a check of who is called: no other site speaks to the service by a browser.

Answers are data: their policy lets a browser load, run and frame nothing. The page gets what NiceGUI needs, from the
service itself alone. ``SameSite`` refuses a foreign ``Host`` on loopback (DNS rebinding: a site lets its own name point
to 127.0.0.1) and a foreign ``Origin`` for what changes something (a form or a script of another site).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from segue.errors import HostRefused
from segue.serving.guard.refusing import App, Message, Receive, Scope, Send, header, refuse

DATA_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class SecurityHeaders:
    """ASGI middleware: what each answer tells a browser.

    Args:
        app: what answers.
        pages: policy by the beginning of a path, of what is no data.
    """

    def __init__(self, app: App, pages: Mapping[str, str] | None = None) -> None:
        self.app = app
        self.pages = {path.rstrip("/"): policy.encode() for path, policy in (pages or {}).items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        policy = self._policy(scope["path"])

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", []))
                there = {name.lower() for name, _ in headers}
                headers += [pair for pair in ALWAYS if pair[0] not in there]
                if policy is None:
                    headers = [pair for pair in headers if pair[0].lower() != b"content-security-policy"]
                    headers.append((b"content-security-policy", DATA_POLICY.encode()))
                    if b"cache-control" not in there:
                        headers.append((b"cache-control", b"no-store"))
                elif b"content-security-policy" not in there:
                    headers.append((b"content-security-policy", policy))
                message["headers"] = headers
            await send(message)

        await self.app(scope, receive, told)

    def _policy(self, path: str) -> bytes | None:
        return next((p for start, p in self.pages.items() if path == start or path.startswith(start + "/")), None)


class SameSite:
    """ASGI middleware: refuses a request that a browser makes on behalf of another site.

    Args:
        app: what answers.
        hosts: further names (without port) under which the service may be called on loopback; ``*`` for all.
    """

    def __init__(self, app: App, hosts: Collection[str] = ()) -> None:
        self.app = app
        self.hosts = {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, or refuse with 421."""
        if scope["type"] in ("http", "websocket"):
            what = self._foreign(scope)
            if what is not None:
                await refuse(scope, send, HostRefused(what=what))
                return
        await self.app(scope, receive, send)

    def _foreign(self, scope: Scope) -> str | None:
        host = header(scope, b"host") or ""
        if _is_loopback((scope.get("server") or ("",))[0]) and not self._known(host):
            return "this Host"
        if scope["type"] == "http" and scope["method"] in _SAFE_METHODS:
            return None
        origin = header(scope, b"origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "pages of another origin"
        return None

    def _known(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name == "localhost" or name in self.hosts or "*" in self.hosts or _is_loopback(name)


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False
