"""Parts of a service that keep everything in memory, with the signatures of the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from segue import artefacts
from segue.data.histories import Histories
from segue.recommenders.base import Recommender
from segue.serving.answers.answers import Answers
from segue.serving.answers.settings import AnswersConfig
from segue.serving.guard.gate import Gate
from segue.serving.guard.keys import Keys
from segue.serving.service import Service
from segue.serving.settings import ServiceConfig
from segue.serving.store.rows import Appended, Event, KeyRow, ServedList, StoredEvent


@dataclass(frozen=True, eq=False)
class FakeServed:
    name: str
    recommender: Recommender
    path: Path = Path("models/one")
    created: int = 0
    learnt_to: int = 0


@dataclass
class FakeStore:
    events: list[Event] = field(default_factory=list)
    lists: list[ServedList] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    away: Exception | None = None

    def events_of(self, user_id: str, after: int, limit: int) -> list[StoredEvent]:
        mine = [each for each in self.events if each.user_id == user_id][after : after + limit]
        return [StoredEvent(**asdict(each), seq=after + n) for n, each in enumerate(mine, 1)]

    def log_served(self, rows: Sequence[ServedList]) -> None:
        if self.away is not None:
            raise self.away
        self.lists += rows

    def put_items(self, rows: Sequence[dict[str, Any]]) -> int:
        self.rows += rows
        return len(self.rows)

    def erase(self, user_id: str) -> dict[str, int]:
        before = len(self.events), len(self.lists)
        self.events = [each for each in self.events if each.user_id != user_id]
        self.lists = [each for each in self.lists if each.user_id != user_id]
        return {"events": before[0] - len(self.events), "served": before[1] - len(self.lists)}

    def traces(self, user_id: str) -> dict[str, int]:
        events = sum(each.user_id == user_id for each in self.events)
        return {"events": events, "served": sum(each.user_id == user_id for each in self.lists)}

    def key_rows(self) -> list[KeyRow]:
        return []

    def ping(self) -> None:
        if self.away is not None:
            raise self.away

    def close(self) -> None:
        pass


@dataclass
class FakeWriter:
    store: FakeStore

    async def append(self, events: Sequence[Event]) -> Appended:
        if self.store.away is not None:
            raise self.store.away
        known = {each.event_id for each in self.store.events}
        fresh = {each.event_id: each for each in events if each.event_id not in known}
        self.store.events += fresh.values()
        kept = {each.event_id: each for each in self.store.events}
        differ = (e.event_id for e in events if replace(e, timestamp=0) != replace(kept[e.event_id], timestamp=0))
        return Appended(len(fresh), len(events) - len(fresh), len(self.store.events), tuple(dict.fromkeys(differ)))

    def close(self) -> None:
        pass


@dataclass(frozen=True)
class FakeKnown:
    histories: Histories
    unknown: int = 0
    source: str = "store"


@dataclass
class FakeState:
    store: FakeStore

    def of(self, served: Any, user_id: str, at: int | None = None) -> FakeKnown:
        model = served.recommender
        known = model.histories.take(model.user_vocabulary.encode([user_id]))
        since = [each for each in self.store.events if each.user_id == user_id]
        codes = model.item_vocabulary.encode([each.item_id for each in since])
        stamps = np.array([each.timestamp for each in since], dtype=np.int64)
        histories = Histories(
            np.array([0, len(known.items) + len(codes)]),
            np.concatenate([known.items, codes]),
            np.concatenate([known.timestamps, stamps]),
        )
        return FakeKnown(histories.known(), int((codes == 0).sum()))


@dataclass
class FakeModels:
    active: list[FakeServed]
    behind: list[FakeServed] = field(default_factory=list)
    woken: int = 0

    def choose(self, user_id: str | None = None) -> FakeServed:
        return self.active[sum(map(ord, user_id or "")) % len(self.active)]

    def main(self) -> FakeServed:
        return self.active[0]

    def serving(self) -> tuple[FakeServed, ...]:
        return (*self.active, *self.behind)

    def shadows(self) -> tuple[FakeServed, ...]:
        return tuple(self.behind)

    def all(self) -> list[Any]:
        def info(served: FakeServed, role: str) -> Any:
            row = SimpleNamespace(
                name=served.name, role=role, weight=1.0, created=0, learnt_to_seq=0, path="", source=""
            )
            return SimpleNamespace(row=row, loaded=True, refused=None)

        return [info(each, "active") for each in self.active] + [info(each, "shadow") for each in self.behind]

    def add(self, path: str, name: str | None, role: str, weight: float) -> None:
        artefacts.read(path)

    def activate(self, name: str) -> None:
        self.active = [each for each in self.active if each.name == name]

    def roll_back(self) -> list[str]:
        return [each.name for each in self.active]

    def set_role(self, name: str, role: str, weight: float) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def wake(self) -> None:
        self.woken += 1


def service_of(*recommenders: Recommender, shadows: Sequence[Recommender] = (), **settings: Any) -> Service:
    """A service around recommenders, everything else in memory."""
    store = FakeStore()
    models = FakeModels(
        [FakeServed(f"model-{n}", each) for n, each in enumerate(recommenders, 1)],
        [FakeServed(f"shadow-{n}", each) for n, each in enumerate(shadows, 1)],
    )
    state = FakeState(store)
    read = ServiceConfig.grouped(settings)
    answers = Answers(models, state, store.log_served, config=AnswersConfig(**settings.get("answers", {})))
    parts: dict[str, Any] = {"gate": Gate(), "keys": Keys(store)}  # type: ignore[arg-type]
    return Service(read, **parts, store=store, writer=FakeWriter(store), state=state, models=models, answers=answers)
