"""The service under load, server and client on one machine: latency, events, freshness, start, memory.

Parts: ``service-latency`` beside a plain FastAPI echo in the same run, ``service-events-sqlite`` and
``service-events-postgresql``, ``service-freshness``, ``service-start``, ``service-soak``. All ask a server of its own process
over loopback; the model is ``benchmarks.shop``'s, exported in int8.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from tests import postgres

from benchmarks import shop
from benchmarks.load import Client, Load, closed_loop, flood, open_loop
from benchmarks.results_file import WORK

RATE, SECONDS = 100, 60
SEGUE = str(Path(sys.executable).with_name("segue"))


@contextlib.contextmanager
def process(command: list[str], port: int, ready: str) -> Iterator[tuple[psutil.Process, float]]:
    """A server that answers ``ready`` with 200, and the seconds that took."""
    log = (WORK / f"server-{port}.log").open("w")
    begun = time.perf_counter()
    server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        while True:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=1).read()
                break
            if server.poll() is not None or time.perf_counter() - begun > 60:
                raise RuntimeError(Path(log.name).read_text()[-2000:])
            time.sleep(0.005)
        yield psutil.Process(server.pid), time.perf_counter() - begun
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def free_port() -> int:
    with socket.socket() as each:
        each.bind(("127.0.0.1", 0))
        return int(each.getsockname()[1])


def exported() -> Path:
    """The shop's model in int8, exported once."""
    path = WORK / "shop-onnx"
    if not (path / "manifest.json").exists():
        subprocess.run([SEGUE, "export", str(shop.model()), "--out", str(path), "--precision", "int8"], check=True)
    return path


@contextlib.contextmanager
def service(store: str = "", more: tuple[str, ...] = ()) -> Iterator[tuple[int, psutil.Process, float]]:
    """Port, process and seconds from start to ready; on a new SQLite store in the working folder unless told."""
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        port = free_port()
        url = store or f"sqlite:///{folder}/events.db"
        command = [SEGUE, "serve", str(exported()), "--store", url, "--port", str(port), *more]
        with process(command, port, "/readyz") as (server, seconds):
            yield port, server, seconds


def latency() -> dict[str, Any]:
    """``POST /v1/recommend`` with histories of 50, beside an echo of the same bodies."""
    bodies = [json.dumps({"history": history, "k": 10}).encode() for history in shop.histories()]

    def load(port: int, path: str) -> dict[str, Any]:
        requests = [lambda client, body=body: client.request("POST", path, body) for body in bodies]
        open_loop(port, requests, RATE, 5)
        found = open_loop(port, requests, RATE, SECONDS)
        return {**found.figures(), "client_late_ms": round(found.late * 1e3, 2)}

    port = free_port()
    echo = [sys.executable, "-m", "uvicorn", "benchmarks.echo:app", "--port", str(port), "--log-level", "warning"]
    with process(echo, port, "/openapi.json"):
        plain = load(port, "/echo")
    with service() as (port, server, _):
        ours = load(port, "/v1/recommend")
        memory = server.memory_info().rss
    return {
        "rate": RATE,
        "seconds": SECONDS,
        "items": shop.ITEMS,
        "history": shop.EVENTS,
        "recommend": ours,
        "echo": plain,
        "times_echo_p50": round(ours["p50_ms"] / plain["p50_ms"], 2),
        "resident_mb": round(memory / 1e6, 1),
    }


