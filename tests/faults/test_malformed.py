"""Malformed requests are refused: no error of the server, no hang, nothing of its insides in an answer.

Half are made from the OpenAPI document by Schemathesis, valid and invalid ones; half are bytes over a raw socket: whole
requests with something wrong in the JSON, in the head, or anywhere.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, openapi
from schemathesis.schemas import APIOperation

from tests.faults.server import Server, rounds, running

INSIDES = re.compile(rb"Traceback|File \"|/site-packages/|/src/segue/|\.py\b|sqlalchemy|sqlite3\.|psycopg")
PATIENCE = 2.0  # seconds in which an answer comes

Twin = str | None


@pytest.fixture(scope="module")
def server(popular: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("malformed")
    with running(Server(popular, f"sqlite:///{folder}/events.db", log=folder / "log")) as each:
        yield each


def faults_of_schema(server: Server, count: int, enough: int = 1_000) -> list[str]:
    """What went wrong among ``count`` requests made from the server's own document, until there is ``enough``."""
    schema = openapi.from_dict(server.ask("GET", "/openapi.json").json)
    operations = [each.ok() for each in schema.get_all_operations()]
    share = max(1, count // (2 * len(operations)))
    found: list[str] = []
    session = requests.Session()
    for operation in operations:
        for mode in GenerationMode:
            if len(found) < enough:
                found += _faults(server, session, operation, mode, share)
    return found


def _faults(
    server: Server, session: requests.Session, operation: APIOperation, mode: GenerationMode, count: int
) -> list[str]:
    found: list[str] = []

    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=True,
        phases=[Phase.generate],
    )
    @given(operation.as_strategy(mode))
    def each(case: object) -> None:
        begun = time.monotonic()
        try:
            answer = case.call(base_url=f"http://127.0.0.1:{server.port}", session=session, timeout=10)  # type: ignore[attr-defined]
        except requests.exceptions.InvalidHeader:
            return  # what cannot be sent at all
        except requests.exceptions.RequestException as error:
            found.append(f"{operation.label}: {type(error).__name__}")
            return
        took = time.monotonic() - begun
        if answer.status_code >= 500 or took > PATIENCE or INSIDES.search(answer.content):
            found.append(f"{operation.label}: {answer.status_code} in {took:.1f} s: {answer.content[:200]!r}")

    with contextlib.suppress(Unsatisfiable):  # a request that takes nothing cannot be made wrong
        each()
    return found


BODIES: list[bytes] = [
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"[" * 5_000, b'{"history":' * 400 + b"1" + b"}" * 400, b"\xff\xfe", 
    b"{}{}",
    b'{"history": NaN}', b'{"history": [1e999]}', b'{"history": [' + b"9" * 400 + b"]}", b'{"history": ["\\ud800"]}',
    b'{"history": ["a"], "k": -1}', b'{"history": ["a"], "k": 1e400}', b'{"history": ["a"], "k": true}',
    b'{"history": ["a"], "at": "9999999999999-99-99"}', b'{"history": ["a"], "at": 1e300}', b'{"history": ["\\u0000"]}',
    b'{"history": {"a": 1}}', b'{"history": ["a"], "filters": {"price_min": "x"}}', b'{"user_id": 1.5}',
    b'{"user_id": ["a"]}', b'{"history": ["a"], "diversity": 7}', b'{"history": ["a"], "__proto__": 1}',
    b'{"user_id": "a", "item_id": "b", "timestamp": -1e308}', b'{"user_id": "a", "item_id": "b", "value": 1e309}',
    b'{"user_id": "a\\u0000", "item_id": "b"}', b'{"user_id": "' + b"x" * 5_000 + b'", "item_id": "b"}',
    b'[{"user_id": 1, "item_id": 2}, 3]', b'{"items": [{"item_id": {}}]}', b'{"items": [{"item_id": "\\ud800"}]}',
]  # fmt: skip
PATHS = [
    *["/v1/recommend"] * 3, "/v1/events", "/v1/generate", "/v1/items", "/v1/recommend/u1", "/v1/recommend/%00", 
    "/v1/users/%ff",
    "/v1/recommend/u1?k=999999999999999999999", "/v1/recommend/u1?at=%F0%28%8C%28", "/v1/items/%2e%2e/similar", 
    "/v1/models",
    "/v1/models/..%2f..%2fetc/activate", "/../../etc/passwd", "//", "/v1/recommend/" + "x" * 3_000, "*", 
    "/healthz", "/metrics",
    "/v1/recommend/u1?explain=maybe&diversity=nan", "/v1/items?query=%00", "/v1/items/i1/similar?k=-1",
]  # fmt: skip


