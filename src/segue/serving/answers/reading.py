"""A question's history in the codes of the model that will answer: given in the question, or known of the user."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segue.data.histories import UNKNOWN_TIME, Histories
from segue.errors import ActionNotLearnt, ActionUnknown, HistoryMixed, nearest
from segue.serving.answers import moments
from segue.serving.answers.questions import Question

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender

Unsaid = Literal["now", "none"]


@dataclass(frozen=True, slots=True)
class Asked:
    """A question as a recommender takes it.

    Attributes:
        histories: one row.
        at: the moment that is asked about, or None.
        unknown: events that were skipped, for the catalogue lacks their items.
        from_model: the store did not answer, and the model's own log is the history.
    """

    histories: Histories
    at: int | None
    unknown: int
    from_model: bool = False


def asked(question: Question, served: Any, state: Any, unsaid: Unsaid) -> Asked:
    """Read a question.

    Args:
        question: as it came.
        served: who answers.
        state: what is known of users.
        unsaid: what a question without a moment is about, where the log has a clock: now, or no moment at all.

    Raises:
        MomentUnreadable, ActionUnknown, ActionNotLearnt, HistoryMixed.
    """
    model: Recommender = served.recommender
    at = None if question.at is None else moments.read(question.at, model.clock, model.time_zone)
    unknown, from_model = 0, False
    if question.items is not None:
        histories = _given(model, question)
        unknown = int((histories.items == 0).sum())
        histories = histories.known()
    elif question.user_id is not None and state is not None:
        known = state.of(served, str(question.user_id), at)
        histories, unknown, from_model = known.histories, known.unknown, known.source == "model"
    else:
        histories = Histories(np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.int64))
    if at is not None:
        histories = histories.asked(np.array([at]))
    elif unsaid == "now" and model.clock == "time":
        # What has been reported already has happened, whatever the sender's clock says: nothing is left out.
        newest = histories.timestamps.max(initial=0) if histories.timestamps is not None else 0
        at = max(moments.now(), int(newest))
        histories = replace(histories, at=np.array([at]))
    if question.action is not None:
        histories = replace(histories, wanted=np.array([_kind(model, question.action)]))
    return Asked(histories, at, unknown, from_model)


def learnt_of(model: Recommender, codes: np.ndarray) -> bool:
    """Whether the model learnt of any of these items: in training, or by a text that it reads.

    Items that were put since and are known by their number alone say nothing.
    """
    counts = model.item_counts
    if counts[codes[codes < len(counts)]].any():
        return True
    vectors = model.item_vectors(codes) if len(codes) else None
    return vectors is not None and bool(np.any(vectors))


def _given(model: Recommender, question: Question) -> Histories:
    """One row with code 0 where the catalogue lacks an item, in time order where moments are told."""
    assert question.items is not None
    codes = model.item_vocabulary.encode(question.items)
    offsets = np.array([0, len(codes)])
    if question.timestamps is None and question.actions is None and question.values is None:
        return Histories(offsets, codes)
    stamps = _timestamps(model, question.timestamps)
    actions = values = None
    if question.actions is not None and model.action_names:
        kinds = {name: code for code, name in enumerate(model.action_names, start=1)}
        actions = np.array([kinds.get(action or "", 0) for action in question.actions], dtype=np.int64)
    if question.values is not None:
        values = np.array([np.nan if value is None else value for value in question.values], dtype=np.float32)
    if stamps is None:
        return Histories(offsets, codes, None, actions, values)
    order = np.argsort(stamps, kind="stable")

    def ordered(column: np.ndarray | None) -> np.ndarray | None:
        return None if column is None else column[order]

    histories = Histories(offsets, codes[order], stamps[order], ordered(actions), ordered(values))
    # An event that was sent twice is one event, as in training and in the store; unknown items are counted each.
    return histories.keep(~histories.repeats() | (histories.items == 0))


def _timestamps(model: Recommender, given: Sequence[Any] | None) -> np.ndarray | None:
    if given is None:
        return None
    told = sum(each is not None for each in given)
    if not told:
        return None
    if told < len(given):
        raise HistoryMixed(told=told, count=len(given))
    stamps = [moments.read(each, model.clock, model.time_zone) for each in given]
    return np.array(stamps, dtype=np.int64).clip(UNKNOWN_TIME + 1)


def _kind(model: Recommender, action: str) -> int:
    if action not in model.action_names:
        known = ", ".join(model.action_names) or "none"
        raise ActionUnknown(name=action, known=known, hint=nearest(action, model.action_names))
    if model.target is not None and action != model.target:
        raise ActionNotLearnt(name=action, learnt=repr(model.target))
    return model.action_names.index(action) + 1
