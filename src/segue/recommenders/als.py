"""ALS: matrix factorisation for implicit feedback, through the ``implicit`` library (extra ``als``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field

from segue import artefacts
from segue.config import Config
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.errors import ExtraMissing
from segue.recommenders.base import Recommender
from segue.recommenders.growing import Growth, longer
from segue.recommenders.neighbours import seen_matrix


class ALSConfig(Config):
    """Settings of :class:`ALS`."""

    embedding_size: int = Field(64, ge=1)
    """Factors per item."""
    regularisation: float = Field(0.05, ge=0)
    """Lambda."""
    alpha: float = Field(20.0, gt=0)
    """Confidence of an event, beside 1 of an item without one (``implicit``'s alpha; Hu et al. write 1 + alpha)."""
    epochs: int = Field(15, ge=1)
    """Alternations."""
    seed: int = Field(0, ge=0)
    """Initial factors."""


class ALS(Recommender):
    """Hu, Koren and Volinsky (2008). A history becomes a user vector in closed form, so anyone can be answered.

    Training and answering share one objective: eq. 3 of the paper with the confidence ``alpha`` of an event, and eq. 4
    for the user vector.
    """

    Settings = ALSConfig

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        try:
            from implicit.cpu.als import AlternatingLeastSquares
            from threadpoolctl import threadpool_limits
        except ModuleNotFoundError:
            raise ExtraMissing(what="ALS", package="implicit", extra="als") from None
        config = self.config
        seen = seen_matrix(self.histories, len(self.item_vocabulary) + 1)
        with threadpool_limits(limits=1, user_api="blas"):  # implicit parallelises itself
            learner = AlternatingLeastSquares(
                config.embedding_size,
                regularization=config.regularisation,
                alpha=config.alpha,
                iterations=config.epochs,
                random_state=config.seed,
                num_threads=1,  # more threads are faster by a little and not deterministic
            )
            learner.fit(seen[1:], show_progress=False)
        self._factors = np.asarray(learner.item_factors, dtype=np.float32)

    def _score_block(self, histories: Histories) -> np.ndarray:
        size = self._factors.shape[1]
        shared = self._factors.T @ self._factors + self.config.regularisation * np.eye(size, dtype=np.float32)
        users = np.empty((len(histories), size), dtype=np.float32)
        for row in range(len(histories)):
            items = self._factors[np.unique(histories.row(row))]
            left = shared + (self.config.alpha - 1) * (items.T @ items)  # shared holds each item once already
            users[row] = np.linalg.solve(left, self.config.alpha * items.sum(0))
        return users @ self._factors.T

    def item_vectors(self, codes: np.ndarray) -> np.ndarray:
        """Their factors."""
        return np.asarray(self._factors[codes])

    def _grow(self, growth: Growth) -> None:
        self._factors = longer(self._factors, growth.rows)

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("factors", {"items": self._factors})

    def _load(self, artefact: artefacts.Reader) -> None:
        self._factors = artefact.tensors("factors")["items"]
