"""From stored events, in commit order, to examples for one model; no wall clock, no state but what events say.

Events go in fixed batches counted from the first, so that it does not matter in what portions they arrive. A history
grows by an event after the model was asked about it. A list that was served is opened by the first event that names it
and closed ``window`` events later: what was shown by then and not taken is a negative, weighted by the chance that its
position was looked at. A list that nobody named teaches nothing, for nobody says that it was seen. An item of an event
without a list is a positive against a few that are drawn from the whole catalogue by the event's id. Only the catalogue
of the artefact takes part: items that came later wait for the next update. What is held is bounded: the newest events
of the people who acted last, the lists of a window, and the names of those judged in the last few.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from segue.config import Config
from segue.data.histories import Histories
from segue.recommenders.base import Recommender
from segue.serving.draws import uniforms
from segue.serving.learning.head import ItemSpace
from segue.serving.learning.steps import LISTED, TAKEN, Examples, Weights
from segue.serving.store.rows import ServedList, StoredEvent

_POOL = 100  # of the model's best items: where the scores are standardised
_WINDOWS = 10  # a list that was judged is known as such for so many windows; named later still, it is opened anew


class FeedbackConfig(Config):
    """How events become examples."""

    batch: int = Field(32, ge=1, le=10_000)
    """So many events are learnt from together, and wait for each other."""
    window: int = Field(500, ge=1)
    """A list is judged so many events after the first that names it."""
    negatives: int = Field(4, ge=1, le=_POOL)
    """Drawn for each item taken without a list."""
    examination: float = Field(1.0, ge=0, le=3)
    """A position p is looked at with a chance of p to the power of minus this."""
    history: int = Field(100, ge=1)
    """So many of a person's newest events are read."""
    people: int = Field(20_000, ge=1)
    """So many people's newest events are held; one who has not acted for longest begins again as the artefact knew
    them."""
    share: float = Field(1.0, gt=0, le=1)
    """The share of people, by a hash of their id, whose events are learnt from: what scoring each event would cost."""
    impressions: tuple[str, ...] = ("impression",)
    """Actions that say that an item was shown, not that it was taken."""


_Act = tuple[int, int, int, float]
"""One event of a person in the model's codes: item, timestamp, action, value."""
FindList = Callable[[str], ServedList | None]


@dataclass
class _Open:
    """A list that waits for its verdict; ``scores`` and ``inputs`` are those of when it was opened."""

    closes: int
    codes: np.ndarray
    scores: np.ndarray
    inputs: np.ndarray
    shown: set[int] = field(default_factory=set)
    taken: set[int] = field(default_factory=set)


