"""A real server in a process of its own, for tests that kill it, starve it or feed it nonsense.

``twin`` names a function of ``twins.py`` that breaks one promise before the server starts; a test of a promise must
fail against its twin.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LONG = os.environ.get("SEGUE_FAULTS") == "long"
"""The long form, as ``python -m benchmarks.faults`` runs it; otherwise the short one of every run of the tests."""


def rounds(short: int, long: int) -> int:
    """How often a test repeats itself."""
    return long if LONG else short


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


@dataclass
class Answered:
    """One answer over HTTP."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Server:
    """``segue serve`` on an artefact and a store."""

    model: Path
    store: str
    more: tuple[str, ...] = ()
    twin: str | None = None
    log: Path | None = None
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """What is run."""
        twins = str(Path(__file__).with_name("twins.py"))
        serve = ["serve", str(self.model), "--store", self.store, "--port", str(self.port), *self.more]
        return [sys.executable, twins, self.twin or "whole", *serve]

    def start(self, patience: float = 60) -> Server:
        """Start it, and wait until it is ready."""
        # Errors of a server are part of what it said; a warning in it is no error of the test.
        out = (self.log or Path(os.devnull)).open("ab")
        environment = {**os.environ, "PYTHONWARNINGS": "default"}
        self.process = subprocess.Popen(self.command(), stdout=out, stderr=out, env=environment)
        out.close()
        until = time.monotonic() + patience
        while time.monotonic() < until:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/readyz", timeout=2).status == 200:
                    return self
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        said = self.log.read_text()[-3000:] if self.log else ""
        raise AssertionError(f"the server did not become ready (exit {self.process.poll()}): {said}")

    def ask(self, method: str, path: str, body: Any = None, timeout: float = 10, **headers: str) -> Answered:
        """One request on a connection of its own; ``body`` is sent as it is where it is bytes, else as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if data is not None:
                named.setdefault("content-type", "application/json")
            connection.request(method, path, data, named)
            answer = connection.getresponse()
            told = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(answer.status, told, answer.read())
        finally:
            connection.close()

    def kill(self) -> None:
        """As a power switch does: no handler runs."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, with_signal: int = signal.SIGTERM, patience: float = 15) -> int:
        """As an operator does; the exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(with_signal)
        return self.process.wait(patience)


@contextlib.contextmanager
def running(server: Server) -> Iterator[Server]:
    """A server that ends with the block, whatever happens in it."""
    try:
        yield server.start()
    finally:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
