"""``PatternRecommender``: what people went on to take after what a history ends with, and the habits that say so.

Habits are counted by ``patterns.habits``; how loudly each speaks is chosen in ``pattern_weights``, and
``pattern_reasons`` puts them into words.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import cached_property
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from segue import artefacts
from segue.config import Config, ReadWhere
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.patterns.habits import Habits
from segue.recommenders import pattern_reasons
from segue.recommenders.base import Recommender
from segue.recommenders.explanations import Reason
from segue.recommenders.growing import Growth, longer
from segue.recommenders.pattern_weights import SPREADS, Evidence, Weights, chosen, confidence
from segue.recommenders.stages import inner_validation

_USERS = 4_000  # at most so many users decide about the weights

Auto = Literal["auto"]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class PatternConfig(Config):
    """Settings of :class:`PatternRecommender`. What is ``"auto"`` is chosen on held-out events."""

    read_where = (
        ReadWhere(("decay",), "last is above 1", lambda config: config.last > 1, on=("last",)),
        ReadWhere(
            ("longer", "min_support"), "max_length is above 2", lambda config: config.max_length > 2, on=("max_length",)
        ),
    )
    max_length: int = Field(3, ge=2)
    """Items of the longest habit, the one that follows among them: X, then Y, then Z."""
    window: int = Field(10, ge=1)
    """Events after its first that a habit may reach."""
    last: int = Field(10, ge=1)
    """How many of the newest events of a history are asked."""
    followers: int = Field(500, ge=1)
    """Habits kept of each context, the weightiest."""
    min_support: int = Field(2, ge=1)
    """Users that a context of several items needs."""
    spread: NotNegative | Auto = "auto"
    """A step over s events counts ``s ** -spread``."""
    decay: Annotated[float, Field(gt=0, le=1)] | Auto = "auto"
    """Weight of a context relative to one that ends an event later."""
    shrink: NotNegative | Auto = "auto"
    """Users added to those of a context, so that two of two are not a certainty."""
    damping: Share | Auto = "auto"
    """From 0 (confidence) over 0.5 (cosine) to 1: how far items that all take are held back."""
    longer: NotNegative | Auto = "auto"
    """Weight of contexts of several items, relative to single ones."""
    backward: NotNegative | Auto = "auto"
    """Weight of what people took before an item."""
    popularity: NotNegative | Auto = "auto"
    """Weight of an item's share of all events; the last resort where it is small."""


