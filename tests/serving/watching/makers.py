"""Lists, events, models and a whole service, as small as they can be."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl

from segue.data.vocabulary import Vocabulary
from segue.serving.store.rows import ServedList, StoredEvent

HOUR = 3_600_000_000
NOW = 500_000 * 3600.0  # seconds: the beginning of an hour and of no day


class Clock:
    """Time that passes when told."""

    def __init__(self, now: float = NOW) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def shown(name: str, model: str = "a", items: Any = "xyz", at: float = NOW, **more: Any) -> ServedList:
    fields = {"user_id": "u", "shadow": False, "moment": None, "action": None, "scores": [1.0] * len(items)}
    return ServedList(recommendation_id=name, model=model, received=int(at * 1e6), items=list(items), **fields | more)


def event(name: str | None, item: str, action: str | None = "click", seq: int = 1, at: float = NOW) -> StoredEvent:
    moment = int(at * 1e6)
    return StoredEvent(f"e{seq}", "u", item, moment, action, None, name, seq=seq, received=moment)


@dataclass
class Recommender:
    """What drift reads of one."""

    item_vocabulary: Vocabulary
    user_vocabulary: Vocabulary
    item_counts: np.ndarray


def served(name: str, counts: dict[str, int], users: list[str], created: float = NOW) -> Any:
    vocabularies = Vocabulary(pl.Series(list(counts))), Vocabulary(pl.Series(users, dtype=pl.String))
    recommender = Recommender(*vocabularies, np.array([0, *counts.values()]))
    return SimpleNamespace(name=name, recommender=recommender, created=int(created * 1e6))


def answer(model: str, items: Any, score: float = 1.0, user_id: str | None = "u1") -> Any:
    listed = [SimpleNamespace(item_id=item, score=score - place) for place, item in enumerate(items)]
    return SimpleNamespace(model=model, items=listed, user_id=user_id)


@dataclass
class Gate:
    """A gate that says what it is told to."""

    queue: int = 10
    waiting: int = 0
    running: int = 0
    lost: int = 0

    def stats(self) -> Any:
        return SimpleNamespace(waiting=self.waiting, running=self.running, lost=self.lost)


@dataclass
class Follower:
    """A follower that has told what it is told it has."""

    seen: dict[str, int] = field(default_factory=dict)
    call: Any = None

    def subscribe(self, call: Any) -> None:
        self.call = call


def service(store: Any = None, *models: Any, **parts: Any) -> Any:
    shadows = SimpleNamespace(compared={"b": SimpleNamespace(asked=4, failed=1, overlap=2.5)}, dropped=3)
    given = {
        "store": store,
        "gate": Gate(),
        "follower": Follower(),
        "models": SimpleNamespace(serving=lambda: models),
        "writer": SimpleNamespace(lost_lists=4),
        "answers": SimpleNamespace(shadows=shadows, journal=SimpleNamespace(lost=2)),
    }
    return SimpleNamespace(**given | parts)
