"""Item neighbours: items that share users, by cosine, kept sparse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pydantic import Field
from scipy import sparse

from segue import artefacts, progress
from segue.config import Config, ReadWhere
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.recommenders.base import Recommender
from segue.recommenders.growing import Growth
from segue.recommenders.transitions import larger, sparse_arrays, sparse_matrix

_BLOCK = 1_000  # items whose neighbours are found at a time


class ItemNeighboursConfig(Config):
    """Settings of :class:`ItemNeighbours`."""

    read_where = (ReadWhere(("decay",), "last is above 1", lambda config: config.last > 1, on=("last",)),)
    neighbours: int = Field(200, ge=1)
    """Nearest items kept per item."""
    shrink: float = Field(10.0, ge=0)
    """Added to the denominator, so that two shared users are not a certainty."""
    last: int = Field(20, ge=1)
    """How many of the newest events of a history are asked."""
    decay: float = Field(0.9, gt=0, le=1)
    """Weight of an event relative to the one after it."""


class ItemNeighbours(Recommender):
    """Sums the cosine similarities between a history's items and each candidate (Sarwar et al., 2001)."""

    Settings = ItemNeighboursConfig

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        seen = seen_matrix(self.histories, len(self.item_vocabulary) + 1)
        norms = np.sqrt(np.asarray(seen.sum(axis=0)).ravel())
        by_item = sparse.csr_matrix(seen.T)
        rows, columns, values = [], [], []
        starts = range(0, seen.shape[1], _BLOCK)
        show = bool(run.get("progress", True)) and len(starts) > 5
        for start in progress.track(starts, "Finding neighbours", len(starts), show):
            shared = sparse.coo_matrix(by_item[start : start + _BLOCK] @ seen)
            source = shared.row + start
            apart = source != shared.col
            source, target, count = source[apart], shared.col[apart], shared.data[apart]
            cosine = count / (norms[source] * norms[target] + self.config.shrink)
            best = np.lexsort((target, -cosine, source))
            source, target, cosine = source[best], target[best], cosine[best]
            first = np.searchsorted(source, source)
            kept = np.arange(len(source)) - first < self.config.neighbours
            rows.append(source[kept])
            columns.append(target[kept])
            values.append(cosine[kept].astype(np.float32))
        place = (np.concatenate(rows), np.concatenate(columns))
        self._similar = sparse.csr_matrix((np.concatenate(values), place), shape=(seen.shape[1],) * 2)

    def _score_block(self, histories: Histories) -> np.ndarray:
        weights = recency_matrix(histories, self.config.last, self.config.decay, self._similar.shape[0])
        return np.asarray((weights @ self._similar).toarray(), dtype=np.float32)

    def _grow(self, growth: Growth) -> None:
        self._similar = larger(self._similar, growth.rows)

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("similar", sparse_arrays(self._similar))

    def _load(self, artefact: artefacts.Reader) -> None:
        self._similar = sparse_matrix(artefact.tensors("similar"), len(self.item_vocabulary) + 1)


def seen_matrix(histories: Histories, size: int) -> sparse.csr_matrix:
    """(rows, size) sparse 0/1 matrix of which items each history holds."""
    ones = np.ones(len(histories.items), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, histories.items, histories.offsets), shape=(len(histories), size))
    matrix = matrix.copy()
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def recency_matrix(histories: Histories, last: int, decay: float, size: int) -> sparse.csr_matrix:
    """(rows, size) weights of the newest ``last`` events, ``decay`` to the power of how far back each is."""
    cut = histories.take(np.arange(len(histories)), last=last)
    back = np.repeat(cut.offsets[1:], cut.lengths) - 1 - np.arange(len(cut.items))
    weight = (decay**back).astype(np.float32)
    matrix = sparse.csr_matrix((weight, cut.items, cut.offsets), shape=(len(cut), size))
    matrix = matrix.copy()
    matrix.sum_duplicates()
    return matrix
