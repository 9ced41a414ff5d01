"""Tiny language models with random weights, written to a folder as any pretrained one is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

WORDS = ("film", "number", "red", "blue", "green", "tea", "pot", "cup", "saw", "drill", *map(str, range(50)))


def tiny_model(folder: Path, kind: str = "bert", words: Sequence[str] = WORDS, seed: int = 0) -> str:
    """Write a model of 32 dimensions and two layers (``bert``: masked, ``llama``: causal); returns its folder."""
    import transformers

    tokenizer = tiny_tokenizer(words, kind)
    shape: dict[str, Any] = {"vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 64}
    shape |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
    shape |= {"pad_token_id": tokenizer.pad_token_id}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if kind == "bert":
            model = transformers.BertForMaskedLM(transformers.BertConfig(**shape))
        else:
            ends = {"bos_token_id": None, "eos_token_id": tokenizer.eos_token_id}
            model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**shape, **ends))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def tiny_tokenizer(words: Sequence[str], kind: str) -> Any:
    """A tokenizer of whole words, with the special tokens of BERT, or (``llama``) an end alone, and no padding."""
    import transformers
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] if kind == "bert" else ["[UNK]", "[END]"]
    vocabulary = {word: number for number, word in enumerate([*special, *words])}
    inner = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind != "bert":
        return transformers.PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="[UNK]", eos_token="[END]")
    ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
    inner.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
