"""Questions about single items: whose history, at which moment, which item, and what the answer was.

Where the answer is whether an item comes next, only the yes is in the log; ``draw_by_popularity`` gives the no. Asking
a model is left to recommenders, and judging its answers to ``evaluation``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout

Answer = Literal["next", "action", "rating"]
_TRIES = 20


@dataclass(frozen=True)
class Questions:
    """One row per question.

    Attributes:
        contexts: what was known when it was asked; ``at`` is its moment.
        items: (rows,) the codes asked about.
        answers: (rows,) float32: 1 for yes and 0 for no, or a rating; None where all are yes.
        kinds: (rows,) codes of what was done with the item, 0 where the log does not say.
        users: (rows,) whose events they are, where both context and answer are in the log that is learnt from.
    """

    contexts: Histories
    items: np.ndarray
    answers: np.ndarray | None
    kinds: np.ndarray
    users: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.items)

    def take(self, rows: np.ndarray) -> Questions:
        """Some of them, in the order given."""
        answers = None if self.answers is None else self.answers[rows]
        users = None if self.users is None else self.users[rows]
        return Questions(self.contexts.take(rows), self.items[rows], answers, self.kinds[rows], users)

    def offered(self, item_counts: np.ndarray, seed: int) -> np.ndarray:
        """(rows, 1 or 2) codes to ask about: the item, and one drawn by popularity where only the yes is known.

        Where there is no other item that is the same again.
        """
        items = self.items[:, None]
        if self.answers is not None:
            return items
        others = draw_by_popularity(item_counts, self.items, 1, np.random.default_rng(seed))
        return np.concatenate([items, np.where(others > 0, others, items)], axis=1)

    def truth(self, items: np.ndarray) -> np.ndarray:
        """(rows, n) whether the answer about each of the (rows, n) codes offered is yes."""
        if self.answers is not None:
            return np.broadcast_to(self.answers[:, None] > 0, items.shape)
        return np.asarray(items == self.items[:, None])


def of_training(data: Dataset, answer: Answer, target: int = 0, last: int = 50) -> Questions:
    """Every event that has another before it, asked about with what came before.

    Args:
        answer: ``"next"`` asks whether it comes (yes, always), ``"action"`` whether what is done is ``target``, and
            ``"rating"`` which value it has; events without one are left out.
        target: the code of a kind of action; with ``"next"`` other events are left out. 0 is any.
        last: events of a context that are kept.
    """
    known = data.histories
    first = np.repeat(known.offsets[:-1], known.lengths)
    events = np.flatnonzero(np.arange(len(known.items)) > first)
    events = events[_asked_about(known, events, answer, target)]
    starts = first[events]
    # A context is a piece of the flat arrays: from the row's beginning, or ``last`` events back, to the event.
    begins = np.maximum(starts, events - last)
    offsets = np.concatenate([[0], np.cumsum(events - begins)])
    index = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], events - begins)
    contexts = replace(
        Histories(offsets, known.items[index]),
        timestamps=_part(known.timestamps, index),
        actions=_part(known.actions, index),
        values=_part(known.values, index),
        at=_part(known.timestamps, events),
    )
    return replace(_questions(contexts, known, events, answer, target), users=known.rows()[events])


def of_holdout(holdout: Holdout, answer: Answer, target: int = 0) -> Questions:
    """Every target of a holdout, asked about at the moment of its user's first one; as :func:`of_training`."""
    targets = holdout.targets.histories
    events = np.arange(len(targets.items))
    events = events[_asked_about(targets, events, answer, target)]
    asked = holdout.asked()
    place = np.searchsorted(holdout.users, targets.rows()[events])
    return _questions(asked.take(place), targets, events, answer, target)


def draw_by_popularity(item_counts: np.ndarray, items: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(rows, count) codes drawn by popularity, none of them the row's own item; 0 where there is no other.

    Args:
        item_counts: (catalogue + 1,) events per code; where there are none at all every item is as likely.
        items: (rows,) the items that are not to be drawn.
    """
    weights = np.asarray(item_counts, dtype=np.float64).copy()
    weights[0] = 0.0
    if not weights.any():
        weights[1:] = 1.0
    cumulative = np.cumsum(weights) / weights.sum()
    own = np.broadcast_to(items[:, None], (len(items), count))
    drawn = np.searchsorted(cumulative, rng.random(own.shape), side="right")
    for _ in range(_TRIES):
        same = drawn == own
        if not same.any():
            return drawn
        drawn[same] = np.searchsorted(cumulative, rng.random(int(same.sum())), side="right")
    return np.where(drawn == own, 0, drawn)


def _asked_about(known: Histories, events: np.ndarray, answer: Answer, target: int) -> np.ndarray:
    """Which of some events are asked about."""
    if answer == "rating":
        assert known.values is not None
        return np.asarray(~np.isnan(known.values[events]))
    if answer == "next" and target:
        assert known.actions is not None
        return np.asarray(known.actions[events] == target)
    return np.ones(len(events), dtype=bool)


def _questions(contexts: Histories, known: Histories, events: np.ndarray, answer: Answer, target: int) -> Questions:
    kinds = np.zeros(len(events), dtype=np.int64) if known.actions is None else known.actions[events]
    answers = None
    if answer == "rating":
        assert known.values is not None
        answers = known.values[events].astype(np.float32)
    elif answer == "action":
        answers = (kinds == target).astype(np.float32)
    return Questions(contexts, known.items[events], answers, kinds)


def _part(column: np.ndarray | None, index: np.ndarray) -> np.ndarray | None:
    return None if column is None else column[index]
