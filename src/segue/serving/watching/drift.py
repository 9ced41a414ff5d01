"""Whether the present still looks like what the models learnt from: scores, cold users and items, item popularity.

All windows have a fixed size. Requests only append to a bounded queue; the work is done in ``digest`` (in the
background) and ``took`` (in the follower's thread). What follows from the numbers is ``alerts``'s.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from segue.config import Config


class DriftConfig(Config):
    """Sizes of the windows."""

    answers: int = Field(default=1_000, ge=10)
    """Answers of a model that are compared with as many of its first."""
    events: int = Field(default=10_000, ge=10)
    """Events, and listed items, whose popularity is compared with that in training."""
    least: int = Field(default=200, ge=1)
    """Below so many in a window nothing is told: shares of few are noise."""


class Ring:
    """The newest ``size`` numbers."""

    def __init__(self, size: int, kind: type[np.generic]) -> None:
        self._kept = np.zeros(size, kind)
        self._next = 0
        self._count = 0

    def add(self, values: np.ndarray) -> None:
        """Take numbers, oldest first."""
        size = len(self._kept)
        self._count = min(size, self._count + len(values))
        values = values[-size:]
        self._kept[(self._next + np.arange(len(values))) % size] = values
        self._next = (self._next + len(values)) % size

    @property
    def values(self) -> np.ndarray:
        """What is kept, in no order."""
        return self._kept[: self._count]

    @property
    def full(self) -> bool:
        """Whether the next number takes the place of another."""
        return self._count == len(self._kept)


def psi(expected: np.ndarray, counts: np.ndarray) -> float:
    """The population stability index: ``sum((q - p) * ln(q / p))`` over buckets, 0 where nothing has moved.

    ``p`` are the expected shares (all above 0) and ``q`` those of ``counts``, with half a count added to each bucket so
    that an empty one is finite. Below 0.1 is read as stable, above 0.25 as moved; with n counts and B buckets chance
    alone gives about ``(B - 1) / n`` (Siddiqi, Credit Risk Scorecards, 2006; Yurdakul, Statistical Properties of
    Population Stability Index, 2018).
    """
    shares = (counts + 0.5) / (counts + 0.5).sum()
    return float(((shares - expected) * np.log(shares / expected)).sum())


class Popularity:
    """Items in buckets of equal share: the most popular few make a tenth of training, the next a tenth, and so on.

    Attributes:
        bucket: (catalogue + 1) uint8, from 1; 0 for items not seen in training and for unknown ones.
        shares: of training events, one for each bucket; an item larger than a tenth has a bucket of its own.
    """

    def __init__(self, counts: np.ndarray, buckets: int = 10) -> None:
        """``counts``: events in training by item code; code 0 is none."""
        counts = np.asarray(counts, np.float64).copy()
        counts[0] = 0
        order = np.argsort(-counts, kind="stable")
        ordered = counts[order]
        total = max(ordered.sum(), 1.0)
        # An item belongs where the middle of its events falls.
        middle = (np.cumsum(ordered) - ordered / 2) / total
        _, place = np.unique(np.minimum((middle * buckets).astype(np.int64), buckets - 1), return_inverse=True)
        self.bucket = np.zeros(len(counts), np.uint8)
        seen = ordered > 0
        _, place = np.unique(place[seen], return_inverse=True)
        self.bucket[order[seen]] = place + 1
        self.shares = np.bincount(place, ordered[seen]) / total

    def psi(self, buckets: np.ndarray) -> float:
        """PSI of buckets met, against training; cold items are another number's."""
        known = buckets[buckets > 0]
        return psi(self.shares, np.bincount(known - 1, minlength=len(self.shares))) if len(known) else 0.0


class _Asked(NamedTuple):
    model: str
    score: float
    user_id: Any
    items: tuple[Any, ...]


class _Model:
    """The windows of one model."""

    def __init__(self, served: Any, config: DriftConfig) -> None:
        self.recommender = served.recommender
        self.popularity = Popularity(self.recommender.item_counts)
        self.reference, self.scores = Ring(config.answers, np.float32), Ring(config.answers, np.float32)
        self.listed, self.events = Ring(config.events, np.uint8), Ring(config.events, np.uint8)
        self.cold_asking, self.cold_acting = Ring(config.answers, np.bool_), Ring(config.events, np.bool_)

    def know(self, recommender: Any) -> None:
        """The same model with more items in its catalogue."""
        if recommender is not self.recommender:
            self.recommender = recommender
            self.popularity = Popularity(recommender.item_counts)

    def buckets(self, items: Sequence[Any]) -> tuple[np.ndarray, np.ndarray]:
        """Buckets of items, and whether the catalogue has them."""
        codes = self.recommender.item_vocabulary.encode(items)
        return self.popularity.bucket[codes], codes > 0

    def cold(self, users: Sequence[Any]) -> np.ndarray:
        """Whether users were not met in training."""
        unknown: np.ndarray = self.recommender.user_vocabulary.encode(users) == 0
        return unknown


Told = dict[tuple[str, ...], float]


