"""The door: who asks, and whether the key they hold opens this route. Nothing of a body is read before.

A path that no route declares is answered here with 404, so that what was added behind the guard's back stays closed.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict

from segue.errors import KeyMissing, ProxyWithoutKey, RouteUnknown, ScopeMissing, TooManyAttempts
from segue.errors.serving import ServiceError
from segue.serving.guard.keys import Key, Keys
from segue.serving.guard.proxies import sign
from segue.serving.guard.refusing import App, Receive, Scope, Send, header, refuse
from segue.serving.guard.scopes import SCOPES, RouteTable

_EVERYTHING = frozenset(SCOPES)
HEALTH = ("/healthz", "/readyz")
"""They say up or down and nothing else; a balancer asks them through whatever it is."""


class Attempts:
    """Wrong keys of one address: a bucket of ``burst`` that refills at ``per_second``; a right key always passes."""

    def __init__(self, burst: int = 10, per_second: float = 0.2, addresses: int = 4096) -> None:
        self.burst, self.per_second, self.addresses = burst, per_second, addresses
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wrong(self, address: str) -> None:
        """Count one; raises ``TooManyAttempts`` when the bucket is empty."""
        now = time.monotonic()
        left, then = self._left.pop(address, (float(self.burst), now))
        left = min(float(self.burst), left + (now - then) * self.per_second)
        self._left[address] = (max(left - 1, 0.0), now)
        if len(self._left) > self.addresses:
            self._left.popitem(last=False)
        if left < 1:
            raise TooManyAttempts(seconds=math.ceil((1 - left) / self.per_second))


class Doorman:
    """ASGI middleware; leaves ``state["route"]`` (its template), ``state["key"]`` and ``state["allowed"]`` behind."""

    def __init__(
        self, app: App, keys: Keys, table: RouteTable, attempts: Attempts | None = None, open_to_proxies: bool = False
    ) -> None:
        self.app, self.keys, self.table, self.open_to_proxies = app, keys, table, open_to_proxies
        self.attempts = attempts or Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let in, or answer 401, 403, 404 or 429."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        try:
            self._admit(scope)
        except ServiceError as error:
            await refuse(scope, send, error)
            return
        await self.app(scope, receive, send)

    def _admit(self, scope: Scope) -> None:
        state = scope.setdefault("state", {})
        route = self.table.find(scope)
        if route is None:
            raise RouteUnknown()
        state["route"] = route.template
        if self.keys.open and _local(scope):
            if not self.open_to_proxies and route.template not in HEALTH and (proxied := sign(scope)):
                raise ProxyWithoutKey(sign=proxied)
            state["allowed"] = _EVERYTHING  # also where nothing is asked for: the page reads it at its own door
            return
        if not route.scopes:
            return
        key = self._key(scope)
        state["key"] = key.key_id
        missing = sorted(route.scopes - key.allowed)
        if missing:
            raise ScopeMissing(scope=missing[0], key_id=key.key_id, found=", ".join(key.scopes))
        state["allowed"] = key.allowed

    def _key(self, scope: Scope) -> Key:
        """The key that is shown; a wrong one is an attempt."""
        kind, _, secret = (header(scope, b"authorization") or "").partition(" ")
        if kind.lower() != "bearer":
            secret = header(scope, b"x-api-key") or ""
        if not secret:
            raise KeyMissing(reason="This needs a key")
        key = self.keys.check(secret.strip())
        if key is None:
            self.attempts.wrong(_address(scope))
            raise KeyMissing(reason="This key is unknown, revoked or expired")
        return key


def _local(scope: Scope) -> bool:
    """Whether the connection came in at a loopback address (or through no socket at all)."""
    try:
        return ipaddress.ip_address((scope.get("server") or ("",))[0]).is_loopback
    except ValueError:
        return True


def _address(scope: Scope) -> str:
    """The client, as far as it is counted: an IPv6 household is one (RFC 6177: /56 to /64 for a site)."""
    host = str((scope.get("client") or ("",))[0])
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if address.version == 4 else str(ipaddress.ip_network((host, 64), strict=False))
