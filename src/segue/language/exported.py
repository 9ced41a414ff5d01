"""``ExportedTextEncoder``: a language model as ONNX with its tokenizer, from texts to vectors without torch.

The vectors are those of ``language.encoder`` but for the last bits. How one is made is left to ``deploy``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from segue import artefacts
from segue.errors import ExtraMissing, GraphBroken
from segue.language.batching import batches, padded
from segue.sessions import Graph

_TOKENS = 512  # padded tokens per batch


@dataclass(frozen=True)
class TextFacts:
    """How texts are read.

    Attributes:
        size: of the vectors.
        columns: of the catalogue that make a text.
        prompt: put before every text.
        max_tokens: read of a text, with its special tokens.
        pad, end: the token that pads, and the one that is added at the end of each text; None adds none.
    """

    size: int
    columns: tuple[str, ...]
    prompt: str
    max_tokens: int
    pad: int
    end: int | None = None


class ExportedTextEncoder:
    """Texts to vectors; model and tokenizer are opened at the first text.

    Args:
        graph: ``ids`` and ``mask`` to one vector for each text.
        tokenizer: the document of ``tokenizers``, as text.
        facts: how texts are read.
    """

    def __init__(self, graph: Graph, tokenizer: str, facts: TextFacts) -> None:
        self.graph, self.tokenizer, self.facts = graph, tokenizer, facts

    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """(texts, D) float32; an empty text is a row of zeros.

        Raises:
            ExtraMissing: ``tokenizers`` is not installed.
            GraphBroken.
        """
        found = np.zeros((len(texts), self.facts.size), dtype=np.float32)
        told = [place for place, text in enumerate(texts) if text.strip()]
        if not told:
            return found
        rows = self.tokenised([texts[place] for place in told])
        for group in batches([len(row) for row in rows], _TOKENS):
            ids, mask = padded([rows[row] for row in group], self.facts.pad)
            found[np.array(told)[group]] = self.graph(ids=ids, mask=mask)
        return found

    def tokenised(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, cut to ``max_tokens``; never empty."""
        end = [] if self.facts.end is None else [self.facts.end]
        encoded = self._tokenizer.encode_batch([self.facts.prompt + text for text in texts])
        return [np.array([*each.ids, *end] or [self.facts.pad], dtype=np.int64) for each in encoded]

    @cached_property
    def _tokenizer(self) -> Any:
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise ExtraMissing(what="The text of new items", package="tokenizers", extra="serve") from None
        try:
            tokenizer = Tokenizer.from_str(self.tokenizer)
        except Exception as error:  # noqa: BLE001 - the library raises nothing narrower
            raise GraphBroken(reason=f"its tokenizer cannot be read: {error}") from None
        tokenizer.no_padding()
        tokenizer.enable_truncation(self.facts.max_tokens - (self.facts.end is not None))
        return tokenizer

    def save(self, artefact: artefacts.Writer) -> None:
        """Write all of it."""
        artefact.graph("model", self.graph.content)
        artefact.document("tokenizer", json.loads(self.tokenizer))
        facts = {name: getattr(self.facts, name) for name in ("size", "prompt", "max_tokens", "pad", "end")}
        artefact.document("facts", {**facts, "columns": list(self.facts.columns)})

    @classmethod
    def restored(cls, artefact: artefacts.Reader) -> ExportedTextEncoder:
        """What :meth:`save` wrote."""
        facts = artefact.document("facts")
        read = TextFacts(**{**facts, "columns": tuple(facts["columns"])})
        return cls(Graph(artefact.graph("model")), json.dumps(artefact.document("tokenizer")), read)
