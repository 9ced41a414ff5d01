"""Learning between updates: item biases and a small head follow the events of the store, a little and for a while.

For each model that serves, ``Online`` turns the events after the model's ``learnt_to`` into examples (``feedback``) and
makes one bounded step for each batch of them (``steps``). What it has learnt is a pure function of the artefact, of the
store's events and lists in order, and of what an operator did (``reset``, ``undo``): built again, it is the same to the
bit on the same machine and versions. Each event is tested on before it is learnt from; where the biased model loses to
the frozen one, online mode switches itself off and says so. Histories, and with them what a person has just done, count
in the next answer with or without it. Training on new events is left to updates.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np
from pydantic import Field

from segue.config import Config
from segue.data.histories import Histories
from segue.errors import NothingToUndo, OnlineUnknown
from segue.recommenders.base import Recommender
from segue.serving.learning.feedback import Feedback, FeedbackConfig, FindList
from segue.serving.learning.steps import StepConfig, Weights, learn
from segue.serving.store.rows import StoredEvent

Alert = Callable[[str, str], None]


class OnlineConfig(Config):
    """Settings of online mode."""

    on: bool = False
    """Whether biases are learnt and added to scores."""
    settle: float = Field(1.0, ge=0)
    """An event waits so many seconds in the store before it is learnt from, so that the list that it names is there,
    which is written behind the answer. It says when something is learnt, not what."""
    journal: int = Field(8, ge=0, le=1_000)
    """So many of the newest batches can be undone."""
    step: StepConfig = StepConfig()
    """How far it may go."""
    feedback: FeedbackConfig = FeedbackConfig()
    """What it learns from."""


class ServedModel(Protocol):
    """What is read of a model that serves."""

    @property
    def name(self) -> str:
        """What it is asked by."""

    @property
    def recommender(self) -> Recommender:
        """As its artefact holds it."""

    @property
    def learnt_to(self) -> int:
        """The newest event of the store that it was trained on."""


@dataclass(frozen=True)
class Acts:
    """What operators did, which no event tells: with it a rebuild goes the same way.

    Attributes:
        since: learning began anew after this sequence number (``reset``).
        left_out: numbers of batches that were undone, counted from the artefact's first.
    """

    since: int = -1
    left_out: frozenset[int] = frozenset()


@dataclass
class _Learner:
    """One model's side: weights, the way back, and the events that wait for their batch."""

    feedback: Feedback
    seq: int
    acts: Acts
    weights: Weights
    journal: deque[tuple[int, Weights]]
    waiting: list[StoredEvent] = field(default_factory=list)
    batches: int = 0
    biases: np.ndarray | None = None


