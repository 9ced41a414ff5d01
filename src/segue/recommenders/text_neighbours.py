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
from segue.recommenders.base import Recommender
from segue.recommenders.neighbours import recency_matrix


class TextNeighboursConfig(Config):
    """Settings of :class:`TextNeighbours`."""

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
        from segue.language.text import item_texts

        columns = self.config.text_columns
        texts = item_texts(self.items, self.item_vocabulary, "auto" if columns is None else columns)
        vectors = np.zeros((len(texts), 1), dtype=np.float32)
        if any(text.strip() for text in texts):
            vectors = self._read(bool(run.get("progress", True)))
        else:
            message = "No item of the catalogue has text; TextNeighbours lists what is popular."
            warnings.warn(message, NoItemText, stacklevel=3)
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        self._kept = (vectors / np.where(norms > 0, norms, 1)).astype(np.float16)
        self._vectors = self._kept.astype(np.float32)
        self.report["coverage"] = round(float((norms[1:] > 0).mean()), 4)

    def _read(self, show: bool) -> np.ndarray:
        """(catalogue + 1, D) what the language model says."""
        from segue.language.encoder import TextConfig
        from segue.language.item_text import read_item_text

        config = TextConfig(
            model=self.config.text,
            pooling=self.config.text_pooling or "auto",
            prompt=self.config.text_prompt,
            max_tokens=self.config.text_max_tokens,
        )
        found = read_item_text(self.items, self.item_vocabulary, config, self.config.text_columns, show)
        self.report["sha256"] = found.sha256
        return found.vectors

    def _score_block(self, histories: Histories) -> np.ndarray:
        weights = recency_matrix(histories, self.config.last, self.config.decay, len(self._vectors))
        return np.asarray((weights @ self._vectors) @ self._vectors.T, dtype=np.float32)

    def _save(self, artefact: artefacts.Writer) -> None:
        artefact.tensors("text", {"vectors": self._kept})

    def _load(self, artefact: artefacts.Reader) -> None:
        self._kept = artefact.tensors("text")["vectors"]
        self._vectors = self._kept.astype(np.float32)
