"""What goes into the store and comes out of it.

Moments are int64 microseconds UTC, or numbers of the log's own where it has an order alone. Ids are text; which type
they have in a catalogue is ``state``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Event:
    """Something a person did.

    Attributes:
        event_id: chosen by the sender; the same id is stored once, however often it comes.
        user_id, item_id: external ids as text.
        timestamp: when it happened.
        action: what was done; None where it is not said.
        value: a rating, a price, a number of pieces; None where there is none.
        recommendation_id: the list that it answers, if any.
        dated: whether the sender said when; a moment that the service made is none to compare by.
    """

    event_id: str
    user_id: str
    item_id: str
    timestamp: int
    action: str | None = None
    value: float | None = None
    recommendation_id: str | None = None
    dated: bool = field(default=True, kw_only=True)


@dataclass(frozen=True, slots=True)
class StoredEvent(Event):
    """An event with its place in the store.

    Attributes:
        seq: grows with each commit; later commits have greater numbers, and there may be gaps.
        received: when it was stored.
    """

    seq: int = 0
    received: int = 0


@dataclass(frozen=True, slots=True)
class Appended:
    """What became of a batch.

    Attributes:
        stored: events that are new.
        known: events whose id was there already.
        seq: the newest number of the store after the commit.
        conflicts: ids among those known under which something else is stored; that stays.
    """

    stored: int
    known: int
    seq: int
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True)
class UserEvents:
    """One user's events in time order; ties are in the order of the store.

    Attributes:
        items, actions: as sent, one per event.
        timestamps: int64, one per event.
        values: float32, NaN where there is none.
    """

    items: list[str]
    timestamps: np.ndarray
    actions: list[str | None]
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True)
class ServedList:
    """A list that was shown, or that a shadow model would have shown.

    Attributes:
        recommendation_id: names the list; a shadow's has the id of the one that was shown.
        user_id: None where anyone asked with a history of their own.
        model: which model answered.
        shadow: it was not shown.
        moment: the moment asked about, None where that was not said.
        received: when it was asked for.
        action: the kind of action asked for.
        items, scores: best first.
        propensities: how likely each item was at its place, where chance had a say.
    """

    recommendation_id: str
    user_id: str | None
    model: str
    shadow: bool
    moment: int | None
    received: int
    action: str | None
    items: list[str]
    scores: list[float]
    propensities: list[float] | None = None


@dataclass(frozen=True)
class ModelRow:
    """A model that may serve. ``generation`` is the change of the table in which the row took its present form."""

    name: str
    path: str
    source: str
    role: str
    weight: float
    created: int
    learnt_to_seq: int = 0
    document: dict[str, Any] = field(default_factory=dict)
    generation: int = 0


@dataclass(frozen=True)
class KeyRow:
    """An API key: never the secret, only its hash.

    Attributes:
        key_id: public; the key is listed and revoked by it.
        hash: SHA-256 of the whole key.
        scopes: what it opens.
        created, expires: microseconds since 1970; None for one that does not expire.
        rate: requests a second; None: no limit.
        concurrency: requests in flight at once; None: the service's default.
    """

    key_id: str
    hash: str
    scopes: list[str]
    created: int
    expires: int | None = None
    rate: float | None = None
    concurrency: int | None = None
