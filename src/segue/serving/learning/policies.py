"""From the store's lists and events to ``estimates.Views``: who saw what and took what, and what another model shows.

The other model answers each question as it was asked then: with the person's history up to that moment. Filters of a
question are not in the log: where they were used, the other model is asked without them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np

from segue.recommenders import kinds
from segue.recommenders.base import Recommender
from segue.serving.answers.exploration import ExploreConfig, Explorer, likelihood
from segue.serving.learning.estimates import Views
from segue.serving.store.rows import ServedList, StoredEvent

_PAGE = 10_000


class Log(Protocol):
    """What is read of the store."""

    def events_after(self, seq: int, limit: int = _PAGE) -> list[StoredEvent]:
        """Events in order."""

    def served_after(self, seq: int, limit: int = _PAGE) -> list[tuple[int, ServedList]]:
        """Lists in order, each with its number."""


class State(Protocol):
    """What was known of a person at a moment."""

    def of(self, served: Any, user_id: str, at: int | None = None) -> Any:
        """An object with ``histories``, one row in the codes of the model."""


def views_of(
    store: Log,
    state: State,
    recommender: Recommender,
    policy: ExploreConfig | None = None,
    *,
    shown: Collection[str] = ("impression",),
) -> tuple[Views, list[str]]:
    """Views of all lists that were shown, and notes on those left out.

    Args:
        store: lists and events.
        state: histories; ``serving.state.State``.
        recommender: the other model.
        policy: how it would draw its lists; None: its best items as they are.
        shown: actions that say that an item was shown, not taken. A list with such events was seen as far as they say;
            any other, where the store has none at all, as a whole.
    """
    policy = policy or ExploreConfig(method="epsilon", share=0.0)
    explorer, served = Explorer(policy), SimpleNamespace(recommender=recommender)
    taken, seen = _named(store, shown)
    columns: list[tuple[Any, ...]] = []
    people: dict[str, int] = {}
    reasons = (
        "without propensities, so deterministic,",
        "asked with a history of their own",
        "without a moment",
        "not seen by anyone",
    )
    left_out = dict.fromkeys(reasons, 0)
    for number, row in enumerate(_lists(store)):
        if row.propensities is None:
            left_out["without propensities, so deterministic,"] += 1
        elif row.user_id is None:
            left_out["asked with a history of their own"] += 1
        elif row.moment is None and recommender.clock == "order":
            left_out["without a moment"] += 1
        elif seen and row.recommendation_id not in seen and row.recommendation_id not in taken:
            left_out["not seen by anyone"] += 1
        else:
            clicked = taken.get(row.recommendation_id, set())
            looked = seen.get(row.recommendation_id, set()) | clicked if seen else set(row.items)
            likely = _likelihood(explorer, served, state, row)
            owner = people.setdefault(row.user_id, len(people))
            # Down to the last place that was looked at: places above it were passed.
            depth = max((place for place, item in enumerate(row.items, start=1) if item in looked), default=0)
            for place in range(depth):
                columns.append(
                    (number, place, owner, row.items[place] in clicked, row.propensities[place], likely[place])
                )
    table = np.array(columns, dtype=np.float64).reshape(-1, 6)
    numbers = table[:, :3].astype(np.int64)
    notes = [f"{count:,} lists {why} were left out." for why, count in left_out.items() if count]
    return Views(numbers[:, 0], numbers[:, 1], numbers[:, 2], table[:, 3], table[:, 4], table[:, 5]), notes


def _likelihood(explorer: Explorer, served: Any, state: State, row: ServedList) -> np.ndarray:
    """How likely the other policy would have put each item where it stood."""
    recommender: Recommender = served.recommender
    at = row.received if row.moment is None and recommender.clock == "time" else row.moment
    histories = state.of(served, str(row.user_id), at).histories
    scores = recommender.score_codes(histories)[0]
    scores[0] = -np.inf
    scores[kinds.seen(histories, recommender.exclude_seen).items] = -np.inf
    codes = recommender.item_vocabulary.encode(row.items)
    return likelihood(codes, explorer.draw(served, scores, len(codes)))


def _named(store: Log, shown: Collection[str]) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Items taken, and items told to have been shown, by the list that events name."""
    taken: dict[str, set[str]] = {}
    seen: dict[str, set[str]] = {}
    after = 0
    while events := store.events_after(after, _PAGE):
        after = events[-1].seq
        for event in events:
            if event.recommendation_id is not None:
                side = seen if event.action in shown else taken
                side.setdefault(event.recommendation_id, set()).add(event.item_id)
    return taken, seen


def _lists(store: Log) -> Iterator[ServedList]:
    """Lists that were shown, shadows' left out."""
    after = 0
    while rows := store.served_after(after, _PAGE):
        after = rows[-1][0]
        yield from (row for _, row in rows if not row.shadow)
