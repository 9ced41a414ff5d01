"""Text neighbours: items whose text says what that of the newest items says, cold ones among them.

A language model reads the catalogue once, when fitting; its vectors are kept with the recommender, so that loading and
answering need neither the model nor torch. What is learnt from events is left to the other recommenders.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from segue import artefacts
from segue.cautions import NoItemText
from segue.config import Config, ReadWhere
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.data.vocabulary import Vocabulary
from segue.errors import LanguageModelChanged
from segue.recommenders.base import Recommender
from segue.recommenders.growing import Growth, longer
from segue.recommenders.neighbours import recency_matrix


class TextNeighboursConfig(Config):
    """Settings of :class:`TextNeighbours`."""

    read_where = (ReadWhere(("decay",), "last is above 1", lambda config: config.last > 1, on=("last",)),)
    text: str = "minilm"
    """The language model that reads the text of the items: minilm, smollm2, a name or a path."""
    text_columns: list[str] | None = None
    """Columns of the catalogue that are its text, the most telling first. None: titles, brands, categories, prose."""
    text_pooling: Literal["mean", "cls", "last", "eos"] | None = None
    """Of the tokens' vectors. None: mean, or last for GPT-like models."""
    text_prompt: str = ""
    """What is put before every text."""
    text_max_tokens: int = Field(64, ge=2)
    """Tokens that are read of a text; the title stands first and stays."""
    last: int = Field(1, ge=1)
    """How many of the newest events of a history are asked."""
    decay: float = Field(0.5, gt=0, le=1)
    """Weight of an event relative to the one after it."""


class TextNeighbours(Recommender):
    """Sums the cosine similarities between the text of a history's newest items and that of each candidate.

    Nothing is learnt from events, so that items without any rank like all others: what to compare on cold items and
    in a new domain. Items without text score 0; where nothing of a history has text, the most popular come first.
    The model may be one that ``segue pretrain`` wrote, which did learn from events.
    """

    Settings = TextNeighboursConfig

    def _fit(self, data: Dataset, validation: Holdout | None, run: Mapping[str, Any]) -> None:
        vectors = np.zeros((len(self.item_vocabulary) + 1, 1), dtype=np.float32)
        if self._told(self.items, self.item_vocabulary):
            vectors = self._read(self.items, self.item_vocabulary, bool(run.get("progress", True)))
        else:
            message = "No item of the catalogue has text; TextNeighbours lists what is popular."
            warnings.warn(message, NoItemText, stacklevel=3)
        self._keep(vectors)

    def _told(self, items: pl.DataFrame | None, vocabulary: Vocabulary) -> bool:
        """Whether any item has text."""
        from segue.language.text import item_texts

        columns = self.config.text_columns
        return any(text.strip() for text in item_texts(items, vocabulary, "auto" if columns is None else columns))

    def _keep(self, vectors: np.ndarray) -> None:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._kept = (vectors / np.where(norms > 0, norms, 1)).astype(np.float16)
        self._vectors = self._kept.astype(np.float32)
        self.report["coverage"] = round(float((norms[1:] > 0).mean()), 4)

    def _grow(self, growth: Growth) -> None:
        vectors = longer(self._vectors, growth.rows)
        if self._told(growth.told_items, growth.told_vocabulary):
            wanted = self.report.get("sha256")
            read = self._read(growth.told_items, growth.told_vocabulary, show=True)[1:]
            if wanted is not None and wanted != self.report["sha256"]:
                raise LanguageModelChanged(name=self.config.text, found=self.report["sha256"], wanted=wanted)
            if vectors.shape[1] != read.shape[1]:  # no item had text until now
                vectors = np.zeros((growth.rows, read.shape[1]), dtype=np.float32)
            vectors[growth.told] = read
        self._keep(vectors)

    def _read(self, items: pl.DataFrame | None, vocabulary: Vocabulary, show: bool) -> np.ndarray:
        """(catalogue + 1, D) what the language model says."""
        from segue.language.encoder import TextConfig
        from segue.language.item_text import read_item_text

        config = TextConfig(
            model=self.config.text,
            pooling=self.config.text_pooling or "auto",
            prompt=self.config.text_prompt,
            max_tokens=self.config.text_max_tokens,
        )
        columns = self.report.get("columns", self.config.text_columns)  # what was read once is read of new items too
        found = read_item_text(items, vocabulary, config, columns, show)
        self.report |= {"sha256": found.sha256, "columns": list(found.columns)}
        return found.vectors

    def _score_block(self, histories: Histories) -> np.ndarray:
        weights = recency_matrix(histories, self.config.last, self.config.decay, len(self._vectors))
        return np.asarray((weights @ self._vectors) @ self._vectors.T, dtype=np.float32)

    def item_vectors(self, codes: np.ndarray) -> np.ndarray:
        """Those of their text."""
        return np.asarray(self._vectors[codes])

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("text", {"vectors": self._kept})

    def _load(self, artefact: artefacts.Reader) -> None:
        self._kept = artefact.tensors("text")["vectors"]
        self._vectors = self._kept.astype(np.float32)
