"""What a language model says of the items of one catalogue: which model, whether there is text, and the vectors."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from segue.data.vocabulary import Vocabulary
from segue.datasets.catalogue import SOURCES, folder
from segue.errors import LanguageModelChanged, NotFetched
from segue.language.encode import encode_texts
from segue.language.encoder import TextConfig, TextEncoder
from segue.language.models import load_language_model
from segue.language.text import item_texts, text_columns
from segue.language.tuning import TuningConfig, tuned

DEFAULT_MODEL = "minilm"


@dataclass(frozen=True, eq=False)
class ItemText:
    """Vectors of the text of each item, and what made them.

    Attributes:
        sha256: of the language model.
        columns: of the catalogue that were read.
        vectors: (catalogue + 1, D) float32; rows of zeros for padding and for items without text.
        texts: that were read, by code; ``""`` where there is none.
    """

    sha256: str
    columns: tuple[str, ...]
    vectors: np.ndarray
    texts: tuple[str, ...] = ()

    @property
    def coverage(self) -> float:
        """The share of the catalogue that has text."""
        return float(np.abs(self.vectors[1:]).any(1).mean()) if len(self.vectors) > 1 else 0.0


def wanted_model(text: str | None, items: pl.DataFrame | None, worth: bool = True) -> str | None:
    """The model that a setting ``text=`` means for a catalogue; None where there is none to read it, or no text.

    Where nobody asked for one it is that of ``$SEGUE_TEXT`` (``none`` for none), or minilm, if it has been fetched.

    Args:
        worth: whether text is worth reading where nobody asked for it.
    """
    if text != "auto":
        return text
    nothing = os.environ.get("SEGUE_TEXT") == "none"
    if nothing or not worth or not text_columns(items) or importlib.util.find_spec("transformers") is None:
        return None
    usual = os.environ.get("SEGUE_TEXT", DEFAULT_MODEL)
    try:
        return usual if usual not in SOURCES or folder(usual) else None
    except NotFetched:
        return None


def read_item_text(
    items: pl.DataFrame | None,
    vocabulary: Vocabulary,
    config: TextConfig,
    columns: Sequence[str] | None = None,
    show: bool = True,
) -> ItemText:
    """Read a catalogue with a language model.

    Raises:
        LanguageModelUnknown, LanguageModelBroken, FeatureUnknown.
    """
    chosen = text_columns(items) if columns is None else list(columns)
    texts = item_texts(items, vocabulary, chosen)
    language = load_language_model(config.model)
    vectors = encode_texts(TextEncoder(language, config), texts, show)
    return ItemText(language.sha256, tuple(chosen), vectors, tuple(texts))


def tuned_encoder(
    config: TextConfig, sha256: str, tuning: TuningConfig | None = None, state: Mapping[str, np.ndarray] | None = None
) -> TextEncoder:
    """The encoder that made a catalogue's vectors, to read more texts with; it learns no more.

    Args:
        config: which model, and how text is read.
        sha256: of the model that was used then.
        tuning, state: what was learnt besides (see ``Tuning.state``).

    Raises:
        LanguageModelChanged: the model of that name is another now.
        LanguageModelUnknown, LanguageModelBroken.
    """
    language = load_language_model(config.model)
    if language.sha256 != sha256:
        raise LanguageModelChanged(name=config.model, found=language.sha256[:12], wanted=sha256[:12])
    if state is not None and tuning is not None:
        tuned(language.model, tuning).load(state)
    return TextEncoder(language, config).requires_grad_(False).eval()