def events(store: Callable[[], contextlib.AbstractContextManager[str]] | None = None) -> dict[str, Any]:
    """Batches of 50 from eight clients for ten seconds; every answer comes after its commit."""

    def request(client: Client, number: int) -> bytes:
        now = time.time()
        batch = [
            {"event_id": uuid.uuid4().hex, "user_id": f"u{number % 5000}", "item_id": f"i{(number * 50 + place) % 10000}",
             "timestamp": now, "action": "view"}
            for place in range(50)
        ]  # fmt: skip
        return client.request("POST", "/v1/events", json.dumps(batch).encode())

    with (store or contextlib.nullcontext)() as url, service(url or "") as (port, _, _):
        closed_loop(port, request, 8, 2)
        found = closed_loop(port, request, 8, 10)
    rate = sum(n for status, n in found.statuses.items() if 200 <= status < 300) * 50 / found.wall
    return {"events_a_second": round(rate), "batch": 50, "clients": 8, **found.figures()}


def freshness(rounds: int = 300) -> dict[str, Any]:
    """From the acknowledgement of an event to the first answer for that user that counts it."""
    waits = []
    with service() as (port, _, _):

        def ask(method: str, path: str, value: Any = None) -> dict[str, Any]:
            data = None if value is None else json.dumps(value).encode()
            asked = urllib.request.Request(
                f"http://127.0.0.1:{port}{path}", data, {"content-type": "application/json"}, method=method
            )
            return dict(json.loads(urllib.request.urlopen(asked).read()))

        for number in range(rounds):
            user = f"u{number % 50}"
            before = ask("GET", f"/v1/recommend/{user}?k=10")["history_length"]
            event = {"event_id": uuid.uuid4().hex, "user_id": user, "item_id": f"i{number}", "timestamp": time.time()}
            ask("POST", "/v1/events", event)
            acknowledged = time.perf_counter()
            while ask("GET", f"/v1/recommend/{user}?k=10")["history_length"] <= before:
                pass
            waits.append(time.perf_counter() - acknowledged)
    ms = np.array(waits) * 1e3
    return {"rounds": rounds, **{f"p{p}_ms": round(float(np.percentile(ms, p)), 2) for p in (50, 99)}, "max_ms": round(float(ms.max()), 2)}  # fmt: skip


def start(rounds: int = 5) -> dict[str, Any]:
    """From the command to ready, and what is resident then, and after a thousand answers."""
    seconds, memory, after = [], [], []
    bodies = [json.dumps({"history": history}).encode() for history in shop.histories(50)]
    for _ in range(rounds):
        with service() as (port, server, took):
            seconds.append(took)
            memory.append(server.memory_info().rss / 1e6)
            open_loop(port, [lambda c, b=body: c.request("POST", "/v1/recommend", b) for body in bodies], 100, 10)
            after.append(server.memory_info().rss / 1e6)
    return {
        "seconds": [round(each, 2) for each in seconds],
        "median_seconds": round(float(np.median(seconds)), 2),
        "resident_mb": round(float(np.median(memory)), 1),
        "resident_mb_after_1000_answers": round(float(np.median(after)), 1),
    }


