"""Text augmentation: words left out, tokens replaced by their neighbours in the model, and other templates.

All chance comes from the generator that is given, so that a step of training can be drawn again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from segue.language.prompts import TEMPLATES, Template

Noise = Literal["words", "synonyms", "templates"]
_LIKE = 0.4  # least cosine of a token and what may replace it
_BLOCK = 512  # tokens whose neighbours are found at a time


class TextNoise:
    """Changes the text of one training step.

    Args:
        tools: ``words`` (left out, after "word dropout" of Iyyer et al., ACL 2015), ``synonyms`` (a token gives way to
            the one whose input embedding is nearest), ``templates`` (each row is told in another way).
        share: of the words and tokens that are touched.
        synonyms: (vocabulary,) the nearest neighbour of each token, see :func:`neighbours`.
        rng: decides.
    """

    def __init__(
        self, tools: Sequence[Noise], share: float, synonyms: np.ndarray | None, rng: np.random.Generator
    ) -> None:
        self.tools, self.share, self.synonyms, self.rng = tools, share, synonyms, rng

    def templates(self, template: Template, rows: int) -> list[Template]:
        """One for each row: the given one, or any."""
        if "templates" not in self.tools:
            return [template] * rows
        choices = list(TEMPLATES.values())
        return [choices[number] for number in self.rng.integers(0, len(choices), rows)]

    def title(self, text: str) -> str:
        """Some words fewer, never none."""
        words = text.split()
        if "words" not in self.tools or len(words) < 2:
            return text
        kept = self.rng.random(len(words)) >= self.share
        kept[int(self.rng.integers(len(words)))] = True
        return " ".join(word for word, stays in zip(words, kept, strict=True) if stays)

    def tokens(self, ids: list[int]) -> list[int]:
        """Some tokens replaced by their neighbours."""
        if "synonyms" not in self.tools or self.synonyms is None or not ids:
            return ids
        found = np.asarray(ids)
        touched = self.rng.random(len(found)) < self.share
        return list(np.where(touched, self.synonyms[found], found).tolist())


def neighbours(embeddings: nn.Embedding, tokenizer: Any, tokens: np.ndarray) -> np.ndarray:
    """(vocabulary,) the token most like each in its input embedding; itself where none is, or none is asked for.

    Only whole words of letters replace each other: pieces of words and signs would make nonsense.

    Args:
        tokens: ids that occur in the catalogue; only these are replaced, and only by each other.
    """
    nearest = np.arange(embeddings.num_embeddings)
    plain = np.array([token for token in tokens if _is_word(tokenizer.convert_ids_to_tokens(int(token)))], dtype=int)
    if len(plain) < 2:
        return nearest
    with torch.inference_mode():
        vectors = nn.functional.normalize(embeddings.weight[torch.from_numpy(plain)].float(), dim=-1)
        for start in range(0, len(plain), _BLOCK):
            likeness = vectors[start : start + _BLOCK] @ vectors.T
            own = torch.arange(len(likeness))
            likeness[own, own + start] = -1.0
            best, place = likeness.max(1)
            rows = plain[start : start + len(likeness)]
            nearest[rows] = np.where(best.numpy() >= _LIKE, plain[place.numpy()], rows)
    return nearest


def _is_word(token: str) -> bool:
    return token.lstrip("Ġ▁").isalpha() and len(token) > 2
