"""What was acknowledged is there, once: after a kill at any moment, after retries, and whoever asks."""

from __future__ import annotations

import http.client
import random
import sqlite3
import threading
import time
import uuid
from collections import Counter
from pathlib import Path

from tests.faults.server import Server, rounds, running

CLIENTS = 4


def _post(server: Server, acknowledged: list[str], stop: threading.Event) -> None:
    """Post small batches until told to stop; note the ids of those that were acknowledged."""
    while not stop.is_set():
        batch = [
            {"event_id": uuid.uuid4().hex, "user_id": f"u{place}", "item_id": f"i{place}", "timestamp": time.time()}
            for place in range(5)
        ]
        try:
            answer = server.ask("POST", "/v1/events", batch, timeout=5)
        except (OSError, http.client.HTTPException):  # the server was killed; half of an answer is no answer
            continue
        if 200 <= answer.status < 300:
            acknowledged += [event["event_id"] for event in batch]


def lost_and_doubled(model: Path, folder: Path, count: int, twin: str | None = None) -> tuple[int, int, int]:
    """Acknowledged events, those of them that are lost, and those that are there more than once."""
    draw = random.Random(0)
    file = folder / "events.db"
    server = Server(model, f"sqlite:///{file}", log=folder / "log", twin=twin)
    acknowledged: list[str] = []
    for _ in range(count):
        with running(server):
            stop = threading.Event()
            posting = [threading.Thread(target=_post, args=(server, acknowledged, stop)) for _ in range(CLIENTS)]
            for each in posting:
                each.start()
            time.sleep(draw.uniform(0.1, 0.8))
            server.kill()
            stop.set()
            for each in posting:
                each.join()
    with sqlite3.connect(file) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        there = Counter(row[0] for row in store.execute("SELECT event_id FROM events"))
    return (
        len(acknowledged),
        sum(not there[each] for each in acknowledged),
        sum(there[each] > 1 for each in acknowledged),
    )


def test_every_acknowledged_event_is_there_once_after_kills_at_random(habits: Path, tmp_path: Path) -> None:
    acknowledged, lost, doubled = lost_and_doubled(habits, tmp_path, rounds(2, 50))
    assert acknowledged > 20
    assert (lost, doubled) == (0, 0)


def test_a_server_that_acknowledges_before_it_commits_loses_some(habits: Path, tmp_path: Path) -> None:
    _, lost, _ = lost_and_doubled(habits, tmp_path, 2, twin="acknowledge_before_commit")
    assert lost > 0


def answers(server: Server, users: int = 20) -> list[object]:
    """What the server tells some users: items and scores, to the last digit."""
    found: list[object] = []
    for number in range(users):
        answer = server.ask("GET", f"/v1/recommend/u{number}?k=10").json
        found.append([(each["item_id"], each["score"]) for each in answer["items"]] + [answer["history_length"]])
    return found


def _act(server: Server) -> None:
    """People do things, told in an order that is not that of time."""
    draw = random.Random(3)
    moments = [1_700_000_000 + draw.randrange(100_000) for _ in range(200)]
    events = [
        {"event_id": f"e{n}", "user_id": f"u{n % 25}", "item_id": f"i{draw.randrange(40)}", "timestamp": moment}
        for n, moment in enumerate(moments)
    ]
    for start in range(0, len(events), 40):
        assert server.ask("POST", "/v1/events", events[start : start + 40]).status < 300


def test_answers_are_the_same_after_a_kill_and_on_a_second_replica(habits: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/events.db"
    with running(Server(habits, store)) as first:
        before = answers(first)
        with running(Server(habits, store)) as second:
            assert answers(second) == before
            _act(first)
            told = answers(first)
            time.sleep(1)
            assert answers(second) == told
        first.kill()
    assert told != before
    with running(Server(habits, store)) as again:
        assert answers(again) == told


def test_a_server_that_keeps_what_it_hears_to_itself_is_found_out(habits: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/events.db"
    with (
        running(Server(habits, store, twin="memory_alone")) as first,
        running(Server(habits, store, twin="memory_alone")) as second,
    ):
        _act(first)
        time.sleep(1)
        assert answers(second) != answers(first)


def test_a_retry_is_stored_once_whatever_thread_or_process_takes_it(habits: Path, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/events.db"
    event = {"event_id": "the one", "user_id": "u1", "item_id": "i1", "timestamp": 1_700_000_000}
    told: list[int] = []
    for _ in range(2):
        with running(Server(habits, store)) as server:

            def retry(server: Server = server) -> None:
                for _ in range(rounds(20, 50)):
                    told.append(server.ask("POST", "/v1/events", event).json["stored"])

            threads = [threading.Thread(target=retry) for _ in range(10)]
            for each in threads:
                each.start()
            for each in threads:
                each.join()
    assert sum(told) == 1
    with sqlite3.connect(tmp_path / "events.db") as opened:
        assert opened.execute("SELECT count(*) FROM events").fetchone() == (1,)
