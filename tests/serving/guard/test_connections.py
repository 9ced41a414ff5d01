"""Connections over real sockets: heads, bodies and answers each in their time and size."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn

from segue.serving.guard.connections import ConnectionsConfig, protocol, refused

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
QUICK = {"head_seconds": 0.3, "body_grace_seconds": 0.3, "answer_seconds": 0.3, "idle_seconds": 1}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Reads the body unless told otherwise; answers its length, or something very long."""
    length = 0
    while scope["path"] != "/deaf":
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message["body"])
        if not message["more_body"]:
            break
    body = b"x" * 50_000_000 if scope["path"] == "/long" else b"%d" % length
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def listening(**settings: Any) -> Iterator[tuple[int, uvicorn.Server]]:
    """A server in a thread; its port."""
    chosen = ConnectionsConfig(**{**QUICK, **settings})
    config = uvicorn.Config(
        app, http=protocol(chosen), log_config=None, lifespan="off", timeout_keep_alive=chosen.idle_seconds
    )
    server = uvicorn.Server(config)
    bound = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    try:
        until(lambda: server.started)
        yield bound.getsockname()[1], server
    finally:
        server.force_exit = server.should_exit = True
        thread.join(10)
        bound.close()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("uvicorn.error")
    before, logger.disabled = logger.disabled, True
    yield
    logger.disabled = before


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with listening() as (each, _):
        yield each


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def dial(port: int, sent: bytes = b"") -> socket.socket:
    each = socket.create_connection(("127.0.0.1", port), timeout=5)
    each.sendall(sent)
    return each


def rest(each: socket.socket) -> bytes:
    """All that comes until the server closes."""
    got = b""
    with each, contextlib.suppress(ConnectionResetError):
        while part := each.recv(65536):
            got += part
    return got


def drip(each: socket.socket, text: bytes, pause: float, seconds: float = 3) -> float:
    """Send bytes one by one; the seconds after which the server has closed, or all that were given."""
    began = time.monotonic()
    with each, contextlib.suppress(OSError):
        while time.monotonic() - began < seconds:
            each.sendall(text[:1])
            text = text[1:] or text
            each.settimeout(pause)
            with contextlib.suppress(TimeoutError):
                if not each.recv(1000):
                    break
    return time.monotonic() - began


def test_requests_are_answered_also_several_of_one_connection(port: int) -> None:
    with dial(port, GET) as each:
        for _ in range(3):
            assert each.recv(1000).endswith(b"\r\n\r\n0")
            each.sendall(GET)
    with dial(port, GET * 3) as piped:
        until(lambda: piped.recv(10_000, socket.MSG_PEEK).count(b"200 OK") == 3)


def test_a_connection_that_says_nothing_is_told_so_and_closed(port: int) -> None:
    began = time.monotonic()
    assert rest(dial(port)).startswith(b"HTTP/1.1 408")
    assert 0.2 < time.monotonic() - began < 1.5


@pytest.mark.parametrize("text", [GET, b"GET / HTTP/1.1\r\nX: " + b"a" * 1000, b"\r\n" * 1000])
def test_a_head_that_drips_is_closed(port: int, text: bytes) -> None:
    assert drip(dial(port), text, pause=0.03) < 1.5


def test_a_second_head_that_drips_is_closed_too(port: int) -> None:
    each = dial(port, GET)
    assert each.recv(1000)
    assert drip(each, b"GET / HTTP/1.1\r\nX: " + b"a" * 1000, pause=0.03) < 1.5


@pytest.mark.parametrize("path", [b"/", b"/deaf"])
def test_a_body_that_drips_is_closed_whether_it_is_read_or_not(port: int, path: bytes) -> None:
    each = dial(port, b"POST " + path + b" HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert drip(each, b"x", pause=0.02) < 2.5


def test_a_body_that_keeps_its_pace_is_taken(port: int) -> None:
    with dial(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6000\r\n\r\n") as each:
        for _ in range(6):
            each.sendall(b"x" * 1000)
            time.sleep(0.1)
        assert each.recv(1000).endswith(b"\r\n\r\n6000")


def test_a_connection_without_a_further_request_is_closed(port: int) -> None:
    began = time.monotonic()
    assert b"200 OK" in rest(dial(port, GET))
    assert 0.8 < time.monotonic() - began < 3


def test_a_client_that_does_not_take_its_answer_is_cut() -> None:
    with listening() as (port, server):
        each = socket.socket()
        each.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        each.connect(("127.0.0.1", port))
        each.sendall(b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n")
        until(lambda: len(server.server_state.connections) == 1)
        until(lambda: len(server.server_state.connections) == 0, seconds=4)
        each.close()


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (b"GET /" + b"a" * 100_000, b"414"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000, b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"X" * 20_000, b"431"),
        (b"GET / HTTP/9.9\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
    ],
)
def test_a_head_that_is_too_large_or_no_http_is_refused_by_name(port: int, head: bytes, status: bytes) -> None:
    got = rest(dial(port, head))
    # A peer that still sends while the server closes may lose the answer; those above are small enough not to.
    assert got.split(b" ")[1] in (status, b"431", b"414")[: 1 if len(head) < 60_000 else 3]
    assert b'"code": "V054"' in got
    assert b"nosniff" in got


def test_large_but_allowed_heads_pass(port: int) -> None:
    with dial(port, b"GET / HTTP/1.1\r\nX: " + b"a" * 16_000 + b"\r\n\r\n") as each:
        assert each.recv(1000).startswith(b"HTTP/1.1 200")


def test_where_all_connections_are_taken_an_idle_one_makes_room_before_a_busy_one() -> None:
    with listening(connections=3, head_seconds=5, idle_seconds=5) as (port, server):
        idle, slow = dial(port, GET), dial(port, b"GET / HT")
        assert idle.recv(1000)
        busy = dial(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n")
        until(lambda: len(server.server_state.connections) == 3)
        with dial(port, GET) as new:
            assert b"200 OK" in new.recv(1000)
        assert idle.recv(1000) == b""  # closed first
        slow.sendall(b"TP/1.1\r\n\r\n")
        assert b"200 OK" in slow.recv(1000)
        busy.sendall(b"x")
        assert b"200 OK" in busy.recv(1000)
        for each in (idle, slow, busy):
            each.close()


def test_one_address_cannot_take_all_connections() -> None:
    with listening(connections_per_address=4, head_seconds=5) as (port, server):
        slow = [dial(port, b"GET / HT") for _ in range(20)]
        until(lambda: len(server.server_state.connections) <= 4)
        with dial(port, GET) as new:
            assert b"200 OK" in new.recv(1000)
        for each in slow:
            each.close()


def test_where_everybody_is_busy_the_next_is_told_to_come_later() -> None:
    with listening(connections=2, body_grace_seconds=5) as (port, server):
        busy = [dial(port, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n") for _ in range(2)]
        until(lambda: len(server.server_state.tasks) == 2)
        got = rest(dial(port))
        assert got.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 1" in got
        for each in busy:
            each.sendall(b"x")
            assert b"200 OK" in each.recv(1000)
            each.close()


def test_what_the_protocol_refuses_is_counted_by_status(port: int) -> None:
    for status, sent in ((400, b"no http\r\n\r\n"), (414, b"GET /" + b"x" * 70_000), (408, b"GET / HT")):
        before = refused[status]
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client, contextlib.suppress(OSError):
            client.sendall(sent)
            assert f" {status} ".encode() in client.recv(1_000)
        until(lambda: refused[status] == before + 1)  # noqa: B023
