"""``TextEncoder``: a language model as a torch module from texts to one vector each.

Vectors of many texts at once, the cache on disk and the fast path are left to ``encode``; tuning to ``tuning``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from segue.config import Config
from segue.language.models import LanguageModel

Pooling = Literal["auto", "mean", "cls", "last", "eos"]


class TextConfig(Config):
    """How item text becomes vectors."""

    model: str = "minilm"
    """A model by name (minilm, smollm2, one of the Hugging Face hub) or path."""
    pooling: Pooling = "auto"
    """Of the tokens' vectors: mean, cls (the first), last (the last of the text), eos (of an end token that is added).
    Auto: mean, or last for GPT-like models."""
    prompt: str = ""
    """What is put before every text, such as ``"query: "``."""
    max_tokens: int = 64
    """Tokens that are read of a text; the rest is cut off at its end, so that the title stays."""


@dataclass(frozen=True)
class Tokens:
    """Padded texts: ``ids`` and ``mask``, (texts, width) int64 both."""

    ids: Tensor
    mask: Tensor


class TextEncoder(nn.Module):
    """Texts to vectors, (texts, D), by a backbone whose tokens' vectors are pooled; trainable end to end.

    Args:
        language: the pretrained model.
        config: pooling, prompt and how much is read.
    """

    def __init__(self, language: LanguageModel, config: TextConfig) -> None:
        super().__init__()
        self.backbone = language.model
        self.tokenizer = language.tokenizer
        self.size = language.size
        self.prompt, self.max_tokens = config.prompt, config.max_tokens
        self.pooling = config.pooling if config.pooling != "auto" else "last" if language.causal else "mean"

    def tokenise(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, cut to ``max_tokens``; never empty."""
        room = self.max_tokens - (1 if self.pooling == "eos" else 0)
        told = [self.prompt + text for text in texts]
        encoded = self.tokenizer(told, truncation=True, max_length=room, return_attention_mask=False)["input_ids"]
        end = [self.tokenizer.eos_token_id or self.tokenizer.sep_token_id] if self.pooling == "eos" else []
        nothing = [self.tokenizer.pad_token_id]
        return [np.array([*ids, *end] or nothing, dtype=np.int32) for ids in encoded]

    def padded(self, rows: Sequence[np.ndarray]) -> Tokens:
        """Token ids to one batch, padded on the right."""
        lengths = np.array([len(row) for row in rows])
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self.tokenizer.pad_token_id, dtype=np.int64)
        ids[mask] = np.concatenate(rows)
        return Tokens(torch.from_numpy(ids), torch.from_numpy(mask.astype(np.int64)))

    def forward(self, tokens: Tokens) -> Tensor:
        """(texts, D) vectors, neither normalised nor projected."""
        hidden = self.backbone(input_ids=tokens.ids, attention_mask=tokens.mask).last_hidden_state
        return pooled(hidden, tokens.mask, self.pooling)


def pooled(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """(texts, width, D) to (texts, D); padding, on the right, counts for nothing."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling in ("last", "eos"):
        return hidden[torch.arange(len(hidden), device=hidden.device), mask.sum(1) - 1]
    weights = mask[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)
