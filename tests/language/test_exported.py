"""A language model without torch reads as it did with it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from segue.deploy.tracing import trace_language
from segue.errors import ExtraMissing
from segue.language.encode import encode_texts
from segue.language.encoder import Pooling, TextConfig, TextEncoder
from segue.language.exported import ExportedTextEncoder, TextFacts
from segue.language.models import load_language_model
from segue.sessions import Graph
from tests.language.makers import tiny_model

TEXTS = ["red tea pot", "", "  ", "green cup", "nobody wrote this", "blue saw " * 40, "1", "red tea pot"]


def both(folder: Path, kind: str, pooling: Pooling) -> tuple[TextEncoder, ExportedTextEncoder]:
    place = tiny_model(folder / kind, kind)
    config = TextConfig(model=place, pooling=pooling, prompt="film ", max_tokens=9)
    encoder = TextEncoder(load_language_model(place), config)
    facts = TextFacts(
        size=encoder.size,
        columns=("title",),
        prompt=encoder.prompt,
        max_tokens=encoder.max_tokens,
        pad=encoder.tokenizer.pad_token_id,
        end=encoder.end() if pooling == "eos" else None,
    )
    tokenizer = encoder.tokenizer.backend_tokenizer.to_str()
    return encoder, ExportedTextEncoder(Graph(trace_language(encoder)), tokenizer, facts)


@pytest.mark.parametrize(("kind", "pooling"), [("bert", "mean"), ("bert", "cls"), ("llama", "last"), ("llama", "eos")])
def test_vectors_and_tokens_are_those_of_the_trained_one(tmp_path: Path, kind: str, pooling: Pooling) -> None:
    encoder, exported = both(tmp_path, kind, pooling)
    told = [text for text in TEXTS if text.strip()]
    for one, other in zip(exported.tokenised(told), encoder.tokenise(told), strict=True):
        assert one.tolist() == other.tolist()
    wanted, found = encode_texts(encoder, TEXTS, False, cache=False), exported.vectors(TEXTS)
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)
    assert np.abs(wanted[0] - wanted[3]).max() > 1e-3
    assert not found[1:3].any()


def test_no_texts_are_no_error_and_open_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, exported = both(tmp_path, "bert", "mean")
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert exported.vectors([]).shape == (0, 32)
    assert not exported.vectors([""]).any()
    with pytest.raises(ExtraMissing, match="tokenizers"):
        exported.vectors(["red"])