class Feedback:
    """Turns the events of one model's time into examples.

    Args:
        recommender: as its artefact holds it; its scores are read, nothing is changed.
        find_list: the store's list of a recommendation id, or None.
    """

    def __init__(self, recommender: Recommender, config: FeedbackConfig, find_list: FindList) -> None:
        self.config, self.find_list = config, find_list
        self._recommender = recommender
        self.items = len(recommender.item_vocabulary)
        self._codes = {str(name): code for code, name in enumerate(recommender.item_vocabulary.ids.to_list(), start=1)}
        self._users = {str(name): code for code, name in enumerate(recommender.user_vocabulary.ids.to_list(), start=1)}
        self._trails: OrderedDict[str, deque[_Act]] = OrderedDict()  # who acted last is last
        self._open: dict[str, _Open] = {}
        self._closed: dict[str, int] = {}  # when each was judged, oldest first
        self._events = 0
        self.spread = self._spread_of()
        self.space = ItemSpace.of(recommender)
        width = 0 if self.space is None else self.space.width
        self.vectors = np.zeros((self.items + 1, 0), np.float32) if self.space is None else self.space.vectors
        self._nothing = np.zeros((0, width), dtype=np.float32)

    def forget(self, user_id: str) -> None:
        """Drop the history of a person."""
        self._trails.pop(user_id, None)

    def inputs(self, histories: Histories) -> np.ndarray:
        """(rows, d) of the head; d is 0 where the model has no item vectors."""
        return np.zeros((len(histories), 0), np.float32) if self.space is None else self.space.inputs(histories)

    def examples(self, events: Sequence[StoredEvent], weights: Weights) -> Examples:
        """What one batch teaches; ``weights`` are only tested with, they change no example.

        Where a list cannot be looked up, the error passes through and nothing has changed: the batch can be asked for
        again.
        """
        lists = self._lists_of(events)
        made = _Made(inputs=[self._nothing])
        while self._open and next(iter(self._open.values())).closes <= self._events:
            name = next(iter(self._open))
            self._judge(self._open.pop(name), made)
            self._closed[name] = self._events
        while self._closed and next(iter(self._closed.values())) <= self._events - _WINDOWS * self.config.window:
            del self._closed[next(iter(self._closed))]
        self._events += len(events)
        asked: list[tuple[StoredEvent, int]] = []
        rows: list[list[_Act]] = []
        for event in events:
            code = self._codes.get(event.item_id, 0)
            if not code or not self._followed(event.user_id):
                continue
            trail = self._trail(event.user_id)
            asked.append((event, code))
            rows.append(list(trail))
            if event.action not in self.config.impressions:
                value = float("nan") if event.value is None else event.value
                trail.append((code, event.timestamp, self._action(event.action), value))
        if asked:
            self._ask(asked, self._histories(rows), lists, weights, made)
        return made.examples()

    def _lists_of(self, events: Sequence[StoredEvent]) -> dict[str, ServedList | None]:
        """The lists that events name and that are not known here, from the store."""
        learnt = (event for event in events if event.item_id in self._codes and self._followed(event.user_id))
        return {
            name: self.find_list(name)
            for name in dict.fromkeys(event.recommendation_id for event in learnt)
            if name is not None and name not in self._open and name not in self._closed
        }

    def _ask(
        self,
        asked: list[tuple[StoredEvent, int]],
        histories: Histories,
        lists: Mapping[str, ServedList | None],
        weights: Weights,
        made: _Made,
    ) -> None:
        scores = _standard(self._recommender.score_codes(histories), self.spread)
        inputs = self.inputs(histories)
        codes = np.array([code for _, code in asked])
        tested = np.array([event.action not in self.config.impressions for event, _ in asked])
        moved = scores + weights.bias
        if weights.head.learns:
            moved += weights.head.states(inputs) @ self.vectors.T
        places = _places(moved, scores, codes, histories, self._recommender.exclude_seen)
        made.places.append(np.where(tested[:, None], places, np.nan))
        for row, (event, code) in enumerate(asked):
            listed = self._list_of(event, lists, scores[row], inputs[row])
            if event.action in self.config.impressions:
                if listed is not None:
                    listed.shown.add(code)
                continue
            if listed is not None and code in listed.codes:
                listed.taken.add(code)
                drawn = codes[:0]
            else:
                drawn = 1 + (uniforms(event.event_id, self.config.negatives) * self.items).astype(np.int64)
                drawn = drawn[(drawn != code) & ~np.isin(drawn, histories.row(row))]
            labels = np.zeros(1 + len(drawn))
            labels[0] = 1
            taken = np.concatenate([[code], drawn])
            kind = TAKEN if len(drawn) or listed is None else LISTED
            made.add(taken, scores[row][taken], labels, np.ones(len(taken)), kind, inputs[row])

    def _list_of(
        self,
        event: StoredEvent,
        lists: Mapping[str, ServedList | None],
        standard: np.ndarray,
        inputs: np.ndarray,
    ) -> _Open | None:
        """The open list that an event names; opened here where it is the first to do so."""
        name = event.recommendation_id
        if name is None or name in self._closed:
            return None
        if name not in self._open and (served := lists.get(name)) is not None:
            codes = np.array([self._codes.get(item, 0) for item in served.items], dtype=np.int64)
            self._open[name] = _Open(self._events + self.config.window, codes, standard[codes], inputs)
        return self._open.get(name)

    def _judge(self, served: _Open, made: _Made) -> None:
        """Negatives of a list: shown (all of it, where no impression is told) and not taken."""
        position = np.arange(1, len(served.codes) + 1, dtype=np.float64)
        kept = ~np.isin(served.codes, list(served.taken))
        if served.shown:
            kept &= np.isin(served.codes, list(served.shown))
        looked = position**-self.config.examination
        nothing = np.zeros(int(kept.sum()))
        made.add(served.codes[kept], served.scores[kept], nothing, looked[kept], LISTED, served.inputs)

    def _followed(self, user: str) -> bool:
        return self.config.share >= 1 or bool(uniforms(user, 1)[0] < self.config.share)

    def _trail(self, user: str) -> deque[_Act]:
        """The newest of what a person has done, in the order of the store; at first what the artefact knows."""
        if (trail := self._trails.get(user)) is None:
            known = self._recommender.histories.take(np.array([self._users.get(user, 0)]), last=self.config.history)
            nothing = [0] * len(known.items)
            columns = (
                known.items.tolist(),
                nothing if known.timestamps is None else known.timestamps.tolist(),
                nothing if known.actions is None else known.actions.tolist(),
                [float("nan")] * len(nothing) if known.values is None else known.values.tolist(),
            )
            trail = self._trails[user] = deque(zip(*columns, strict=True), maxlen=self.config.history)
            if len(self._trails) > self.config.people:
                self._trails.popitem(last=False)
        self._trails.move_to_end(user)
        return trail

    def _action(self, name: str | None) -> int:
        names = self._recommender.action_names
        return names.index(name) + 1 if name in names else 0

    def _histories(self, rows: Sequence[Sequence[_Act]]) -> Histories:
        """Rows in time order, ties in the order of the store, with the columns that the artefact has."""
        known = self._recommender.histories
        owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
        columns = [np.array([act[place] for row in rows for act in row]) for place in range(4)]
        order = np.lexsort((columns[1], owner)) if len(owner) else owner
        items, timestamps, actions = (column[order].astype(np.int64) for column in columns[:3])
        return Histories.from_rows(
            owner,
            items,
            len(rows),
            timestamps=None if known.timestamps is None else timestamps,
            actions=None if known.actions is None else actions,
            values=None if known.values is None else columns[3][order].astype(np.float32),
        )

    def _spread_of(self) -> float:
        """The usual standard deviation of the scores of the best items, over people of the artefact."""
        histories = self._recommender.histories
        known = np.flatnonzero(histories.lengths > 0)[:256]
        sample = histories.take(known if len(known) else np.array([0]), last=self.config.history)
        scores = self._recommender.score_codes(sample)
        scores[:, 0] = -np.inf
        spreads = [float(row[np.isfinite(row)].std()) for row in _best(scores)[1]]
        return float(np.median(spreads)) or 1.0


