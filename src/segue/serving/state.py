"""What is known of a person now: what the model's log had of them, and what the store has got since, as one history.

It is read anew for each request and kept nowhere, so a new process, another replica and this one give the same
answer, and an event counts from its acknowledgement on. While the store does not answer, the history is the model's
own log alone, and says so; users whose erasure this process has read have none. Lists from it are ``answers``'.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import numpy as np
from pydantic import Field

from segue.config import Config
from segue.data.histories import Histories
from segue.errors import StoreUnavailable
from segue.recommenders.base import Recommender
from segue.serving.store import Store, UserEvents
from segue.serving.store.breaker import Breaker
from segue.serving.store.tombstones import Erasure, hash_of

_FURTHER = 4  # doublings, where many events of a person are repeated or about items that the model does not know


class StateConfig(Config):
    """What of a person's past is read."""

    newest: int = Field(500, ge=1)
    """Events of a history at most."""


class Serves(Protocol):
    """A model that answers; ``models.Served`` is one."""

    @property
    def recommender(self) -> Recommender:
        """The fitted recommender."""

    @property
    def created(self) -> int:
        """When it was registered, microseconds since 1970."""


@dataclass(frozen=True)
class Known:
    """A person's history in the codes of one model.

    Attributes:
        user_id: as asked.
        histories: one row: items of the model's catalogue, oldest first; ties in the log's order, then the store's.
        in_log: how many of its events the model's log had.
        unknown: events that were read in the store, and left out because the catalogue lacks their items.
        source: ``"model"`` where the store did not answer and the model's log is all there is.
    """

    user_id: str
    histories: Histories
    in_log: int
    unknown: int = 0
    source: Literal["store", "model"] = "store"

    def __len__(self) -> int:
        return len(self.histories.items)


class State:
    """Reads histories.

    Args:
        store: what happened since.
        newest: events of a history at most.
        without: actions that are left out of it.
        breaker: runs the reads; None: they run as they are.
    """

    def __init__(
        self,
        store: Store,
        newest: int = 500,
        without: Collection[str] = ("impression",),
        breaker: Breaker | None = None,
    ) -> None:
        self._store, self._newest, self._without = store, newest, tuple(without)
        self._breaker = breaker or Breaker(store.address, None)
        self._erased: dict[str, dict[str, int]] = {}  # by the key of the hashes: hash to moment

    def note_erasures(self, erasures: Sequence[Erasure]) -> None:
        """Take erasures that the store has told: a model from before them is no source for these users."""
        for each in erasures:
            self._erased.setdefault(each.key, {})[each.hash] = each.moment

    def of(self, served: Serves, user_id: str, at: int | None = None) -> Known:
        """The newest events of a person, each (item, moment, action, value) once.

        Args:
            served: whose log, catalogue and actions they are read with.
            user_id: as text.
            at: leave out what is later; microseconds UTC, or a number where the log has an order.

        Where the store does not answer, these are the events of the model's log.
        """
        model = served.recommender
        log = _log(model, user_id, at, self._newest)
        if self._erased and self._erased_since(user_id, served.created):
            log = log.take(np.array([0]), 0)
        try:
            return self._with_store(model, log, user_id, at)
        except StoreUnavailable:
            row = log.take(np.array([0]), self._newest)
            return Known(user_id, row, len(row.items), source="model")

    def _erased_since(self, user_id: str, created: int) -> bool:
        """Whether the user was erased after a model of that age was registered."""
        return any(moments.get(hash_of(user_id, key), -1) >= created for key, moments in list(self._erased.items()))

    def _with_store(self, model: Recommender, log: Histories, user_id: str, at: int | None) -> Known:
        # One more than wanted tells whether the oldest that was read is older than all that are kept.
        wanted = self._newest + 1
        for _ in range(_FURTHER + 1):
            events = self._breaker.call(partial(self._store.history, user_id, wanted, at, self._without))
            encoded = _encoded(model, events)
            merged, from_log = _merged(log, encoded)
            if len(events) < wanted or int((_moments(merged) > events.timestamps[0]).sum()) >= self._newest:
                break
            wanted *= 2
        return _newest(user_id, merged, from_log, self._newest, len(events) - len(encoded.items))


def _log(model: Recommender, user_id: str, at: int | None, newest: int) -> Histories:
    """What the model's log has of the person: one row, empty where it does not know them.

    The newest events and all that happened at the moment of the oldest of these: the store may have one of them too.
    """
    row = model.histories.take(np.array([model.user_vocabulary.code_of(user_id)]))
    if at is not None:
        row = row.asked(np.array([at]))
    if row.timestamps is not None and len(row.items) > newest:
        start = int(np.searchsorted(row.timestamps, row.timestamps[-newest]))
        row = row.take(np.array([0]), len(row.items) - start)
    return Histories(row.offsets, row.items, row.timestamps, row.actions, row.values)


def _encoded(model: Recommender, events: UserEvents) -> Histories:
    """The store's events in the columns that the model's log has, without items that it does not know."""
    has = model.histories
    codes = {name: code for code, name in enumerate(model.action_names, start=1)}
    actions = np.array([codes.get(action, 0) for action in events.actions], dtype=np.int64)  # type: ignore[arg-type]
    return Histories(
        np.array([0, len(events)]),
        model.item_vocabulary.encode(events.items),
        events.timestamps if has.timestamps is not None else None,
        actions if has.actions is not None else None,
        events.values if has.values is not None else None,
    ).known()


def _merged(log: Histories, events: Histories) -> tuple[Histories, np.ndarray]:
    """Both in time order, without events of the store that are there already; and which come from the log."""
    items = np.concatenate([log.items, events.items])
    columns = {
        name: None if (first := getattr(log, name)) is None else np.concatenate([first, getattr(events, name)])
        for name in ("timestamps", "actions", "values")
    }
    from_log = np.arange(len(items)) < len(log.items)
    moments = np.where(from_log, -1, 0) if columns["timestamps"] is None else columns["timestamps"]
    compared = columns | {"timestamps": moments}
    again = Histories(np.array([0, len(items)]), items, **compared).repeats() & ~from_log
    order = np.argsort(moments, kind="stable")
    order = order[~again[order]]
    taken = {name: None if column is None else column[order] for name, column in columns.items()}
    return Histories(np.array([0, len(order)]), items[order], **taken), from_log[order]


def _moments(histories: Histories) -> np.ndarray:
    return histories.items * 0 if histories.timestamps is None else histories.timestamps


def _newest(user_id: str, merged: Histories, from_log: np.ndarray, newest: int, unknown: int) -> Known:
    cut = merged.take(np.array([0]), newest)
    return Known(user_id, cut, int(from_log[-newest:].sum()), unknown)