class Drift:
    """Drift of each model that serves.

    Args:
        config: sizes.
        models: the models that serve now, each with ``name`` and ``recommender``.
    """

    def __init__(self, config: DriftConfig | None = None, models: Callable[[], Sequence[Any]] = lambda: ()) -> None:
        self.config = config or DriftConfig()
        self._serving = models
        self._models: dict[str, _Model] = {}
        self._lock = threading.Lock()
        self._answers: deque[_Asked] = deque(maxlen=self.config.answers)

    def answered(self, answer: Any) -> None:
        """Note an answer (``Answer``); costs an append."""
        if answer.items:
            items = tuple(listed.item_id for listed in answer.items)
            self._answers.append(_Asked(answer.model, answer.items[0].score, answer.user_id, items))

    def took(self, events: Sequence[Any]) -> int:
        """Take events (``StoredEvent``); how many are on items that no model's catalogue has."""
        models = self._known()
        if not models or not events:
            return 0
        items, users = [event.item_id for event in events], [event.user_id for event in events]
        found = np.zeros(len(events), np.bool_)
        for model in models.values():
            buckets, known = model.buckets(items)
            model.events.add(buckets)
            model.cold_acting.add(model.cold(users))
            found |= known
        return int((~found).sum())

    def digest(self) -> None:
        """Take in the answers noted since."""
        with self._lock:
            noted = [self._answers.popleft() for _ in range(len(self._answers))]
        for name, model in self._known().items():
            mine = [asked for asked in noted if asked.model == name]
            if not mine:
                continue
            scores = np.array([asked.score for asked in mine], np.float32)
            if not model.reference.full:
                room = self.config.answers - len(model.reference.values)
                model.reference.add(scores[:room])
            model.scores.add(scores)
            model.listed.add(model.buckets([item for asked in mine for item in asked.items])[0])
            users = [asked.user_id for asked in mine if asked.user_id is not None]
            model.cold_asking.add(model.cold(users))

    def forget(self, gone: Callable[[Iterable[str]], set[str]]) -> None:
        """Drop the names of people that ``gone`` picks; their answers count on as anyone's."""
        with self._lock:
            named = [str(asked.user_id) for asked in list(self._answers) if asked.user_id is not None]
            people = gone(named)
            for _ in range(len(self._answers)):
                asked = self._answers.popleft()
                self._answers.append(asked._replace(user_id=None) if str(asked.user_id) in people else asked)

    def scores(self) -> Told:
        """Mean and quantiles of the best score of a list, by model, window and statistic."""
        told: Told = {}
        for name, model in list(self._models.items()):
            for window, ring in (("reference", model.reference), ("recent", model.scores)):
                if self._enough(ring):
                    told[name, window, "mean"] = float(ring.values.mean())
                    quantiles = np.quantile(ring.values, (0.1, 0.5, 0.9))
                    told |= {(name, window, f"q{q}"): float(x) for q, x in zip((10, 50, 90), quantiles, strict=True)}
        return told

    def score_psi(self) -> Told:
        """PSI of the best scores against the reference window, by model; once that window is full."""
        return {
            (name,): _score_psi(model.reference.values, model.scores.values)
            for name, model in list(self._models.items())
            if model.reference.full and self._enough(model.scores)
        }

    def popularity_psi(self) -> Told:
        """PSI of item popularity, by model and of what: ``events`` or ``recommended``."""
        return self._each({"events": "events", "recommended": "listed"}, lambda m, ring: m.popularity.psi(ring.values))

    def cold_items(self) -> Told:
        """Share of items not seen in training, by model and of what: ``events`` or ``recommended``."""
        windows = {"events": "events", "recommended": "listed"}
        return self._each(windows, lambda _, ring: float((ring.values == 0).mean()))

    def cold_users(self) -> Told:
        """Share of users not met in training, by model and of what: ``events`` or ``answers``."""
        windows = {"events": "cold_acting", "answers": "cold_asking"}
        return self._each(windows, lambda _, ring: float(ring.values.mean()))

    def _each(self, windows: dict[str, str], tell: Callable[[_Model, Ring], float]) -> Told:
        return {
            (name, of): tell(model, ring)
            for name, model in list(self._models.items())
            for of, attribute in windows.items()
            if self._enough(ring := getattr(model, attribute))
        }

    def _enough(self, ring: Ring) -> bool:
        return len(ring.values) >= min(self.config.least, len(ring._kept))

    def _known(self) -> dict[str, _Model]:
        """Windows of the models that serve now; those of others are dropped."""
        with self._lock:  # two threads ask
            serving = {served.name: served for served in self._serving()}
            models = {name: self._models.get(name) or _Model(served, self.config) for name, served in serving.items()}
            for name, served in serving.items():
                models[name].know(served.recommender)
            self._models = models
            return models


def _score_psi(reference: np.ndarray, recent: np.ndarray) -> float:
    """Ten buckets of the reference, fewer where it has ties, and one on either side for what it never reached."""
    cuts = np.unique([*np.quantile(reference, np.linspace(0, 0.9, 10)), np.nextafter(reference.max(), np.inf)])
    expected, counts = (
        np.bincount(np.searchsorted(cuts, scores, side="right"), minlength=len(cuts) + 1) + 0.0
        for scores in (reference, recent)
    )
    return psi((expected + 0.5) / (expected + 0.5).sum(), counts)
