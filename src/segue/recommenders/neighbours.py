"""Item neighbours: items that share users, by cosine, TF-IDF or BM25, kept sparse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator
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
    weighting: Literal["cosine", "tfidf", "bm25"] = "cosine"
    """How users count: alike; or the less, the more items they took: ``"tfidf"`` (cosine) or ``"bm25"`` (product)."""
    bm25_k1: float = Field(1.2, ge=0)
    """Of ``"bm25"``: how slowly repeated events of one user stop counting."""
    bm25_b: float = Field(0.75, ge=0, le=1)
    """Of ``"bm25"``: how far items of many events are held back."""

    @model_validator(mode="after")
    def _no_setting_without_effect(self) -> Self:
        fields = type(self).model_fields
        unused = ("shrink",) if self.weighting == "bm25" else ("bm25_k1", "bm25_b")
        if changed := [name for name in unused if getattr(self, name) != fields[name].default]:
            raise ValueError(f"{changed[0]} has no effect with weighting={self.weighting!r}")
        return self


class ItemNeighbours(Recommender):
    """Sums the similarities between a history's items and each candidate (Sarwar et al., 2001).

    ``weighting="cosine"`` compares the sets of users of two items. ``"tfidf"`` and ``"bm25"`` (Robertson and Walker,
    1994) take an item for a document whose words are its users: see :func:`tfidf_weight` and :func:`bm25_weight`.
    """

    Settings = ItemNeighboursConfig

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        seen, norms = self._weighted()
        by_item = sparse.csr_matrix(seen.T)
        rows, columns, values = [], [], []
        starts = range(0, seen.shape[1], _BLOCK)
        show = bool(run.get("progress", True)) and len(starts) > 5
        for start in progress.track(starts, "Finding neighbours", len(starts), show):
            shared = sparse.coo_matrix(by_item[start : start + _BLOCK] @ seen)
            source = shared.row + start
            apart = source != shared.col
            source, target, count = source[apart], shared.col[apart], shared.data[apart]
            cosine = count if norms is None else count / (norms[source] * norms[target] + self.config.shrink)
            best = np.lexsort((target, -cosine, source))
            source, target, cosine = source[best], target[best], cosine[best]
            first = np.searchsorted(source, source)
            kept = np.arange(len(source)) - first < self.config.neighbours
            rows.append(source[kept])
            columns.append(target[kept])
            values.append(cosine[kept].astype(np.float32))
        place = (np.concatenate(rows), np.concatenate(columns))
        self._similar = sparse.csr_matrix((np.concatenate(values), place), shape=(seen.shape[1],) * 2)

    def _weighted(self) -> tuple[sparse.csr_matrix, np.ndarray | None]:
        """(users, items) weights, and the norm of each item; None where similarity is the product itself."""
        size = len(self.item_vocabulary) + 1
        if self.config.weighting == "cosine":
            seen = seen_matrix(self.histories, size)
            return seen, np.sqrt(np.asarray(seen.sum(axis=0)).ravel())
        counts = count_matrix(self.histories, size)[1:, 1:]  # neither the unknown user nor the padding counts
        if self.config.weighting == "bm25":
            weights, norms = bm25_weight(counts.T, self.config.bm25_k1, self.config.bm25_b), None
        else:
            weights = tfidf_weight(counts.T)
            norms = np.append(0, np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel()))
        padding: Any = sparse.coo_matrix(np.zeros((counts.shape[0], 1), dtype=np.float32))
        return sparse.csr_matrix(sparse.hstack([padding, weights.T])).astype(np.float32), norms

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


def count_matrix(histories: Histories, size: int) -> sparse.csr_matrix:
    """(rows, size) sparse float32 events of each history on each item."""
    ones = np.ones(len(histories.items), dtype=np.float32)
    matrix = sparse.csr_matrix((ones, histories.items, histories.offsets), shape=(len(histories), size)).copy()
    matrix.sum_duplicates()
    return matrix


def tfidf_weight(counts: Any) -> sparse.csr_matrix:
    """``sqrt(n) * idf(u)`` of (items, users) counts n, with ``idf(u) = log(items) - log(1 + items of u)``."""
    found = sparse.coo_matrix(counts).astype(np.float64)
    return sparse.csr_matrix((np.sqrt(found.data) * _idf(found), (found.row, found.col)), shape=found.shape)


def bm25_weight(counts: Any, k1: float, b: float) -> sparse.csr_matrix:
    """``n * (k1 + 1) / (k1 * length(i) + n) * idf(u)`` of (items, users) counts n.

    ``length(i) = 1 - b + b * events of i / mean events of an item``; idf as in :func:`tfidf_weight`.
    """
    found = sparse.coo_matrix(counts).astype(np.float64)
    events = np.asarray(found.sum(axis=1)).ravel()
    length = (1 - b) + b * events / max(events.mean() if len(events) else 0, 1e-12)
    weights = found.data * (k1 + 1) / (k1 * length[found.row] + found.data) * _idf(found)
    return sparse.csr_matrix((weights, (found.row, found.col)), shape=found.shape)


def _idf(counts: sparse.coo_matrix) -> np.ndarray:
    """(entries,) of each entry's user."""
    return np.asarray((np.log(max(counts.shape[0], 1)) - np.log1p(np.bincount(counts.col)))[counts.col])


def recency_matrix(histories: Histories, last: int, decay: float, size: int) -> sparse.csr_matrix:
    """(rows, size) weights of the newest ``last`` events, ``decay`` to the power of how far back each is."""
    cut = histories.take(np.arange(len(histories)), last=last)
    back = np.repeat(cut.offsets[1:], cut.lengths) - 1 - np.arange(len(cut.items))
    weight = (decay**back).astype(np.float32)
    matrix = sparse.csr_matrix((weight, cut.items, cut.offsets), shape=(len(cut), size))
    matrix = matrix.copy()
    matrix.sum_duplicates()
    return matrix
