"""Text neighbours: items whose text says what that of the newest items says, cold ones among them.

A language model reads the catalogue once, when fitting; its vectors are kept with the recommender, so that loading and
answering need neither the model nor torch. What is learnt from events is left to the other recommenders.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from pydantic import Field

from segue import artefacts
from segue.cautions import NoItemText
from segue.config import Config
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.errors import LanguageModelChanged
from segue.recommenders.base import Recommender
from segue.recommenders.growing import Growth, longer
from segue.recommenders.neighbours import recency_matrix


class TextNeighboursConfig(Config):
    """Settings of :class:`TextNeighbours`."""

    text: str = "minilm"
    """The language model that reads the text of the items: minilm, smollm2, a name or a path."""
    text_columns: list[str] | Literal["auto"] = "auto"
    """Columns of the catalogue that are its text, the most telling first. Auto: titles, brands, categories, prose."""
    text_pooling: Literal["auto", "mean", "cls", "last", "eos"] = "auto"
    """Of the tokens' vectors. Auto: mean, or last for GPT-like models."""
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
        from segue.language.text import item_texts

        texts = item_texts(self.items, self.item_vocabulary, self.config.text_columns)
        told = any(text.strip() for text in texts)
        vectors = self._read(texts, bool(run.get("progress", True))) if told else np.zeros((len(texts), 1))
        if not told:
            message = "No item of the catalogue has text; TextNeighbours lists what is popular."
            warnings.warn(message, NoItemText, stacklevel=3)
        self._keep(vectors)

    def _keep(self, vectors: np.ndarray) -> None:
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._kept = (vectors / np.where(norms > 0, norms, 1)).astype(np.float16)
        self._vectors = self._kept.astype(np.float32)
        self.report["coverage"] = round(float((norms[1:] > 0).mean()), 4)

    def _grow(self, growth: Growth) -> None:
        from segue.language.text import item_texts

        texts = item_texts(growth.told_items, growth.told_vocabulary, self.config.text_columns)[1:]
        vectors = longer(self._vectors, growth.rows)
        if any(text.strip() for text in texts):
            wanted = self.report.get("sha256")
            read = self._read(texts, show=True)
            if wanted is not None and wanted != self.report["sha256"]:
                raise LanguageModelChanged(name=self.config.text, found=self.report["sha256"], wanted=wanted)
            if vectors.shape[1] != read.shape[1]:  # no item had text until now
                vectors = np.zeros((growth.rows, read.shape[1]), dtype=np.float32)
            vectors[growth.told] = read
        self._keep(vectors)

    def _read(self, texts: list[str], show: bool) -> np.ndarray:
        """(catalogue + 1, D) what the language model says."""
        from segue.language.encode import encode_texts
        from segue.language.encoder import TextConfig, TextEncoder
        from segue.language.models import load_language_model

        language = load_language_model(self.config.text)
        self.report["sha256"] = language.sha256
        config = TextConfig(
            model=self.config.text,
            pooling=self.config.text_pooling,
            prompt=self.config.text_prompt,
            max_tokens=self.config.text_max_tokens,
        )
        return encode_texts(TextEncoder(language, config), texts, show)

    def _score_block(self, histories: Histories) -> np.ndarray:
        weights = recency_matrix(histories, self.config.last, self.config.decay, len(self._vectors))
        return np.asarray((weights @ self._vectors) @ self._vectors.T, dtype=np.float32)

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("text", {"vectors": self._kept})

    def _load(self, artefact: artefacts.Reader) -> None:
        self._kept = artefact.tensors("text")["vectors"]
        self._vectors = self._kept.astype(np.float32)
