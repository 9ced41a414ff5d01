"""``PatternPrior``: the habits of a log beside a sequence model, from learning their weight to writing them down.

Habits are ``PatternRecommender``'s; how they are weighed is ``training.prior``'s.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from segue import artefacts
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.recommenders.growing import Growth
from segue.recommenders.patterns import PatternRecommender
from segue.training.held import Held, Scores
from segue.training.prior import PriorWeights, fit_prior

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender


@dataclass(frozen=True, eq=False)
class PatternPrior:
    """Habits and what they weigh."""

    habits: PatternRecommender
    weights: PriorWeights

    @classmethod
    def learnt(cls, data: Dataset, held: Held, scores: Scores) -> tuple[Self | None, dict[str, Any]]:
        """From the training events ``data`` and requests held out; None where habits do not help, and a report.

        How loudly habits speak among themselves is chosen on the last training events, so that what is held out is
        new to all that is weighed.
        """
        habits = PatternRecommender().fit(data)
        weights, report = fit_prior(held, scores, habits.said)
        report["habits"] = habits.report["weights"]
        return None if weights is None else cls(habits, weights), report

    def add(self, scores: np.ndarray, histories: Histories) -> np.ndarray:
        """A model's (rows, catalogue + 1) scores with the habits in them; the array is overwritten."""
        return self.weights.add(scores, self.habits.said(histories))

    def counted_for(self, model: Recommender) -> Self:
        """The same weights with the habits of all that a model knows."""
        return replace(self, habits=self.habits.counted_for(model))

    def grown(self, model: Recommender, growth: Growth) -> Self:
        """With room for the items that a model has just been given."""
        return replace(self, habits=self.habits.grown_with(model, growth))

    def save(self, artefact: artefacts.Writer) -> None:
        """Write both."""
        artefact.document("weights", self.weights.document())
        self.habits._save(artefact.within("habits"))

    @classmethod
    def restored(cls, artefact: artefacts.Reader, model: Recommender) -> Self:
        """What :meth:`save` wrote, for the model it was beside."""
        habits = PatternRecommender.restored_for(model, artefact.within("habits"))
        return cls(habits, PriorWeights.from_document(artefact.document("weights")))
