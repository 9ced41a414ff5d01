"""Lists that were served long ago go, and nothing else does."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segue.serving.store import Pruner, Store
from tests.serving.store.makers import event, shown

DAY = 86_400_000_000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    now = time.time_ns() // 1_000
    store.append([event()])
    store.log_served([shown(f"old{n}", received=now - 4 * DAY) for n in range(25)])
    store.log_served([shown(f"new{n}", received=now - 2 * DAY) for n in range(3)])
    return store


def left(store: Store) -> list[str]:
    return [row.recommendation_id for _, row in store.served_after(0)]


def test_lists_older_than_the_days_kept_are_removed_in_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    chunks, prune = [], store.prune_served
    monkeypatch.setattr(store, "prune_served", lambda before, limit: chunks.append(prune(before, limit)) or chunks[-1])
    pruner = Pruner(store, days=3, chunk=10)
    pruner.prune()
    assert left(store) == ["new0", "new1", "new2"]
    assert (chunks, pruner.removed) == ([10, 10, 5, 0], 25)
    assert len(store.events_after(0)) == 1


def test_it_runs_behind_the_service_and_without_a_number_of_days_all_are_kept(store: Store) -> None:
    for days, count in ((None, 28), (3.0, 3)):
        pruner = Pruner(store, days)
        pruner.start()
        until = time.monotonic() + (0.2 if days is None else 20)
        while len(left(store)) != 3 and time.monotonic() < until:
            time.sleep(0.02)
        pruner.stop()
        assert len(left(store)) == count
