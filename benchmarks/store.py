"""The event store: events a second in batches of 50, and how soon an event counts; SQLite and PostgreSQL.

PostgreSQL is a server of its own with fsync on, behind a socket. Disks differ more than processors: the cost of one
sync call of this disk stands beside the figures.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from tests import postgres

import segue
from segue.serving.state import State
from segue.serving.store import Event, Store, Writer

BATCH, CLIENTS, SECONDS, USERS = 50, 8, 10.0, 10_000
FIRST = 1_700_000_000_000_000


def store() -> dict[str, Any]:
    found: dict[str, Any] = {"batch": BATCH, "clients": CLIENTS}
    with tempfile.TemporaryDirectory() as folder:
        found["sync_ms"] = _sync_call(Path(folder))
        found["sqlite"] = _of(f"sqlite:///{folder}/store.db")
    server = postgres.Server.made()
    try:
        server.start()
        with server.database() as url:
            found["postgresql"] = _of(url)
    finally:
        server.remove()
    return found


def _of(url: str) -> dict[str, Any]:
    opened = Store.open(url)
    alone = _one_after_the_other(opened)
    together = asyncio.run(_many_clients(opened))
    counted = _counts_after(opened)
    opened.close()
    return {"events_a_second_one_client": alone, "events_a_second": together, **counted}


def _batch(rng: np.random.Generator) -> list[Event]:
    users, items = rng.integers(USERS, size=BATCH), rng.integers(10_000, size=BATCH)
    return [
        Event(uuid.uuid4().hex, f"user-{user}", f"item-{item}", FIRST + n, "view", 1.0)
        for n, (user, item) in enumerate(zip(users.tolist(), items.tolist(), strict=True))
    ]


def _one_after_the_other(opened: Store) -> int:
    """Each batch a commit of its own."""
    rng = np.random.default_rng(0)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        count += opened.append(_batch(rng)).stored
    return round(count / (time.perf_counter() - start))


async def _many_clients(opened: Store) -> int:
    """Several wait at once, and the writer joins their commits."""
    writer = Writer(opened)
    count, start = 0, time.perf_counter()

    async def client(seed: int) -> None:
        nonlocal count
        rng = np.random.default_rng(seed)
        while time.perf_counter() - start < SECONDS:
            appended = await writer.append(_batch(rng))
            count += appended.stored

    await asyncio.gather(*(client(seed) for seed in range(CLIENTS)))
    taken = time.perf_counter() - start
    writer.close()
    return round(count / taken)


def _counts_after(opened: Store) -> dict[str, float]:
    """From the acknowledgement of an event to a history that holds it, and how long a history of 50 takes to read."""
    items = [f"item-{n}" for n in range(10_000)]
    log = pl.DataFrame({"user_id": ["x"] * len(items), "item_id": items, "timestamp": range(len(items))})
    served = type("Served", (), {"recommender": segue.Popular().fit(segue.Dataset.from_frames(log))})()
    opened.append([Event(uuid.uuid4().hex, "reader", f"item-{n}", FIRST + n, "view") for n in range(50)])
    state, times, late = State(opened, newest=50), [], 0
    for n in range(500):
        opened.append([Event(uuid.uuid4().hex, "reader", f"item-{n % 7}", FIRST + 100 + n, "view")])
        start = time.perf_counter()
        known = state.of(served, "reader")
        times.append(time.perf_counter() - start)
        late += int(known.histories.timestamps[-1] != FIRST + 100 + n)
    p50, p99 = (round(1_000 * float(np.quantile(times, q)), 2) for q in (0.5, 0.99))
    return {"history_p50_ms": p50, "history_p99_ms": p99, "events_that_did_not_count_at_once": late}


def _sync_call(folder: Path) -> float:
    """Median milliseconds of writing and syncing one page."""
    times = []
    with open(folder / "page", "wb") as file:
        for _ in range(200):
            start = time.perf_counter()
            file.write(b"\0" * 4_096)
            file.flush()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return round(1_000 * float(np.median(times)), 3)
