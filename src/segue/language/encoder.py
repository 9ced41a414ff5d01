"""``TextEncoder``: a language model as a torch module from texts to one vector each.

Vectors of many texts at once are left to ``encode``, the cache on disk to ``vectors``, smaller numbers to
``precision`` and tuning to ``tuning``.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from segue.config import Config
from segue.errors import ConfigValue
from segue.language.batching import padded
from segue.language.models import LanguageModel
from segue.language.precision import Precision, lowered

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
    max_tokens: int = Field(64, ge=2)
    """Tokens that are read of a text, or fewer where the model cannot read as many; the rest is cut off at its end, so
    that the title stays."""
    precision: Precision = "fp32"
    """Of the numbers of a model that is read and not trained: fp32, bf16 or int8."""


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

    Raises:
        ConfigValue: the first token of a GPT-like model is asked for, which has read nothing.
    """

    def __init__(self, language: LanguageModel, config: TextConfig) -> None:
        super().__init__()
        self.backbone = language.model
        self.tokenizer = language.tokenizer
        self.name, self.size = language.name, language.size
        self.prompt, self.precision = config.prompt, config.precision
        self.pooling = config.pooling if config.pooling != "auto" else "last" if language.causal else "mean"
        if self.pooling == "cls" and language.causal:
            reason = "the first token of a GPT-like model has read nothing else; take last, eos or mean"
            raise ConfigValue(name="pooling", owner="Text", value="cls", reason=reason)
        self.max_tokens = min(config.max_tokens, longest(language))

    def tokenise(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, cut to ``max_tokens``; never empty."""
        room = self.max_tokens - (1 if self.pooling == "eos" else 0)
        told = [self.prompt + text for text in texts]
        encoded = self.tokenizer(
            told, truncation=True, max_length=room, return_attention_mask=False, return_token_type_ids=False
        )["input_ids"]
        end = [self.end()] if self.pooling == "eos" else []
        nothing = [self.tokenizer.pad_token_id]
        return [np.array([*ids, *end] or nothing, dtype=np.int32) for ids in encoded]

    def padded(self, rows: Sequence[np.ndarray]) -> Tokens:
        """Token ids to one batch, padded on the right."""
        ids, mask = padded(rows, self.tokenizer.pad_token_id)
        return Tokens(torch.from_numpy(ids), torch.from_numpy(mask))

    def forward(self, tokens: Tokens) -> Tensor:
        """(texts, D) vectors, neither normalised nor projected."""
        # Where nothing is padded the mask says nothing, and attention is faster without.
        mask = None if bool(tokens.mask.all()) else tokens.mask
        hidden = self.backbone(input_ids=tokens.ids, attention_mask=mask).last_hidden_state
        return pooled(hidden, tokens.mask, self.pooling)

    def quick(self) -> TextEncoder:
        """This encoder with the numbers of ``precision``, to be read and not trained; itself in fp32."""
        if self.precision == "fp32":
            return self
        twin = copy.copy(self)
        twin._modules = {"backbone": lowered(self.backbone, self.precision)}
        return twin

    def end(self) -> int:
        """The token that closes a text."""
        end = self.tokenizer.eos_token_id
        return int(end if end is not None else self.tokenizer.sep_token_id or self.tokenizer.pad_token_id)


def pooled(hidden: Tensor, mask: Tensor, pooling: str) -> Tensor:
    """(texts, width, D) to (texts, D); padding, on the right, counts for nothing."""
    if pooling == "cls":
        return hidden[:, 0]
    if pooling in ("last", "eos"):
        last = (mask.sum(1) - 1)[:, None, None]
        return hidden.gather(1, last.expand(-1, 1, hidden.shape[2]))[:, 0]
    weights = mask[..., None].to(hidden.dtype)
    return (hidden * weights).sum(1) / weights.sum(1)


def longest(language: LanguageModel) -> int:
    """Tokens that a model can read at most; those with learnt positions have no more."""
    config: Any = language.model.config
    limit = int(getattr(config, "max_position_embeddings", None) or getattr(config, "n_positions", None) or 1 << 30)
    # RoBERTa's kin count positions from behind their padding.
    embeddings = getattr(language.model.base_model, "embeddings", None)
    offset = getattr(getattr(embeddings, "position_embeddings", None), "padding_idx", None)
    limit -= 0 if offset is None else offset + 1
    return max(2, min(limit, int(min(language.tokenizer.model_max_length, 1 << 30))))
