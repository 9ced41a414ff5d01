"""Alerts to a webhook: JSON by POST from one thread of its own, bounded, with retries.

The address is a secret (its path or query often holds the token), so it is never logged: log lines name the host only.
No redirect is followed. When alerts are raised is ``alerts``'s.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import logging
import queue
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from segue.errors import WebhookRefused

_TRY_AGAIN = (408, 425, 429)  # and everything from 500
_ANSWER = 4096  # bytes of the answer that are read

log = logging.getLogger("segue.alerts")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """An alert goes where the operator said; elsewhere is an error."""

    def redirect_request(self, *_: Any) -> None:
        """Never."""


class Webhook:
    """Sends JSON documents to one address in the background.

    Args:
        url: https, or http to this machine.
        timeout: seconds for one attempt.
        attempts: how often one document is tried; between attempts it waits 1, 2, 4 ... times ``pause`` seconds.
        room: documents that wait at most; those that come when it is full are dropped and counted.
        plain_http: allow http to other machines.
        told: called with ``"sent"``, ``"failed"`` or ``"dropped"`` for each document.

    Raises:
        WebhookRefused: the address is none that alerts may be sent to.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 5.0,
        attempts: int = 4,
        room: int = 100,
        pause: float = 1.0,
        plain_http: bool = False,
        told: Callable[[str], None] = lambda outcome: None,
    ) -> None:
        self.host, local = _checked(url, plain_http)
        self._url, self._timeout, self._attempts, self._pause, self._told = url, timeout, attempts, pause, told
        # What goes to this machine goes there directly; to others, by the proxy of the environment if there is one.
        proxies = [urllib.request.ProxyHandler({})] if local else []
        self._opener = urllib.request.build_opener(_NoRedirect, *proxies)
        self._waiting: queue.Queue[bytes | None] = queue.Queue(room)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segue-webhook", daemon=True)
        self._thread.start()

    def send(self, document: Mapping[str, Any]) -> None:
        """Hand a document over; never waits."""
        try:
            self._waiting.put_nowait(json.dumps(document).encode())
        except queue.Full:
            self._told("dropped")

    def close(self, seconds: float = 2.0) -> None:
        """Send what waits, as far as it can be sent within these seconds, and end."""
        with contextlib.suppress(queue.Full):
            self._waiting.put(None, timeout=seconds)
        self._thread.join(seconds)
        self._stopping.set()  # no more retries

    def _run(self) -> None:
        while not self._stopping.is_set() and (body := self._waiting.get()) is not None:
            self._told("sent" if self._deliver(body) else "failed")

    def _deliver(self, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", "User-Agent": "segue"}
        why = ""
        for attempt in range(self._attempts):
            if attempt and self._stopping.wait(self._pause * 2 ** (attempt - 1)):
                break
            try:
                request = urllib.request.Request(self._url, body, headers, method="POST")
                with self._opener.open(request, timeout=self._timeout) as answer:
                    answer.read(_ANSWER)
                return True
            except urllib.error.HTTPError as error:
                why = f"HTTP {error.code}"
                error.close()
                if error.code < 500 and error.code not in _TRY_AGAIN:
                    break
            except Exception as error:  # noqa: BLE001  its text may hold the address: the name of its class says enough
                why = type(getattr(error, "reason", error)).__name__
        log.warning("an alert could not be sent to the webhook at %s: %s", self.host, why)
        return False


def _checked(url: str, plain_http: bool) -> tuple[str, bool]:
    """The host of an address that alerts may go to, and whether it is this machine."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise WebhookRefused(host="", why="it is no address") from None
    local = _is_loopback(host)
    if not host or parts.scheme not in ("http", "https"):
        raise WebhookRefused(host=host, why="it is no address of the web")
    if parts.username is not None or parts.password is not None:
        raise WebhookRefused(host=host, why="it holds a user name")
    if not url.isascii() or any(c.isspace() or not c.isprintable() for c in url):
        raise WebhookRefused(host=host, why="it holds spaces or other characters that an address has not")
    if parts.scheme == "http" and not (local or plain_http):
        raise WebhookRefused(host=host, why="http would show the alert and the address to everyone on the way")
    return host, local


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