class PatternRecommender(Recommender):
    """Follows the habits of a log: people who took X then Y went on to Z.

    ``score(z | history)`` is the sum, over the contexts c in its newest events, of

        decay ** back(c) * near(c) * near_users(c, z) / (users(c) + shrink)

    that is, confidences of contexts of all lengths, interpolated (Jelinek and Mercer, 1980) and not backed off, each
    shrunk as in additive discounting towards what the shorter contexts and popularity say. A context may skip events;
    ``near`` falls with every step over them, and each user counts once. ``damping`` moves the confidence towards the
    cosine; ``backward`` adds what came before an item. Weights at ``"auto"`` are those that rank the validation events
    best, or, without a holdout, each user's last training event; then everything is counted again with those events in
    it. Memory holds ``followers`` habits for each context: 16 bytes each, at most 8 KB by default.

    :meth:`explain` names the habits behind a recommendation.
    """

    Settings = PatternConfig
    weights: Weights
    before_refit: Callable[[Recommender], None] | None = None  # while a blend is learnt (see stages)

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        given = {
            field.name: float(value)
            for field in fields(Weights)
            if (value := getattr(self.config, field.name)) != "auto"
        }
        self.weights, quality = Weights(**given), None
        holdout = validation or inner_validation(data)[1]
        if holdout is not None and len(given) < len(fields(Weights)):
            self.weights, quality = self._chosen(holdout, given)
        self.report["weights"] = self.weights.document()
        self.report["validation_ndcg@10"] = quality
        if self.before_refit is not None:
            self.before_refit(self._of_training(data))
        self._count()
        self.report["contexts"] = len(self._evidence.forward.of) - self._evidence.forward.size
        self.report["habits"] = len(self._evidence.forward.items)

    def _chosen(self, holdout: Holdout, given: Mapping[str, float]) -> tuple[Weights, float]:
        known = holdout.context
        users = holdout.users[known.histories.lengths[holdout.users] > 0]
        if len(users) > _USERS:
            users = np.sort(np.random.default_rng(0).choice(users, _USERS, replace=False))
        if not len(users):
            return Weights(**given), 0.0
        contexts, targets = known.histories.take(users), holdout.targets.histories
        found = {
            spread: Evidence.counted(known.histories, known.item_counts, spread, False, self.config)
            for spread in ((given["spread"],) if "spread" in given else SPREADS)
        }
        seen = contexts if self.exclude_seen else None
        return chosen(found, given, contexts, targets.items[targets.offsets[users]], seen)

    def _of_training(self, data: Dataset) -> PatternRecommender:
        """A recommender of its own with the same weights and the habits of the training events alone."""
        early = copy.copy(self)
        early.before_refit = None
        early._forget_answers()
        early.report, early.histories, early.item_counts = dict(self.report), data.histories, data.item_counts
        early._count()
        early._fitted = True
        return early

    def _count(self) -> None:
        self._evidence = Evidence.counted(
            self.histories, self.item_counts, self.weights.spread, self.clock == "time", self.config
        )
        self._ready()

    def _ready(self) -> None:
        """What every question needs, derived from what is kept."""
        self.__dict__.pop("confidences", None)
        self._values = self._evidence.values(self.weights)
        self._resort = (max(self.weights.popularity, 1e-6) * self._evidence.shares).astype(np.float32)

    @cached_property
    def confidences(self) -> tuple[np.ndarray, np.ndarray]:
        """(habits,) each: how telling every habit is, forward and backward; for the reasons of a list."""
        forward, backward = self._evidence.forward, self._evidence.backward
        weight = np.float32(self.weights.backward)
        return confidence(forward, self.weights), weight * confidence(backward, self.weights)

    def _voices(self, histories: Histories) -> sparse.csr_matrix:
        """(rows, contexts) how loudly each context speaks."""
        matches = self._evidence.matches(histories, self.weights.spread)
        return matches.matrix(self.weights.decay, self._values.shape[0])

    def said(self, histories: Histories) -> sparse.csr_matrix:
        """(rows, catalogue + 1) what habits say for each item, without popularity; 0 where none speaks."""
        return sparse.csr_matrix(self._voices(histories) @ self._values)

    def _score_block(self, histories: Histories) -> np.ndarray:
        scores = np.asarray(self.said(histories).toarray(), dtype=np.float32)
        scores += self._resort
        return scores

    def _score_parts(self, histories: Histories) -> dict[str, np.ndarray]:
        habits = np.asarray(self.said(histories).toarray(), dtype=np.float32)[0]
        return {"habits": habits, "popularity": self._resort}

    def _event_reasons(self, histories: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
        return pattern_reasons.habit_reasons(self, histories, codes)

    def explain(  # type: ignore[override]
        self,
        users: Sequence[Any] | Any | None = None,
        k: int = 10,
        *,
        histories: Any = None,
        items: Sequence[Any] | None = None,
        habits: int = 3,
    ) -> Any:
        """The habits behind scores.

        Args:
            users, histories: as in :meth:`recommend`.
            k: without ``items``, how many recommendations of each user are explained.
            items: these items instead, for each user.
            habits: the most telling of each item.

        Returns:
            A frame, best first: ``user_id``, ``item_id``, ``habit`` (item ids, oldest first; empty where popularity
            alone speaks), ``support`` (users with the whole habit), ``of`` (users with its context), ``within_days``
            (median time from the context to the item; null where the log has no times), ``share`` of the score, and
            ``text``, which names titles where the catalogue has them.

        Raises:
            NotFitted, NothingAsked, BadK, HistoryMalformed, UnknownItems.
        """
        self._require_fitted()
        return pattern_reasons.explained(self, users, histories, items, k, habits)

    def counted_for(self, other: Recommender) -> PatternRecommender:
        """Habits with these weights of what another recommender knows."""
        made = PatternRecommender(self.config)
        made.know_as(other)
        made.weights = self.weights
        made._count()
        made._fitted = True
        return made

    def grown_with(self, other: Recommender, growth: Growth) -> PatternRecommender:
        """Habits that stay, with room for the items that another recommender has just been given."""
        made = copy.copy(self)
        made.know_as(other)
        made._forget_answers()
        made._grow(growth)
        return made

    @classmethod
    def restored_for(cls, other: Recommender, artefact: artefacts.Reader) -> PatternRecommender:
        """Habits that were saved as a part of another recommender."""
        made = cls()
        made.know_as(other)
        made._load(artefact)
        made._fitted = True
        return made

    def _grow(self, growth: Growth) -> None:
        old = self._evidence
        self._evidence = Evidence(
            old.forward.larger(growth.rows),
            old.backward.larger(growth.rows),
            longer(old.shares, growth.rows),
            old.last,
            old.window,
        )
        self._ready()

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("forward", self._evidence.forward.arrays())
        artefact.tensors("backward", self._evidence.backward.arrays())
        artefact.document("weights", self.weights.document())

    def _load(self, artefact: artefacts.Reader) -> None:
        size = len(self.item_vocabulary) + 1
        self.weights = Weights(**artefact.document("weights"))
        self._evidence = Evidence(
            Habits.restored(artefact.tensors("forward"), size),
            Habits.restored(artefact.tensors("backward"), size),
            self.item_counts / max(self.item_counts.sum(), 1),
            self.config.last,
            self.config.window,
        )
        self._ready()