@dataclass
class _Made:
    """Examples under way."""

    parts: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    inputs: list[np.ndarray] = field(default_factory=list)

    def add(
        self,
        codes: np.ndarray,
        scores: np.ndarray,
        labels: np.ndarray,
        weights: np.ndarray,
        kind: int,
        inputs: np.ndarray,
    ) -> None:
        """One event or list with the standardised scores of its items; what cannot be ranked is left out."""
        kept = (codes > 0) & np.isfinite(scores)
        if kept.any():
            group, kinds_ = np.full(kept.sum(), len(self.parts)), np.full(kept.sum(), kind)
            self.parts.append((codes[kept], scores[kept], labels[kept], weights[kept], kinds_, group))
            self.inputs.append(inputs[None])

    def examples(self) -> Examples:
        columns = [np.concatenate(each) for each in zip(*self.parts, strict=True)] or [np.zeros(0)] * 6
        types = (np.int64, np.float32, np.float32, np.float32, np.int64, np.int64)
        typed = [column.astype(kind) for column, kind in zip(columns, types, strict=True)]
        codes, scores, labels, weights, kinds, groups = typed
        places = np.concatenate([np.zeros((0, 2)), *self.places]).astype(np.float32)
        inputs = np.concatenate(self.inputs)
        return Examples(codes, scores, labels, weights, kinds, groups, groups, inputs, places)


def _best(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and scores of the best items of each row, in no order."""
    size = min(_POOL, scores.shape[1] - 1)
    pool = np.argpartition(scores, -size, axis=1)[:, -size:]
    return pool, np.take_along_axis(scores, pool, axis=1)


def _standard(scores: np.ndarray, spread: float) -> np.ndarray:
    """Scores as spreads from the mean of the row's best items, float32; minus infinity stays."""
    scores[:, 0] = -np.inf
    _, best = _best(scores)
    finite = np.isfinite(best)
    centre = np.where(finite, best, 0).sum(1) / np.maximum(finite.sum(1), 1)
    standard: np.ndarray = ((scores - centre[:, None]) / np.float32(spread)).astype(np.float32)
    return standard


def _places(
    moved: np.ndarray, frozen: np.ndarray, codes: np.ndarray, histories: Histories, exclude_seen: bool
) -> np.ndarray:
    """(rows, 2): the place of each of ``codes``, from 0, in the two lists; NaN where it may not be listed."""
    rows = np.arange(len(codes))
    found = []
    for total in (moved, frozen.copy()):
        if exclude_seen:
            total[histories.rows(), histories.items] = -np.inf
        own = total[rows, codes][:, None]
        # Ties count half, so that a bias gains nothing by breaking them.
        place = (total > own).sum(1) + ((total == own).sum(1) - 1) / 2
        found.append(np.where(np.isfinite(own[:, 0]), place, np.nan))
    return np.stack(found, 1)
