"""EASE: a linear item-to-item model in closed form; hard to beat where every item has many events."""

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
from segue.recommenders.base import Recommender
from segue.recommenders.growing import Growth
from segue.recommenders.neighbours import recency_matrix, seen_matrix


class EASEConfig(Config):
    """Settings of :class:`EASE`."""

    regularisation: float = Field(500.0, gt=0)
    """Lambda: how strongly weights shrink."""
    max_items: int = Field(15_000, ge=1)
    """Only this many items, the most popular, take part: memory grows with their square (0.9 GB at 15,000)."""


class EASE(Recommender):
    """Embarrassingly Shallow Autoencoder (Steck, WWW 2019, eq. 8): ``B = I - P / diag(P)``, ``P = (X'X + λI)^-1``."""

    Settings = EASEConfig

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        by_popularity = np.argsort(-self.item_counts, kind="stable")
        chosen = by_popularity[: self.config.max_items]
        self._items = np.sort(chosen[self.item_counts[chosen] > 0])
        seen = seen_matrix(self.histories, len(self.item_vocabulary) + 1)[:, self._items]
        gram = np.asarray((seen.T @ seen).toarray(), dtype=np.float32)
        gram[np.diag_indices_from(gram)] += self.config.regularisation
        inverse = np.linalg.inv(gram)
        weights = inverse / -np.diag(inverse)
        weights[np.diag_indices_from(weights)] = 0
        self._weights = weights

    def _score_block(self, histories: Histories) -> np.ndarray:
        size = len(self.item_vocabulary) + 1
        # Items left out keep no weight; popularity decides among them through the prior of ties.
        scores = np.zeros((len(histories), size), dtype=np.float32)
        longest = max(int(histories.lengths.max(initial=0)), 1)
        seen = recency_matrix(histories, longest, 1.0, size)
        seen.data[:] = 1
        scores[:, self._items] = seen[:, self._items] @ self._weights
        return scores

    def item_vectors(self, codes: np.ndarray) -> np.ndarray:
        """Their weights in the scores of all others; zeros for items that take no part."""
        places = np.searchsorted(self._items, codes)
        places[places == len(self._items)] = 0
        part = self._items[places] == codes
        return np.asarray(self._weights[:, places].T * part[:, None])

    def _grow(self, growth: Growth) -> None:
        """Items without weights score 0."""

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("weights", {"items": self._items, "weights": self._weights})

    def _load(self, artefact: artefacts.Reader) -> None:
        arrays = artefact.tensors("weights")
        self._items, self._weights = arrays["items"], arrays["weights"]
