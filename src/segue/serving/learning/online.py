"""Learning between updates: item biases and a small head follow the events of the store, a little and for a while.

For each model that serves, ``Online`` turns the events after the model's ``learnt_to`` into examples (``feedback``) and
makes one bounded step for each batch of them (``steps``). What it has learnt is a pure function of the artefact, of the
store's events and lists in order, and of what an operator did (``reset``, ``undo``): built again, it is the same to the
bit on the same machine and versions. A thread of its own does the work: a model that was adopted is brought level with
the store first, and has no biases until it is; nobody waits for that. Each event is tested on before it is learnt from;
where the biased model loses to the frozen one, online mode switches itself off and says so. Histories, and with them
what a person has just done, count in the next answer with or without it. Training on new events is left to updates.
"""

from __future__ import annotations

import logging
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
from segue.errors import NothingToUndo, OnlineUnknown, SegueError, StoreError
from segue.recommenders.base import Recommender
from segue.serving.learning.feedback import Feedback, FeedbackConfig, FindList
from segue.serving.learning.steps import StepConfig, Weights, learn
from segue.serving.store.rows import StoredEvent
from segue.serving.ticker import Ticker

Alarm = Callable[[str, str | None], None]
"""Called with the name of an alarm and what is the matter, or with None when it is over."""
EventsAfter = Callable[[int], Sequence[StoredEvent]]
ReadActs = Callable[[], "Acts"]
WORSE, FAILED = "online_worse", "online_failed"
_RETRY_S = 30.0  # a model that could not be learnt for is begun anew after so long
_ROOM = 20_000  # events that wait in memory for one model
_log = logging.getLogger(__name__)


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
    """What is learnt for one model: weights, the way back, and the events that wait for their batch."""

    feedback: Feedback
    seq: int
    weights: Weights
    journal: deque[tuple[int, Weights]]
    waiting: list[StoredEvent] = field(default_factory=list)
    batches: int = 0
    behind: bool = False
    biases: np.ndarray | None = None

    def take(self, events: Sequence[StoredEvent]) -> None:
        """Let events wait; those known already are left out."""
        for event in events:
            if event.seq > self.seq:
                self.seq = event.seq
                self.waiting.append(event)


@dataclass(eq=False)
class _Adopted:
    """A model that is to be learnt for, and why that failed, if it did; without a learner it has to begin."""

    model: ServedModel
    read: EventsAfter | None
    left: ReadActs | None
    acts: Acts = Acts()
    learner: _Learner | None = None
    failed: str | None = None
    again: float = 0.0


