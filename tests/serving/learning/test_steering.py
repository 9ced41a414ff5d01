"""What operators do to online mode holds on every replica and after a restart."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

import segue
from segue.errors import OnlineUnknown, StoreUnavailable
from segue.serving.building import build
from segue.serving.service import Service
from segue.serving.settings import ServiceConfig
from segue.serving.store import Event, Store
from segue.serving.store.rows import ModelRow


@pytest.fixture
def artefact(ease: segue.EASE, tmp_path: Path) -> Path:
    ease.save(tmp_path / "ease")
    return tmp_path / "ease"


@contextmanager
def service(artefact: Path) -> Iterator[Service]:
    sets = [f'store.url="sqlite:///{artefact.parent}/shop.db"', "online.on=true", "online.settle=0", "page.on=false"]
    made = build(artefact, ServiceConfig.read(None, sets))
    made.start()
    try:
        yield made
    finally:
        made.stop()


def act(service: Service, first: int, count: int = 200) -> None:
    events = [
        Event(f"e{n}", f"u{n % 20}", "i3" if n % 3 else f"i{n % 30}", 1_700_000_000_000_000 + n)
        for n in range(first, first + count)
    ]
    service.writer.append_now(events)


def until(true: Callable[[], bool], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.02)


def learnt(service: Service) -> np.ndarray:
    biases = service.online.biases("ease")
    return np.zeros(1) if biases is None else biases


def all_learnt(service: Service, events: int = 200) -> bool:
    """Whether every full batch was learnt from."""
    return bool(learnt(service).any()) and bool(service.online.report("ease")["batches"] == events // 32)


def test_a_reset_holds_on_another_replica_and_after_a_restart(artefact: Path) -> None:
    with service(artefact) as one, service(artefact) as other:
        act(one, 0)
        until(lambda: learnt(one).any() and np.array_equal(learnt(one), learnt(other)))
        one.steering.reset("ease")
        assert not learnt(one).any()
        until(lambda: not learnt(other).any())
        act(one, 200)
        until(lambda: learnt(one).any() and np.array_equal(learnt(one), learnt(other)))
        kept = learnt(one)
    with service(artefact) as again:
        until(lambda: np.array_equal(learnt(again), kept))


def test_batches_that_were_taken_back_stay_so(artefact: Path) -> None:
    with service(artefact) as one:
        act(one, 0)
        until(lambda: all_learnt(one))
        before = learnt(one)
        one.steering.undo("ease", 1)
        kept = learnt(one)
        assert not np.array_equal(kept, before)
    with service(artefact) as again:
        until(lambda: np.array_equal(learnt(again), kept))


def test_a_service_is_ready_before_its_models_have_learnt_what_the_store_holds(
    artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(artefact) as one:
        act(one, 0)
    go = threading.Event()
    read = Store.events_after
    monkeypatch.setattr(Store, "events_after", lambda *given: (go.wait(20), read(*given))[1])
    with service(artefact) as again:
        try:
            assert again.models.serving()
            assert again.online.biases("ease") is None
        finally:
            go.set()
        until(lambda: learnt(again).any())


def test_a_model_adopted_while_the_store_is_away_learns_when_it_is_back(
    artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with service(artefact) as one:
        act(one, 0)
        until(lambda: all_learnt(one))
        kept = learnt(one)
        away = threading.Event()
        away.set()
        read = one.models.registry.row

        def row(name: str) -> ModelRow:
            if away.is_set():
                raise StoreUnavailable(url="sqlite:///shop.db", reason="away")
            return read(name)

        monkeypatch.setattr(one.models.registry, "row", row)
        one.steering.adopt(one.models.named("ease"))
        assert one.online.biases("ease") is None
        away.clear()
        until(lambda: np.array_equal(learnt(one), kept))


def test_a_model_that_does_not_learn_is_refused_by_name(artefact: Path) -> None:
    with service(artefact) as one, pytest.raises(OnlineUnknown, match="nobody"):
        one.steering.reset("nobody")