def soak(minutes: float = 10, rate: float = 20) -> dict[str, Any]:
    """Answers and events, ten to one, for ten minutes; resident memory each five seconds, its slope after the first
    two minutes."""
    bodies = [json.dumps({"history": history}).encode() for history in shop.histories()]
    requests: list[Callable[[Client], bytes]] = [
        lambda client, body=body: client.request("POST", "/v1/recommend", body) for body in bodies[:100]
    ]
    for place in range(0, 110, 11):
        event = lambda client, place=place: client.request(  # noqa: E731
            "POST", "/v1/events", json.dumps({"user_id": f"u{place}", "item_id": f"i{place}"}).encode()
        )
        requests.insert(place, event)
    with service() as (port, server, _):
        moments, resident = [], []
        load, begun = Load(), time.perf_counter()
        while time.perf_counter() - begun < minutes * 60:
            part = open_loop(port, requests, rate, 5)
            load.seconds += part.seconds
            for status, count in part.statuses.items():
                load.statuses[status] = load.statuses.get(status, 0) + count
            moments.append((time.perf_counter() - begun) / 60)
            resident.append(server.memory_info().rss / 1e6)
    settled = np.array(moments) > min(2, minutes / 5)
    slope = float(np.polyfit(np.array(moments)[settled], np.array(resident)[settled], 1)[0])
    return {"minutes": minutes, "rate": rate, "mb_a_minute": round(slope, 3), "resident_mb": [round(each, 1) for each in resident[:: max(1, len(resident) // 20)]], **load.figures()}  # fmt: skip


def overload(seconds: float = 10) -> dict[str, Any]:
    """Closed loops of clients that ask again at once, also after a refusal: as many as fill the gate, and four times
    as many; then as many refusals as an open loop of four times the best rate brings, from clients that wait."""
    bodies = [json.dumps({"history": history, "k": 10}).encode() for history in shop.histories()]
    with service() as (port, _, _):
        client = Client(port)
        requests = [client.request("POST", "/v1/recommend", body) for body in bodies]
        probe = client.request("GET", "/healthz")
        flood(port, requests, 8, 2, probe)
        found = {str(clients): flood(port, requests, clients, seconds, probe).figures() for clients in (8, 24, 66, 264)}
        best = max(each["lists_a_second"] for each in found.values())
        load = open_loop(port, [lambda _, each=each: each for each in requests], 4 * best, seconds)
    waiting = {"rate": round(4 * best), "lists_a_second": round(load.statuses.get(200, 0) / load.wall, 1)}
    waiting |= {"statuses": {str(status): count for status, count in sorted(load.statuses.items())}}
    return {
        "capacity": 2,
        "queue": 64,
        "seconds": seconds,
        "closed_loop": found,
        "open_loop": waiting,
        "best_a_second": best,
        "share_of_best": round(found["264"]["lists_a_second"] / best, 3),
        "share_of_best_open_loop": round(waiting["lists_a_second"] / best, 3),
    }


def costs() -> dict[str, Any]:
    """Milliseconds of one core for answers of several sizes, beside what admission estimates."""
    from types import SimpleNamespace

    from segue.recommenders.store import load
    from segue.serving.answers.answers import Answers
    from segue.serving.answers.cost import estimated_ms
    from segue.serving.answers.questions import Question

    served = SimpleNamespace(name="shop", recommender=load(exported()), created=0)
    answers = Answers(SimpleNamespace(choose=lambda _: served, shadows=lambda: ()))
    rng, found = np.random.default_rng(0), []
    for history, k, explain, diversity in (
        (50, 10, False, 0.0), (10_000, 10, False, 0.0), (50, 1_000, False, 0.0), (50, 10, True, 0.0),
        (50, 100, True, 0.0), (50, 1_000, False, 1.0), (10_000, 1_000, True, 1.0),
    ):  # fmt: skip
        items = [f"i{number}" for number in rng.integers(0, shop.ITEMS, history)]
        question, took = Question(items=items, k=k, explain=explain, diversity=diversity), []
        for _ in range(6):
            begun = time.thread_time()
            answers.recommend(question)
            took.append(time.thread_time() - begun)
        ms, estimate = round(float(np.median(took[1:])) * 1e3, 1), round(estimated_ms(question), 1)
        found.append({"history": history, "k": k, "explain": explain, "diversity": diversity, "ms": ms, "estimate": estimate})  # fmt: skip
    return {"answers": found}


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database of a PostgreSQL of its own, with fsync on."""
    server = postgres.Server.made()
    try:
        server.start()
        with server.database() as url:
            yield url
    finally:
        server.remove()


PARTS: dict[str, Callable[[], dict[str, Any]]] = {
    "service-latency": latency,
    "service-events-sqlite": events,
    "service-events-postgresql": partial(events, postgresql),
    "service-freshness": freshness,
    "service-start": start,
    "service-soak": soak,
    "service-overload": overload,
    "service-costs": costs,
}


if __name__ == "__main__":  # a trial of one part: python -m benchmarks.service latency
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    print(json.dumps(globals()[sys.argv[1]](), indent=1))
