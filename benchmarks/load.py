"""Load over HTTP: requests at times fixed beforehand (open loop), or as fast as answers come (closed loop).

In an open loop a latency counts from when a request was due, so that a server that stalls is charged for all who wait.
The client is an asyncio protocol of its own: what it costs is small beside what it measures.
"""

from __future__ import annotations

import asyncio
import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Load:
    """What came of a load: seconds of each answer, and how many answers had each status (0: none came)."""

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    wall: float = 0.0
    late: float = 0.0  # the worst delay of the client itself

    def add(self, status: int, seconds: float) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.seconds.append(seconds)

    def figures(self) -> dict[str, Any]:
        """Percentiles in milliseconds."""
        ms = np.array(self.seconds) * 1e3
        points = {f"p{p}_ms": round(float(np.percentile(ms, p)), 3) for p in (50, 90, 99)}
        errors = sum(n for status, n in self.statuses.items() if not 200 <= status < 300)
        return {"requests": len(ms), **points, "max_ms": round(float(ms.max()), 3), "errors": errors}


class _Connection(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.buffer = bytearray()
        self.waiting: asyncio.Future[tuple[int, bytes]] | None = None
        self.closed = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        lines = bytes(self.buffer[:head]).lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(self.buffer) < head + 4 + length:
            return
        body = bytes(self.buffer[head + 4 : head + 4 + length])
        del self.buffer[: head + 4 + length]
        self._answered(int(lines[0].split()[1]), body)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._answered(0, b"")

    def _answered(self, status: int, body: bytes) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_result((status, body))

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self.waiting = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self.waiting


class Client:
    """A pool of kept-alive connections to one server; the one used last is used first."""

    def __init__(self, port: int, host: str = "127.0.0.1") -> None:
        self.host, self.port, self.free = host, port, list[_Connection]()

    def request(self, method: str, path: str, body: bytes = b"", headers: Sequence[str] = ()) -> bytes:
        """The bytes of a request."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"host: {self.host}:{self.port}",
            f"content-length: {len(body)}",
            *headers,
        ]
        if body:
            lines.append("content-type: application/json")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        """Status and body; status 0 where no answer came."""
        connection = self.free.pop() if self.free else None
        if connection is None or connection.closed:
            try:
                _, connection = await asyncio.get_running_loop().create_connection(_Connection, self.host, self.port)
            except OSError:
                return 0, b""
        status, body = await connection.ask(request)
        if not connection.closed:
            self.free.append(connection)
        return status, body


def open_loop(port: int, requests: Sequence[Callable[[Client], bytes]], rate: float, seconds: float) -> Load:
    """``rate`` requests a second for so long, each at its own time; the requests are taken in turn."""

    async def run() -> Load:
        client, load, tasks = Client(port), Load(), set()
        made = [make(client) for make in requests]

        async def one(request: bytes, due: float) -> None:
            status, _ = await client.ask(request)
            load.add(status, time.perf_counter() - due)

        begun = time.perf_counter()
        for number in range(int(rate * seconds)):
            due = begun + number / rate
            if (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            load.late = max(load.late, time.perf_counter() - due)
            tasks.add(task := asyncio.create_task(one(made[number % len(made)], due)))
            task.add_done_callback(tasks.discard)
        await asyncio.gather(*tasks)
        load.wall = time.perf_counter() - begun
        return load

    return asyncio.run(run())


def closed_loop(port: int, request: Callable[[Client, int], bytes], clients: int, seconds: float) -> Load:
    """So many clients, each asking again when it has its answer; ``request`` is given the number of the request."""

    async def run() -> Load:
        client, load, number = Client(port), Load(), 0
        begun = time.perf_counter()

        async def one() -> None:
            nonlocal number
            while time.perf_counter() - begun < seconds:
                number += 1
                asked = time.perf_counter()
                status, _ = await client.ask(request(client, number))
                load.add(status, time.perf_counter() - asked)

        await asyncio.gather(*(one() for _ in range(clients)))
        load.wall = time.perf_counter() - begun
        return load

    return asyncio.run(run())


@dataclass
class Flood:
    """What came of a flood: seconds of each answer by status, and those of the probes sent meanwhile."""

    seconds: dict[int, list[float]] = field(default_factory=dict)
    probes: list[float] = field(default_factory=list)
    wall: float = 0.0

    def figures(self) -> dict[str, Any]:
        """Answers a second, and percentiles in milliseconds."""

        def p(values: Sequence[float], share: int) -> float | None:
            return round(float(np.percentile(values, share)) * 1e3, 1) if values else None

        answers, refusals = self.seconds.get(200, []), self.seconds.get(429, [])
        others = {status: len(each) for status, each in self.seconds.items() if status not in (200, 429)}
        return {
            "lists_a_second": round(len(answers) / self.wall, 1),
            "p50_ms": p(answers, 50),
            "p99_ms": p(answers, 99),
            "max_ms": p(answers, 100),
            "refusals_a_second": round(len(refusals) / self.wall, 1),
            "refusal_p50_ms": p(refusals, 50),
            "refusal_p99_ms": p(refusals, 99),
            "health_p99_ms": p(self.probes, 99),
            "others": others,
        }


def flood(port: int, requests: Sequence[bytes], clients: int, seconds: float, probe: bytes, warm: float = 2.0) -> Flood:
    """A closed loop over plain sockets: so many clients that ask again at once, also after a refusal.

    A coroutine for each client would cost more than a refusal does; one loop over ``epoll`` leaves the machine to the
    server. ``probe`` is sent on a connection of its own, twenty times a second. What was sent in the first ``warm``
    seconds does not count.
    """
    poll, found = select.epoll(), Flood()
    sockets: dict[int, socket.socket] = {}
    sent_at: dict[int, float] = {}
    buffers: dict[int, bytes] = {}
    number = 0

    def dial() -> int:
        each = socket.create_connection(("127.0.0.1", port))
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        each.setblocking(False)
        sockets[each.fileno()] = each
        buffers[each.fileno()] = b""
        poll.register(each.fileno(), select.EPOLLIN)
        return each.fileno()

    def send(place: int, request: bytes) -> None:
        sent_at[place] = time.perf_counter()
        sockets[place].send(request)

    prober = dial()
    probing, next_probe = False, time.perf_counter()
    for _ in range(clients):
        send(dial(), requests[number % len(requests)])
        number += 1
    begun = time.perf_counter() + warm
    while (now := time.perf_counter()) < begun + seconds:
        if not probing and now >= next_probe:
            send(prober, probe)
            probing, next_probe = True, now + 0.05
        for place, _ in poll.poll(0.01):
            buffer = buffers[place] + sockets[place].recv(262_144)
            status, length = _answer_of(buffer)
            if length == 0 or len(buffer) < length:
                if not buffer:
                    raise ConnectionResetError(f"closed with {len(sockets)} connections")
                buffers[place] = buffer
                continue
            buffers[place] = b""
            now = time.perf_counter()
            took = now - sent_at[place]
            if place == prober:
                probing = False
                if now > begun:
                    found.probes.append(took)
                continue
            if sent_at[place] > begun:
                found.seconds.setdefault(status, []).append(took)
            send(place, requests[number % len(requests)])
            number += 1
    found.wall = time.perf_counter() - begun
    for each in sockets.values():
        each.close()
    return found


def _answer_of(buffer: bytes) -> tuple[int, int]:
    """Status of an answer and its length in bytes, 0 where its head is not there yet."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return 0, 0
    at = buffer.lower().find(b"content-length: ", 0, head)
    length = int(buffer[at + 16 : buffer.find(b"\r\n", at)]) if at >= 0 else 0
    return int(buffer[9:12]), head + 4 + length
