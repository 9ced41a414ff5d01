"""What can be asked and what is answered, in external ids and plain values; neither HTTP nor codes.

Ids are text or whole numbers. Moments are microseconds since 1970 in UTC, or numbers where the model's log knows an
order alone (see ``moments``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from segue.recommenders.explanations import Reason

Id = str | int


@dataclass(frozen=True, slots=True)
class Filters:
    """Which items may be listed.

    Attributes:
        categories: any of these; empty: whichever.
        price_min, price_max: bounds, both included; an item whose price is not known is outside of any.
        in_stock: True: what is known to be in stock; False: what is not.
        exclude: never these; ids that the catalogue has not exclude nothing.
    """

    categories: tuple[str, ...] = ()
    price_min: float | None = None
    price_max: float | None = None
    in_stock: bool | None = None
    exclude: tuple[Id, ...] = ()


@dataclass(frozen=True, slots=True)
class Question:
    """A request for a ranked list.

    Attributes:
        user_id: who asks; None: anyone.
        items: a history, oldest first; None: what is known of the user.
        timestamps: one for each item, as ``moments.read`` takes them; then the order given does not count.
        actions, values: one for each item, None where there is none.
        at: the moment that is asked about; later events are not read.
        action: what the items are wanted for.
        k: length of the list; shorter only where nothing else may be listed.
        exclude_seen: leave out items of the history; None: as suits the log.
        diversity: from 0, the best items, to 1, items that are least alike.
        explain: whether each item comes with reasons.
        explore: whether exploration may take part, where it is switched on.
        received: when it was asked; whoever is erased later is not named by what it leaves.
    """

    user_id: Id | None = None
    items: Sequence[Id] | None = None
    timestamps: Sequence[Any] | None = None
    actions: Sequence[str | None] | None = None
    values: Sequence[float | None] | None = None
    at: Any = None
    action: str | None = None
    k: int = 10
    exclude_seen: bool | None = None
    filters: Filters = field(default_factory=Filters)
    diversity: float = 0.0
    explain: bool = False
    explore: bool = True
    received: int = field(default_factory=lambda: time.time_ns() // 1_000, compare=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """An item at its place; ``propensity`` is how likely it was to stand there, where exploration took part."""

    item_id: Id
    score: float
    rank: int
    title: str | None = None
    reasons: tuple[Reason, ...] | None = None
    propensity: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A ranked list.

    Attributes:
        recommendation_id: events that name it tell what became of the list.
        model: which model answered.
        user_id: who asked.
        at: the moment that was answered about; None: none.
        clock: what ``at`` counts, ``"time"`` or ``"order"``.
        items: best first.
        history_length: events that were read, of items in the catalogue.
        unknown_items: events that were skipped, for the catalogue lacks their items.
        cold: nothing was known of who asked: no event was of an item that the model has learnt of.
        history_source: ``"model"`` where the store did not answer and the history is that of the model's own log.
        explained: how many items have reasons, where fewer than all were explained.
    """

    recommendation_id: str
    model: str
    user_id: Id | None
    at: int | None
    clock: str
    items: list[Listed]
    history_length: int
    unknown_items: int
    cold: bool
    history_source: str | None = None
    explained: int | None = None