class Online:
    """Online mode of all models that serve.

    Subscribe :meth:`feed` to the follower of the store; call :meth:`adopt` for a model, and :meth:`start`. Reading
    :meth:`biases` takes no lock: arrays are never changed, only replaced.

    Args:
        config: its settings; where it is not ``on``, everything here does nothing.
        find_list: the store's served list of a recommendation id, or None.
        alarm: told ``"online_worse"`` with the models on which online mode gave up, ``"online_failed"`` with those it
            cannot learn for, and why; each with None when there is none any more.
    """

    def __init__(self, config: OnlineConfig, find_list: FindList, alarm: Alarm | None = None) -> None:
        self.config = config
        self._find_list, self._alarm = find_list, alarm
        self._adopted: dict[str, _Adopted] = {}
        self._learners: dict[str, _Learner] = {}  # of those that are level with the store
        self._told: dict[str, str | None] = {WORSE: None, FAILED: None}
        self._working = threading.Lock()  # while something is learnt; requests and the follower do not take it
        self._lock = threading.Lock()  # while events are put down; never for long
        self._ticker = Ticker("segue-online", max(config.settle, 0.1), self.work)

    def start(self) -> None:
        """Learn in a thread."""
        self._ticker.start()
        self._ticker.wake()

    def stop(self) -> None:
        """End it after the batch under way; what was learnt stays."""
        self._ticker.stop()

    def adopt(self, model: ServedModel, events_after: EventsAfter | None = None, acts: ReadActs | None = None) -> None:
        """Begin with a model, or begin again: what the store holds since its ``learnt_to`` is learnt first.

        Returns at once; until the thread has brought the model level, nothing is added to its scores.

        Args:
            model: its recommender as the artefact holds it.
            events_after: ``Store.events_after``: the next events after a sequence number, empty at the end.
            acts: tells what :meth:`acts` told before a restart; asked by the thread, again where that failed.
        """
        if not self.config.on:
            return
        with self._working, self._lock:
            self._learners.pop(model.name, None)
            self._adopted[model.name] = _Adopted(model, events_after, acts)
        self._ticker.wake()

    def drop(self, name: str) -> None:
        """Forget a model that serves no more."""
        with self._working, self._lock:
            self._learners.pop(name, None)
            self._adopted.pop(name, None)
        self._ticker.wake()

    def feed(self, events: Sequence[StoredEvent]) -> None:
        """Take new events in the order of the store, and wake the thread; models that are not level read their own."""
        with self._lock:
            for name, learner in self._learners.items():
                if len(learner.waiting) + len(events) > _ROOM and self._adopted[name].read is not None:
                    learner.behind = True  # memory is no queue: it reads on from the store when it comes to it
                if not learner.behind:
                    learner.take(events)
        self._ticker.wake()

    def work(self) -> None:
        """Bring adopted models level and learn from what has settled: what the thread does again and again.

        Raises:
            StoreError: the store did not answer; nothing is lost, the next call goes on.
        """
        away: StoreError | None = None
        turns = list(self._adopted)
        while turns and not self._ticker.ending:
            for name in list(turns):  # a batch each, so that one far behind does not hold up the others
                try:
                    if not self._turn(name):
                        turns.remove(name)
                except StoreError as error:
                    away = error
                    turns.remove(name)
        self._tell()
        if away is not None:
            raise away

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
        self._of(name)  # refused without waiting for the thread
        with self._working:
            learner = self._of(name)
            self._adopted[name].acts = Acts(since=learner.seq)
            feedback = learner.feedback
            learner.weights = Weights.fresh(feedback.items, feedback.vectors.shape[1], self.config.step)
            learner.journal.clear()
            _publish(learner)
        self._tell()

    def undo(self, name: str, batches: int = 1) -> None:
        """Take back what the newest batches taught. Raises ``NothingToUndo`` past the journal, ``OnlineUnknown``."""
        self._of(name)
        with self._working:
            learner, adopted = self._of(name), self._adopted[name]
            if not 1 <= batches <= len(learner.journal):
                raise NothingToUndo(asked=batches, kept=len(learner.journal))
            undone = [learner.journal.pop() for _ in range(batches)]
            numbers = frozenset(number for number, _ in undone)
            adopted.acts = Acts(adopted.acts.since, adopted.acts.left_out | numbers)
            learner.weights = undone[-1][1]
            _publish(learner)
        self._tell()

    def forget(self, user_id: str) -> None:
        """Drop what is held of a person. What they taught fades; :meth:`adopt` builds a state that never knew them."""
        with self._working, self._lock:
            learners = (adopted.learner for adopted in self._adopted.values())
            for learner in [each for each in learners if each is not None]:
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
        if (adopted := self._adopted.get(name)) is None:
            raise self._unknown(name)
        return adopted.acts

    def report(self, name: str) -> dict[str, Any]:
        """Progressive validation in numbers: means over all that was tested so far. Raises ``OnlineUnknown``."""
        learner = self._of(name)
        weights, acts = learner.weights, self.acts(name)
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
            "acts": asdict(acts) | {"left_out": sorted(acts.left_out)},
        }

    def progress(self) -> dict[str, int]:
        """The newest event that each model has been taken to, also while what came since its training is replayed."""
        adopted = list(self._adopted.items())
        return {name: each.model.learnt_to if each.learner is None else each.learner.seq for name, each in adopted}

    def level(self) -> dict[str, bool]:
        """Whether each model is level with the store, so that its biases count."""
        return {name: name in self._learners for name in list(self._adopted)}

    def names(self) -> Iterable[str]:
        """The models that it learns for, level or not yet."""
        return list(self._adopted)

    def _of(self, name: str) -> _Learner:
        if (learner := self._learners.get(name)) is None:
            raise self._unknown(name)
        return learner

    def _unknown(self, name: str) -> OnlineUnknown:
        behind = [each for each in self._adopted if each not in self._learners]
        known = ", ".join(self._learners) or "none"
        return OnlineUnknown(name=name, known=f"{known} (not level yet: {', '.join(behind)})" if behind else known)

    def _turn(self, name: str) -> bool:
        """A batch, or a page of the store, for one model; whether there may be more to do at once."""
        with self._working:
            adopted = self._adopted.get(name)
            if adopted is None or time.monotonic() < adopted.again:
                return False
            try:
                learner = adopted.learner = adopted.learner or self._begun(adopted)
                if self._step(learner, adopted.acts):
                    return True
                return (learner.behind or name not in self._learners) and self._read_on(name, adopted, learner)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - it may have failed half-way: only a new beginning is sure
                self._give_up(name, adopted, error)
                return False

    def _begun(self, adopted: _Adopted) -> _Learner:
        settings = self.config
        if adopted.left is not None:
            adopted.acts = adopted.left()
        feedback = Feedback(adopted.model.recommender, settings.feedback, self._find_list)
        fresh = Weights.fresh(feedback.items, feedback.vectors.shape[1], settings.step)
        return _Learner(feedback, adopted.model.learnt_to, fresh, deque(maxlen=settings.journal))

    def _read_on(self, name: str, adopted: _Adopted, learner: _Learner) -> bool:
        """Read what the store has next; where it has no more, the model is level. Whether there was more."""
        read = adopted.read
        if read is not None and (events := read(learner.seq)):
            learner.take(events)
            return True
        _publish(learner)
        with self._lock:  # what came since that look is read here; what comes from now on is fed
            if read is not None:
                learner.take(read(learner.seq))
            learner.behind = False
            self._learners[name] = learner
        adopted.failed = None
        return True

    def _give_up(self, name: str, adopted: _Adopted, error: Exception) -> None:
        with self._lock:
            self._learners.pop(name, None)
        adopted.learner, adopted.again = None, time.monotonic() + _RETRY_S
        adopted.failed = str(error) if isinstance(error, SegueError) else f"{type(error).__name__}: {error}"
        _log.error("online mode cannot learn for %s and begins anew in %.0f s", name, _RETRY_S, exc_info=error)

    def _step(self, learner: _Learner, acts: Acts) -> bool:
        """Learn from one batch, if one is full and settled; whether it was."""
        size = self.config.feedback.batch
        settled = time.time_ns() // 1_000 - round(self.config.settle * 1e6)
        with self._lock:
            batch = learner.waiting[:size]
        if len(batch) < size or batch[-1].received > settled:
            return False
        self._learn(learner, acts, batch)  # where the store is away, the batch waits on
        with self._lock:
            del learner.waiting[:size]
        return True

    def _learn(self, learner: _Learner, acts: Acts, batch: Sequence[StoredEvent]) -> None:
        before = learner.weights
        examples = learner.feedback.examples(batch, before)
        number = learner.batches
        if not (before.off or batch[-1].seq <= acts.since or number in acts.left_out):
            learner.weights = learn(before, examples, len(batch), self.config.step, learner.feedback.vectors)
            learner.journal.append((number, before))
        _publish(learner)
        learner.batches = number + 1  # last: a batch that is counted is in the answers

    def _tell(self) -> None:
        """Raise or clear the alarms; each names all models that it is about."""
        tests = self.config.step.tested
        worse = [name for name, learner in list(self._learners.items()) if learner.weights.off]
        failed = [f"{name}: {each.failed}" for name, each in list(self._adopted.items()) if each.failed]
        lost = f"Online mode made the answers of {', '.join(worse)} worse over {tests:,} tests; it is off there."
        for alarm, text in ((WORSE, lost if worse else None), (FAILED, "; ".join(failed) or None)):
            if self._alarm is not None and self._told[alarm] != text:
                self._alarm(alarm, text)
            self._told[alarm] = text


def _publish(learner: _Learner) -> None:
    """Set what answers add, in one assignment."""
    if learner.weights.off:
        learner.biases = None
        return
    biases = learner.weights.bias * np.float32(learner.feedback.spread)
    biases.flags.writeable = False
    learner.biases = biases