class Online:
    """Online mode of all models that serve.

    Subscribe :meth:`feed` to the follower of the store; call :meth:`adopt` for a model before it answers. Reading
    :meth:`biases` takes no lock: arrays are never changed, only replaced.

    Args:
        config: its settings; where it is not ``on``, everything here does nothing.
        find_list: the store's served list of a recommendation id, or None.
        alert: told a name (``"online_worse"``) and a sentence when online mode gives up on a model.
    """

    def __init__(self, config: OnlineConfig, find_list: FindList, alert: Alert | None = None) -> None:
        self.config = config
        self._find_list, self._alert = find_list, alert
        self._learners: dict[str, _Learner] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Learn also from events that settle while no others come."""
        self._ended.clear()
        self._thread = threading.Thread(target=self._settle, name="segue-online", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End that; what was learnt stays."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _settle(self) -> None:
        while not self._ended.wait(max(self.config.settle, 0.1)):
            self.feed([])

    def adopt(
        self,
        model: ServedModel,
        events_after: Callable[[int], Sequence[StoredEvent]] | None = None,
        acts: Acts | None = None,
    ) -> None:
        """Begin with a model, or begin again: what the store holds since its ``learnt_to`` is learnt first.

        Args:
            model: its recommender as the artefact holds it.
            events_after: ``Store.events_after``: the next events after a sequence number, empty at the end.
            acts: as :meth:`acts` told them before a restart.
        """
        if not self.config.on:
            return
        settings, acts = self.config, acts or Acts()
        feedback = Feedback(model.recommender, settings.feedback, self._find_list)
        fresh = Weights.fresh(feedback.items, feedback.vectors.shape[1], settings.step)
        learner = _Learner(feedback, model.learnt_to, acts, fresh, deque(maxlen=settings.journal))
        # The bulk is learnt without the lock; what came meanwhile, under it.
        while events_after is not None and (events := events_after(learner.seq)):
            self._take(model.name, learner, events)
        with self._lock:
            while events_after is not None and (events := events_after(learner.seq)):
                self._take(model.name, learner, events)
            self._learners[model.name] = learner

    def drop(self, name: str) -> None:
        """Forget a model that serves no more."""
        with self._lock:
            self._learners.pop(name, None)

    def feed(self, events: Sequence[StoredEvent]) -> None:
        """Learn from new events in the order of the store; those known already are left out."""
        with self._lock:
            for name, learner in self._learners.items():
                self._take(name, learner, events)

    def biases(self, name: str) -> np.ndarray | None:
        """What is added to a model's scores: (catalogue + 1,) float32 that cannot be written, or None for nothing.

        The catalogue is that of the artefact; items added since have codes beyond it and no bias.
        """
        learner = self._learners.get(name)
        return None if learner is None else learner.biases

    def correction(self, name: str, histories: Histories) -> np.ndarray | None:
        """What is added to a model's scores for one history: :meth:`biases`, and the head's part where there is one."""
        learner = self._learners.get(name)
        if learner is None or (biases := learner.biases) is None:
            return None
        head, feedback = learner.weights.head, learner.feedback
        if not head.learns:
            return biases
        newest = histories.items[-5:]
        known = Histories(np.array([0, len(newest)]), np.where(newest < len(biases), newest, 0))
        states = head.states(feedback.inputs(known))[0] * np.float32(feedback.spread)
        return np.asarray(biases + feedback.vectors @ states)

    def reset(self, name: str) -> None:
        """Back to the frozen model, and learn anew from the next event on; a model switched off is on again."""
        with self._lock:
            learner = self._of(name)
            learner.acts = Acts(since=learner.seq)
            feedback = learner.feedback
            learner.weights = Weights.fresh(feedback.items, feedback.vectors.shape[1], self.config.step)
            learner.journal.clear()
            _publish(learner)

    def undo(self, name: str, batches: int = 1) -> None:
        """Take back what the newest batches taught. Raises ``NothingToUndo`` past the journal, ``OnlineUnknown``."""
        with self._lock:
            learner = self._of(name)
            if not 1 <= batches <= len(learner.journal):
                raise NothingToUndo(asked=batches, kept=len(learner.journal))
            undone = [learner.journal.pop() for _ in range(batches)]
            numbers = frozenset(number for number, _ in undone)
            learner.acts = Acts(learner.acts.since, learner.acts.left_out | numbers)
            learner.weights = undone[-1][1]
            _publish(learner)

    def forget(self, user_id: str) -> None:
        """Drop what is held of a person. What they taught fades; :meth:`adopt` builds a state that never knew them."""
        with self._lock:
            for learner in self._learners.values():
                learner.feedback.forget(user_id)
                learner.waiting = [event for event in learner.waiting if event.user_id != user_id]

    def people(self) -> set[str]:
        """Who is known here by id."""
        with self._lock:
            learners = list(self._learners.values())
            waiting = {event.user_id for learner in learners for event in learner.waiting}
            return waiting.union(*(learner.feedback.people() for learner in learners))

    def acts(self, name: str) -> Acts:
        """What operators did to a model, for :meth:`adopt` after a restart. Raises ``OnlineUnknown``."""
        return self._of(name).acts

    def report(self, name: str) -> dict[str, Any]:
        """Progressive validation in numbers: means over all that was tested so far. Raises ``OnlineUnknown``."""
        learner = self._of(name)
        weights = learner.weights
        tests, biased, frozen, asked, hit, hit_frozen = weights.totals.tolist()
        return {
            "seq": learner.seq,
            "batches": learner.batches,
            "waiting": len(learner.waiting),
            "off": weights.off,
            "tested": int(tests),
            "log_loss": {"online": biased / max(tests, 1), "frozen": frozen / max(tests, 1)},
            "hit_rate@10": {"online": hit / max(asked, 1), "frozen": hit_frozen / max(asked, 1)},
            "largest_bias": float(np.abs(weights.bias).max()),
            "acts": asdict(learner.acts) | {"left_out": sorted(learner.acts.left_out)},
        }

    def names(self) -> Iterable[str]:
        """The models that it learns for."""
        return list(self._learners)

    def _of(self, name: str) -> _Learner:
        if name not in self._learners:
            raise OnlineUnknown(name=name, known=", ".join(self._learners) or "none")
        return self._learners[name]

    def _take(self, name: str, learner: _Learner, events: Sequence[StoredEvent]) -> None:
        size = self.config.feedback.batch
        for event in events:
            if event.seq <= learner.seq:
                continue
            learner.seq = event.seq
            learner.waiting.append(event)
        settled = time.time_ns() // 1_000 - round(self.config.settle * 1e6)
        while len(learner.waiting) >= size and learner.waiting[size - 1].received <= settled:
            batch, learner.waiting = learner.waiting[:size], learner.waiting[size:]
            self._learn(name, learner, batch)
        _publish(learner)

    def _learn(self, name: str, learner: _Learner, batch: Sequence[StoredEvent]) -> None:
        before = learner.weights
        examples = learner.feedback.examples(batch, before)
        number, learner.batches = learner.batches, learner.batches + 1
        if before.off or batch[-1].seq <= learner.acts.since or number in learner.acts.left_out:
            return
        learner.weights = learn(before, examples, len(batch), self.config.step, learner.feedback.vectors)
        learner.journal.append((number, before))
        if learner.weights.off and self._alert is not None:
            lost = f"Online mode made the answers of {name} worse over {self.config.step.tested} tests; it is off."
            self._alert("online_worse", lost)


def _publish(learner: _Learner) -> None:
    """Set what answers add, in one assignment."""
    if learner.weights.off:
        learner.biases = None
        return
    biases = learner.weights.bias * np.float32(learner.feedback.spread)
    biases.flags.writeable = False
    learner.biases = biases
