"""Models are replaced while people ask: no request fails, each answer names its model, none is a damaged one's."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from segue.serving.models.models import Models
from segue.serving.store import Store
from tests.faults.server import Server, rounds, running

RATE = 100  # requests a second


class Asking:
    """Asks a server so often a second, each time on a connection of its own, and notes what comes."""

    def __init__(self, server: Server, rate: float = RATE) -> None:
        self.server, self.rate = server, rate
        self.statuses: Counter[int] = Counter()
        self.models: Counter[str] = Counter()
        self.slowest = 0.0
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(4)]

    def __enter__(self) -> Asking:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for each in self._threads:
            each.join()

    def _run(self, number: int) -> None:
        begun, asked = time.monotonic(), 0
        while not self._stop.is_set():
            due = begun + (asked * len(self._threads) + number) / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
            asked += 1
            self.ask({"history": ["i1", "i2"], "k": 5})

    def ask(self, body: object) -> str | None:
        """Ask once; the model that answered."""
        before = time.monotonic()
        try:
            answer = self.server.ask("POST", "/v1/recommend", body)
        except OSError:
            with self._lock:
                self.statuses[0] += 1
            return None
        model = answer.json["model"] if answer.status == 200 else None
        with self._lock:
            self.slowest = max(self.slowest, time.monotonic() - before)
            self.statuses[answer.status] += 1
            if model is not None:
                self.models[model] += 1
        return model


@pytest.fixture
def two(popular: Path, habits: Path, tmp_path: Path) -> tuple[str, Path, Path]:
    """A store that knows two models."""
    url = f"sqlite:///{tmp_path}/events.db"
    store = Store.open(url)
    models = Models.open(store, habits)
    models.add(popular, "popular")
    store.close()
    return url, habits, popular


def swap(server: Server, names: tuple[str, ...], times: int) -> Asking:
    """Activate one after the other while people ask; what they met."""
    with Asking(server) as asking:
        for number in range(times):
            name = names[number % len(names)]
            assert server.ask("POST", f"/v1/models/{name}/activate").status == 200
            until = time.monotonic() + 10
            while asking.ask({"history": ["i1"]}) != name:
                assert time.monotonic() < until, "the swap never came"
            met = sum(asking.statuses.values())
            while sum(asking.statuses.values()) < met + 4:
                assert time.monotonic() < until, "nobody was answered"
                time.sleep(0.01)
    return asking


def test_swaps_under_load_fail_no_request_and_each_answer_names_its_model(two: tuple[str, Path, Path]) -> None:
    with running(Server(two[1], two[0])) as server:
        met = swap(server, ("popular", "habits"), rounds(6, 60))
    assert set(met.statuses) == {200}
    assert set(met.models) == {"habits", "popular"}
    assert sum(met.statuses.values()) == sum(met.models.values()) > 20


def test_a_server_that_loads_in_the_way_of_requests_is_found_out(two: tuple[str, Path, Path]) -> None:
    with running(Server(two[1], two[0], twin="load_in_the_way")) as server:
        met = swap(server, ("popular", "habits"), 2)
    assert met.slowest > 1.5  # the whole service stood still while it loaded


def test_a_damaged_model_is_refused_by_name_and_the_old_one_goes_on(
    two: tuple[str, Path, Path], tmp_path: Path
) -> None:
    url, habits, popular = two
    with running(Server(habits, url, log=tmp_path / "log")) as server, Asking(server, 20) as asking:
        victim = next(file for file in popular.iterdir() if file.suffix == ".safetensors")
        kept = victim.read_bytes()
        try:
            victim.write_bytes(kept[:-1] + bytes([kept[-1] ^ 1]))
            refused = server.ask("POST", "/v1/models/popular/activate")
            assert refused.status == 422
            assert refused.json["error"]["code"] == "A002"
            # The store says so all the same, as another replica with another disk might have.
            store = Store.open(url)
            Models.open(store, habits).registry.activate("popular")
            store.close()
            until = time.monotonic() + 20
            while "model_refused" not in server.ask("GET", "/v1/alerts").body.decode():
                assert time.monotonic() < until, "no alarm was raised"
                time.sleep(0.1)
        finally:
            victim.write_bytes(kept)
    assert set(asking.statuses) == {200}
    assert set(asking.models) == {"habits"}
