"""The process: a socket, a server on it, and an orderly end.

uvicorn serves, with the guard's protocol. A signal to end (SIGTERM, SIGINT) first makes the service say that it is not
ready, so that a balancer sends no more; then it listens no longer, answers what it has, and ends with code 0. A second
signal ends at once. What is served, and who may ask, is no concern of this module, except that nothing is opened to
other machines without a key.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from types import FrameType
from typing import Any

import uvicorn

from segue.errors import AddressTaken, OpenToOthers
from segue.serving.guard.admission import Admission
from segue.serving.guard.connections import ConnectionsConfig, protocol

SIGNALS = (signal.SIGTERM, signal.SIGINT)
_log = logging.getLogger("segue.serving.run")


def serve(
    app: Any,
    host: str = "127.0.0.1",
    port: int = 8000,
    settings: ConnectionsConfig | None = None,
    *,
    admission: Admission | None = None,
    open_to_all: bool = True,
    on_ready: Callable[[str], None] | None = None,
    on_drain: Callable[[], None] | None = None,
) -> int:
    """Serve until a signal ends it; returns the exit code: 0 when everything admitted was answered, else 1.

    Args:
        app: an ASGI application.
        host: address to listen on.
        port: port to listen on; 0 for any free one.
        settings: clocks, sizes and numbers of connections.
        admission: refuses costly requests as soon as their head is parsed, while the service is full.
        open_to_all: whether no key is needed (``keys.open``).
        on_ready: called with the address once requests are taken.
        on_drain: called at the signal to end; from then on the service should say that it is not ready.

    Raises:
        OpenToOthers: the address can be reached from other machines, and no key is needed.
        AddressTaken: the port is in use, or the address is none of this machine.
    """
    settings = settings or ConnectionsConfig()
    listening = bind(host, port, open_to_all)
    address, bound = listening.getsockname()[:2]
    url = f"http://[{address}]:{bound}" if ":" in address else f"http://{address}:{bound}"
    config = uvicorn.Config(
        app,
        http=protocol(settings, admission),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=settings.proxies or None,
        timeout_keep_alive=settings.idle_seconds,
        ws_max_size=1_000_000,
        lifespan="on",
    )
    server = _Server(config, settings, on_ready and (lambda: on_ready(url)), on_drain)
    try:
        server.run(sockets=[listening])
    finally:
        listening.close()
        for timer in server.timers:
            timer.cancel()
    return 0 if server.orderly else 1


def bind(host: str, port: int, open_to_all: bool) -> socket.socket:
    """A socket that is bound and not yet listening. Raises as ``serve`` does."""
    if not 0 <= port <= 65_535:  # which getaddrinfo would take modulo 65,536
        raise AddressTaken(host=host, port=port, reason="a port is a number up to 65535")
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError, OverflowError) as error:
        raise AddressTaken(host=host, port=port, reason=getattr(error, "strerror", None) or error) from None
    if open_to_all and not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback:
        raise OpenToOthers(host=host)
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(2048)  # now, so that a port in use is met here and not by the server
    except (OSError, OverflowError) as error:
        listening.close()
        raise AddressTaken(host=host, port=port, reason=getattr(error, "strerror", None) or error) from None
    listening.setblocking(False)
    listening.set_inheritable(False)
    return listening


class _Server(uvicorn.Server):
    """uvicorn's server, ended in two steps by either signal, and then by itself."""

    def __init__(
        self,
        config: uvicorn.Config,
        settings: ConnectionsConfig,
        on_ready: Callable[[], None] | None,
        on_drain: Callable[[], None] | None,
    ) -> None:
        super().__init__(config)
        self.settings = settings
        self.on_ready = on_ready
        self.on_drain = on_drain
        self.draining = False
        self.orderly = True
        self.timers: list[threading.Timer] = []
        self._cut = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.on_ready is not None:
            self.on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        left = max(self.settings.drain_seconds - self.settings.linger_seconds, 0.1)
        until = asyncio.get_running_loop().call_later(left, self._cut_short)
        await super().shutdown(sockets=sockets)
        until.cancel()
        if self._cut:  # uvicorn leaves the application's own end out then
            await self.lifespan.shutdown()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal begins the end; the second ends at once."""
        if self.draining:
            self.should_exit = self.force_exit = True
            self.orderly = False
            return
        self.draining = True
        if self.on_drain is not None:
            self.on_drain()
        # Whatever else holds the process (a stalled thread of a library), it ends.
        last = threading.Timer(self.settings.drain_seconds + 1.5, os._exit, (1,))
        later = threading.Timer(self.settings.linger_seconds, self._stop_listening)
        self.timers = [last, later]
        for timer in self.timers:
            timer.daemon = True
            timer.start()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        """As uvicorn does, but the signal is not raised again afterwards: an orderly end has exit code 0."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {each: signal.signal(each, self.handle_exit) for each in SIGNALS}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    def _stop_listening(self) -> None:
        self.should_exit = True

    def _cut_short(self) -> None:
        """Time is over: close what is left."""
        if self.server_state.tasks:
            self.orderly = False
            _log.warning("%d requests were cut at the end", len(self.server_state.tasks))
        self.force_exit = self._cut = True
        for task in list(self.server_state.tasks):
            task.cancel()
