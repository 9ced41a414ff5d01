"""A store that is away, really: users of the model's log are answered from it, at once, and marked as such."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import segue
from segue.errors import StoreUnavailable
from segue.serving.state import State
from segue.serving.store.breaker import Breaker
from segue.serving.store.tombstones import Erasure, hash_of
from tests import postgres
from tests.faults.server import LONG, Server, running

SLACK = 1.0 if LONG else 4.0


class Proxy:
    """Connections to a PostgreSQL through a port, which falls silent (and neither closes nor refuses) when told."""

    def __init__(self, server: postgres.Server) -> None:
        self.target = f"{server.home}/.s.PGSQL.5432"
        self.silent = threading.Event()
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self) -> None:
        while True:
            try:
                near, _ = self.listening.accept()
            except OSError:
                return
            far = socket.socket(socket.AF_UNIX)
            far.connect(self.target)
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=self.copy, args=(one, other), daemon=True).start()

    def copy(self, one: socket.socket, other: socket.socket) -> None:
        try:
            while data := one.recv(65_536):
                while self.silent.is_set():
                    time.sleep(0.01)
                other.sendall(data)
        except OSError:
            pass
        other.close()


@pytest.fixture
def database() -> Iterator[tuple[postgres.Server, str]]:
    server = postgres.Server.made()
    try:
        server.start()
        server.execute("CREATE DATABASE shop")
        yield server, server.url("shop")
    finally:
        server.remove()


def until(server: Server, path: str, field: str, value: Any, seconds: float = 30) -> dict[str, Any]:
    end = time.monotonic() + seconds
    while True:
        answer = server.ask("GET", path, timeout=10)
        if answer.status == 200 and answer.json.get(field) == value:
            return dict(answer.json)
        assert time.monotonic() < end, answer.body
        time.sleep(0.05)


def answers_without_store(server: Server, away: float) -> list[str]:
    """What is wrong with the answers of a service whose store is away: the first waits ``away`` seconds, no other."""
    found = []
    for number in range(20):
        began = time.perf_counter()
        answer = server.ask("GET", "/v1/recommend/u1?k=3", timeout=10)
        took = time.perf_counter() - began
        if answer.status != 200 or answer.json.get("history_source") != "model" or not answer.json["history_length"]:
            found.append(f"{number}: {answer.status} {answer.body[:200]!r}")
        if took > away + 0.1 * SLACK:
            found.append(f"{number}: {took:.2f} s")
    return found


def test_users_of_the_log_are_answered_while_the_database_is_stopped(
    habits: Path, database: tuple[postgres.Server, str], tmp_path: Path
) -> None:
    postgresql, url = database
    with running(Server(habits, url, ("--set", "store.needed_for_readiness=false"), log=tmp_path / "log")) as server:
        before = server.ask("GET", "/v1/recommend/u1?k=3").json
        assert "history_source" not in before
        event = {"event_id": "e1", "user_id": "u1", "item_id": "i1"}
        assert server.ask("POST", "/v1/events", event).status == 201
        postgresql.stop("immediate")
        assert answers_without_store(server, 0.5) == []
        assert server.ask("GET", "/v1/recommend/u1?k=3").json["history_length"] == before["history_length"]
        assert server.ask("GET", "/readyz").status == 200
        postgresql.start()
        until(server, "/v1/recommend/u1?k=3", "history_source", None)
        assert server.ask("GET", "/v1/recommend/u1?k=3").json["history_length"] == before["history_length"] + 1


def test_and_while_it_is_silent(habits: Path, database: tuple[postgres.Server, str], tmp_path: Path) -> None:
    postgresql, _ = database
    proxy = Proxy(postgresql)
    url = f"postgresql+psycopg://segue@127.0.0.1:{proxy.port}/shop"
    with running(Server(habits, url, log=tmp_path / "log")) as server:
        assert "history_source" not in server.ask("GET", "/v1/recommend/u1?k=3").json
        proxy.silent.set()
        assert answers_without_store(server, 0.5) == []
        assert server.ask("GET", "/readyz", timeout=10).status == 503
        proxy.silent.clear()
        until(server, "/v1/recommend/u1?k=3", "history_source", None)
    proxy.listening.close()


class Away:
    """A store that does not answer."""

    address = "postgresql://away"

    def history(self, *_: Any) -> Any:
        raise StoreUnavailable(url=self.address, reason="away")


def test_who_was_erased_does_not_come_back_from_a_log_of_before(data: segue.Dataset) -> None:
    served = SimpleNamespace(recommender=segue.Popular().fit(data), created=1_000)
    state = State(Away())  # type: ignore[arg-type]
    assert len(state.of(served, "u1")) > 0
    state.note_erasures([Erasure(1, "key", hash_of("u1", "key"), 2_000)])
    assert len(state.of(served, "u1")) == 0
    assert len(state.of(served, "u2")) > 0
    since = SimpleNamespace(recommender=served.recommender, created=3_000)
    assert len(state.of(since, "u1")) > 0  # what it knows of the user came after the erasure


def test_a_read_that_hangs_is_left_and_the_next_ones_fail_at_once() -> None:
    silent, calls = threading.Event(), []
    breaker = Breaker("postgresql://silent", 0.05, retry_seconds=30)

    def read() -> int:
        calls.append(1)
        silent.wait(20)
        return 7

    for _ in range(5):
        began = time.perf_counter()
        with pytest.raises(StoreUnavailable):
            breaker.call(read)
        assert time.perf_counter() - began < 0.05 + 0.2 * SLACK
    assert len(calls) == 1
    assert breaker.is_open
    silent.set()


def test_a_breaker_closes_with_the_first_read_that_succeeds() -> None:
    breaker, failing = Breaker("sqlite:///shop.db", None, retry_seconds=0.05), True

    def read() -> np.ndarray:
        if failing:
            raise StoreUnavailable(url="sqlite:///shop.db", reason="away")
        return np.arange(3)

    with pytest.raises(StoreUnavailable):
        breaker.call(read)
    failing = False
    with pytest.raises(StoreUnavailable):
        breaker.call(read)
    time.sleep(0.1)
    assert len(breaker.call(read)) == 3
    assert not breaker.is_open
