"""``ExportedRecommender``: a trained sequence model that answers by onnxruntime and numpy, without torch.

``segue export`` writes one (see ``deploy``). It knows what the trained one knew and takes new items as that did; it
learns nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, Self

import numpy as np
from pydantic import Field

from segue import artefacts
from segue.config import Config
from segue.data.batches import Batch, inference_batches
from segue.data.dataset import Dataset
from segue.data.histories import UNKNOWN_TIME, Histories
from segue.data.long import LongHistory
from segue.data.split import Holdout
from segue.errors import NotTrainedHere
from segue.ranking.item_index import ItemIndex
from segue.recommenders.exported_items import ExportedItems
from segue.recommenders.growing import Growth
from segue.recommenders.sequence_scores import SequenceScores
from segue.sessions import Graph

_TOKENS = 4_096  # padded positions per batch
_UNKNOWN: dict[str, tuple[Any, float]] = {  # how each column is filled where histories do not have it
    "times": (np.int64, UNKNOWN_TIME),
    "asked": (np.int64, UNKNOWN_TIME),
    "calendar": (np.int16, 0),
    "actions": (np.int64, 0),
    "wanted": (np.int64, 0),
    "values": (np.float32, np.nan),
}

Precision = Literal["fp32", "int8"]
Search = Literal["exact", "approximate"]


class ExportedConfig(Config):
    """What an export is."""

    precision: Precision = "fp32"
    """Of the numbers that the encoder, and the language model, compute with."""
    search: Search = "exact"
    """Whether one history is held against all items, or against the likeliest by an index."""
    candidates: int = Field(1_000, ge=1)
    """Items that an index finds, which are then scored exactly."""


@dataclass(frozen=True)
class Reading:
    """How histories are read.

    Attributes:
        columns: of a batch, besides items and lengths.
        max_length: events that are read.
        long_history: what of a longer history these are.
        target: the one kind of action that the model has learnt to tell; None for all.
    """

    columns: tuple[str, ...]
    max_length: int
    long_history: LongHistory = "newest"
    target: str | None = None

    def readable(self, histories: Histories) -> Histories:
        """Histories with those columns only that are read."""
        clock = not {"times", "asked", "calendar"}.isdisjoint(self.columns)
        actions = not {"actions", "wanted"}.isdisjoint(self.columns)
        return replace(
            histories,
            timestamps=histories.timestamps if clock else None,
            at=histories.at if clock else None,
            actions=histories.actions if actions else None,
            wanted=histories.wanted if actions else None,
            values=histories.values if "values" in self.columns else None,
        )


class ExportedRecommender(SequenceScores):
    """What ``segue export`` makes of a :class:`segue.SequenceRecommender`.

    Attributes:
        encoder: from padded rows of item vectors and what stands beside them to states.
        reading: what rows of histories are made of.
        vectors: of the items.
        index: over them, where the search is approximate.
        source: class, settings and hash of the weights of what was exported.
    """

    Settings = ExportedConfig
    encoder: Graph
    reading: Reading
    vectors: ExportedItems
    index: ItemIndex | None = None
    source: dict[str, Any]

    @property
    def target(self) -> str | None:
        """The kind of action that the trained model was taught to tell."""
        return self.reading.target if self._fitted else None

    @property
    def item_table(self) -> np.ndarray:  # noqa: D102 - as in the base
        return self.vectors.vectors

    def with_threads(self, threads: int | None) -> Self:
        """Let one answer be computed with so many threads (None: ``OMP_NUM_THREADS``, or one); gives itself back."""
        self.encoder = self.encoder.with_threads(threads)
        return self

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        raise NotTrainedHere()

    def fit(self, data: Dataset, validation: Holdout | None = None, **run: Any) -> Self:
        """Raises ``NotTrainedHere``; what was known before stays."""
        raise NotTrainedHere()

    def searching(self, candidates: int) -> Self:
        """The same model with an index that finds so many items for one history; raises ``ExtraMissing``."""
        twin = copy.copy(self)
        twin.config = self.config.model_copy(update={"search": "approximate", "candidates": candidates})
        twin.index = ItemIndex.over(self.vectors.vectors)
        return twin

    @property
    def approximate(self) -> bool:  # noqa: D102 - as in the base
        return self.index is not None

    def _score_likeliest(self, histories: Histories) -> np.ndarray:
        if self.index is None:
            return self._score_block(histories)
        table, states = self.vectors.vectors, self._states(histories)
        codes = self.index.nearest(states, self.config.candidates)
        rows = np.arange(len(codes))[:, None]
        products = np.zeros((len(codes), len(table)), dtype=np.float32)
        products[rows, codes] = np.einsum("rcd,rd->rc", table[codes], states)
        scores = self._with_trend(self._with_prior(products, histories), histories)
        found = np.full_like(scores, -np.inf)
        found[rows, codes] = scores[rows, codes]
        return found

    def _products(self, histories: Histories) -> np.ndarray:
        products: np.ndarray = self._states(histories) @ self.vectors.vectors.T
        return products

    def _states(self, histories: Histories) -> np.ndarray:
        """(rows, d) what is held against the item vectors."""
        table = self.vectors.vectors
        states = np.empty((len(histories), table.shape[1]), dtype=np.float32)
        read = self.reading.readable(self._timed(histories))
        batches = inference_batches(read, self.reading.max_length, _TOKENS, self.time_zone, self.reading.long_history)
        for rows, batch in batches:
            states[rows] = self.encoder(vectors=table[batch.inputs], lengths=batch.lengths, **self._columns(batch))
        return states

    def _columns(self, batch: Batch) -> dict[str, np.ndarray]:
        """What stands beside the items; as not known where the histories do not say."""
        found = {}
        for name in self.reading.columns:
            kind, unknown = _UNKNOWN[name]
            column = getattr(batch, name)
            found[name] = (
                np.full(batch.inputs.shape, unknown, kind) if column is None else column.astype(kind, copy=False)
            )
        return found

    def _grow(self, growth: Growth) -> None:
        self.vectors = self.vectors.grown(growth)
        self.index = None if self.index is None else self.index.grown(self.vectors.vectors, growth.told)
        self.trend = self._trend_of(None if self.trend is None else self.trend.weights)
        self.prior = None if self.prior is None else self.prior.grown(self, growth)

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.graph("encoder", self.encoder.content)
        artefact.document("reading", asdict(self.reading))
        artefact.document("source", self.source)
        self.vectors.save(artefact.within("items"))
        if self.index is not None:
            artefact.index("items-index", self.index.content)
        self._save_beside(artefact)

    def _load(self, artefact: artefacts.Reader) -> None:
        self._forget_vectors()
        reading = artefact.document("reading")
        self.reading = Reading(**{**reading, "columns": tuple(reading["columns"])})
        self.source = artefact.document("source")
        self.encoder = Graph(artefact.graph("encoder")).opened()
        self.vectors = ExportedItems.restored(artefact.within("items"))
        if len(self.vectors.vectors) != len(self.item_vocabulary) + 1:
            raise ValueError("there are not as many vectors as items")
        if self.config.search == "approximate":
            self.index = ItemIndex.restored(artefact.index("items-index"), self.vectors.vectors)
        self._load_beside(artefact)