# What is whole, so that what is wrong with the rest is met behind the first look at it.
SOUND = [("POST", "/v1/recommend"), ("POST", "/v1/generate"), ("POST", "/v1/events"), ("GET", "/v1/recommend/u1")]


def _raw(draw: random.Random) -> bytes:
    """A request with something wrong in it, most often."""
    body = draw.choice([*BODIES, *[b'{"history": ["i1", "i2"], "k": 3}'] * 10])
    method = draw.choice([*["POST"] * 4, "GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "G\x00T", ""])
    path = draw.choice(PATHS)
    if draw.random() < 0.5:
        method, path = draw.choice(SOUND)
    length = draw.choice([str(len(body))] * 6 + ["-1", "99999999999999999999", "x", "", str(len(body) + 5)])
    head = [
        f"{method} {path} HTTP/{draw.choice(['1.1'] * 5 + ['1.0', '0.9', '9.9', 'x'])}",
        "host: 127.0.0.1",
    ]
    head += [f"content-length: {length}", f"content-type: {draw.choice(['application/json'] * 4 + ['text/xml', ''])}"]
    if draw.random() < 0.1:
        head.append("transfer-encoding: chunked")
    if draw.random() < 0.1:
        head.append("x-long: " + "y" * draw.choice([100, 9_000, 70_000]))
    if draw.random() < 0.1:
        head.append(draw.choice(["no colon", ": empty", "a\x00b: c", "authorization: Bearer ", "x-api-key: \x7f"]))
    raw = bytearray("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + body)
    for _ in range(draw.choice([0, 0, 0, 1, 3, 20])):
        raw[draw.randrange(len(raw))] = draw.randrange(256)
    if draw.random() < 0.1:
        del raw[draw.randrange(len(raw)) :]
    return bytes(raw)


def _answer(server: Server, raw: bytes) -> tuple[bytes, bool]:
    """What came back, and whether it ended. A server may wait for the rest of a request, until there is none."""
    answer = b""
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        try:
            connection.sendall(raw)
            for patience, goes_on in ((0.2, True), (PATIENCE + 1, False)):
                connection.settimeout(patience)
                with contextlib.suppress(TimeoutError):
                    while part := connection.recv(65_536):
                        answer += part
                    return answer, True
                if goes_on:
                    connection.shutdown(socket.SHUT_WR)
        except OSError:
            return answer, True  # refused in the middle of what was sent
    return answer, False


def faults_of_bytes(server: Server, count: int, enough: int = 1_000, seed: int = 0) -> list[str]:
    """What went wrong among ``count`` requests of bytes, until there is ``enough``."""
    draw = random.Random(seed)
    found: list[str] = []

    def each(raw: bytes) -> None:
        if len(found) >= enough:
            return
        begun = time.monotonic()
        answer, ended = _answer(server, raw)
        if not ended:
            found.append(f"no end of the answer to {raw[:200]!r}")
        took = time.monotonic() - begun
        status = re.match(rb"HTTP/1\.[01] (\d+)", answer)
        if (status and int(status[1]) >= 500) or took > PATIENCE or INSIDES.search(answer):
            found.append(f"{raw[:200]!r}: {answer[:300]!r} in {took:.1f} s")

    with ThreadPoolExecutor(8) as clients:  # most of the time is waiting for what does not come
        list(clients.map(each, [_raw(draw) for _ in range(count)]))
    return found


def test_requests_made_from_the_document_meet_no_error_of_the_server(server: Server) -> None:
    assert faults_of_schema(server, rounds(250, 5_000)) == []


def test_bytes_over_a_raw_socket_meet_no_error_of_the_server(server: Server) -> None:
    assert faults_of_bytes(server, rounds(400, 5_000)) == []
    assert server.ask("GET", "/healthz").status == 200


def test_nothing_of_a_malformed_request_is_logged_as_a_failure(server: Server) -> None:
    faults_of_bytes(server, 50, seed=1)
    assert server.log is not None
    assert "Traceback" not in server.log.read_text()


@pytest.mark.parametrize("way", [faults_of_schema, faults_of_bytes])
def test_a_server_with_one_unguarded_look_up_is_found_out(popular: Path, tmp_path: Path, way: object) -> None:
    twin = Server(popular, f"sqlite:///{tmp_path}/events.db", twin="unguarded_look_up", log=tmp_path / "log")
    with running(twin) as server:
        assert way(server, 200, enough=1)  # type: ignore[operator]


def test_a_body_that_is_whole_json_is_answered_with_json(server: Server) -> None:
    for body in BODIES:
        answer = server.ask("POST", "/v1/recommend", body)
        assert 400 <= answer.status < 500, (body[:80], answer.status)
        assert set(json.loads(answer.body)) == {"error"}
