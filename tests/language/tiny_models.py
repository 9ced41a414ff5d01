"""Language models of a few thousand random weights, with a tokenizer of whole words."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, LlamaConfig, LlamaModel, PreTrainedTokenizerFast

SHAPE: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
}


def tiny_model(kind: str, vocabulary: int = 60, seed: int = 0) -> Any:
    """A ``bert`` or a ``llama`` with four layers of size 32, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "bert":
            # Wider than usual at the start, so that texts differ enough to learn from.
            return BertModel(BertConfig(vocab_size=vocabulary, initializer_range=0.2, **SHAPE)).eval()
        settings = LlamaConfig(
            vocab_size=vocabulary, num_key_value_heads=2, initializer_range=0.2, pad_token_id=0, **SHAPE
        )
        return LlamaModel(settings).eval()


def save_tiny(path: Path, kind: str, words: Iterable[str], seed: int = 0) -> str:
    """Write a model and its tokenizer as ``transformers`` does; returns the path."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: n for n, word in enumerate([*special, *dict.fromkeys(words)])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    names = {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    }
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(path)
    tiny_model(kind, len(vocabulary), seed).save_pretrained(path)
    return str(path)
