"""First-order transitions: what people did right after their last item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field
from scipy import sparse

from segue import artefacts
from segue.config import Config
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.recommenders.base import Recommender
from segue.recommenders.growing import Growth


class FirstOrderConfig(Config):
    """Settings of :class:`FirstOrder`."""

    smoothing: float = Field(10.0, ge=0)
    """Pseudo-events of plain popularity added to each item's followers."""
    steps: int = Field(3, ge=1)
    """Transitions over up to this many steps count, each with 1/step of the weight."""


class FirstOrder(Recommender):
    """A Markov chain of the first order over items, with skips, smoothed by popularity.

    ``score(j | i) = (count(i -> j) + smoothing * popularity(j)) / (count(i ->) + smoothing)``.
    """

    Settings = FirstOrderConfig

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        size = len(self.item_vocabulary) + 1
        items, rows = self.histories.items, self.histories.rows()
        sources, targets, weights = [], [], []
        for step in range(1, self.config.steps + 1):
            together = rows[step:] == rows[:-step]
            sources.append(items[:-step][together])
            targets.append(items[step:][together])
            weights.append(np.full(len(sources[-1]), 1 / step, dtype=np.float32))
        place = (np.concatenate(sources), np.concatenate(targets))
        self._counts = sparse.csr_matrix((np.concatenate(weights), place), shape=(size, size))

    def _score_block(self, histories: Histories) -> np.ndarray:
        last = histories.items[histories.offsets[1:] - 1]
        followers = self._counts[last]
        popularity = self.item_counts / max(self.item_counts.sum(), 1)
        total = np.asarray(followers.sum(axis=1)) + self.config.smoothing
        smooth = (self.config.smoothing * popularity).astype(np.float32)
        scores = (followers.toarray() + smooth) / np.where(total > 0, total, 1)
        return np.asarray(scores, dtype=np.float32)

    def _grow(self, growth: Growth) -> None:
        self._counts = larger(self._counts, growth.rows)

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("transitions", sparse_arrays(self._counts))

    def _load(self, artefact: artefacts.Reader) -> None:
        self._counts = sparse_matrix(artefact.tensors("transitions"), len(self.item_vocabulary) + 1)


def larger(matrix: sparse.csr_matrix, size: int) -> sparse.csr_matrix:
    """A square matrix with empty rows and columns behind its own."""
    offsets = np.append(matrix.indptr, np.full(size + 1 - len(matrix.indptr), matrix.nnz, dtype=matrix.indptr.dtype))
    return sparse.csr_matrix((matrix.data, matrix.indices, offsets), shape=(size, size))


def sparse_arrays(matrix: sparse.csr_matrix) -> dict[str, np.ndarray]:
    """A sparse matrix as plain arrays for an artefact."""
    return {"data": matrix.data, "indices": matrix.indices, "indptr": matrix.indptr}


def sparse_matrix(arrays: Mapping[str, np.ndarray], size: int) -> sparse.csr_matrix:
    """The square matrix that :func:`sparse_arrays` took apart."""
    return sparse.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=(size, size))
