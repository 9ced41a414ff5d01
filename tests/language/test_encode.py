"""Vectors of many texts: each once, in batches that fit, kept on disk, and never in the way of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from segue.datasets.fetch import fetch
from segue.errors import EncodingMemory, LanguageModelBroken
from segue.language import encode as module
from segue.language.batching import batches
from segue.language.encode import encode_texts
from segue.language.encoder import TextConfig, TextEncoder
from segue.language.models import load_language_model
from segue.language.precision import Precision

from .tiny_models import save_tiny

WORDS = list("abcdefgh")
TEXTS = ["", "a b", "c d e f g", "a b", "h", "  ", "b a"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("bert"), "bert", WORDS)


@pytest.fixture
def encoder(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TextEncoder:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path))
    return fresh(place)


def fresh(place: str, **settings: Any) -> TextEncoder:
    return TextEncoder(load_language_model(place), TextConfig.parse(settings))


def count(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The texts of each batch that the backbone reads from now on."""
    read: list[int] = []
    forward = encoder.backbone.forward

    def counted(*arguments: Any, **named: Any) -> Any:
        read.append(len(named["input_ids"]))
        return forward(*arguments, **named)

    monkeypatch.setattr(encoder.backbone, "forward", counted)
    return read


@given(st.lists(st.integers(1, 60), max_size=200), st.integers(1, 300))
def test_every_row_is_in_one_batch_and_no_batch_is_over_its_budget(lengths: list[int], tokens: int) -> None:
    groups = batches(lengths, tokens)
    assert sorted(row for group in groups for row in group.tolist()) == list(range(len(lengths)))
    for group in groups:
        width = max(lengths[row] for row in group)
        assert len(group) == 1 or len(group) * width <= tokens
    longest = [max(lengths[row] for row in group) for group in groups]
    assert longest == sorted(longest, reverse=True)


def test_equal_texts_are_read_once_and_empty_ones_are_zeros(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = count(encoder, monkeypatch)
    vectors = encode_texts(encoder, TEXTS, show=False)
    assert vectors.shape == (7, 32)
    assert vectors.dtype == np.float32
    assert sum(read) == 4
    assert not vectors[[0, 5]].any()
    np.testing.assert_array_equal(vectors[1], vectors[3])
    assert np.abs(vectors[1] - vectors[6]).max() > 1e-3  # the order of words counts


def test_nothing_to_read_is_no_error(encoder: TextEncoder) -> None:
    assert encode_texts(encoder, [], show=False).shape == (0, 32)
    assert not encode_texts(encoder, ["", " "], show=False).any()


def test_only_what_changed_is_read_again(encoder: TextEncoder, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = encode_texts(encoder, TEXTS, show=False)
    again = fresh(place)
    read = count(again, monkeypatch)
    np.testing.assert_array_equal(encode_texts(again, TEXTS, show=False), first)
    assert read == []
    encode_texts(again, [*TEXTS, "f e d"], show=False)
    assert read == [1]


def test_without_the_cache_nothing_is_read_or_written(
    encoder: TextEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encode_texts(encoder, TEXTS, show=False, cache=False)
    assert list(tmp_path.iterdir()) == []
    read = count(encoder, monkeypatch)
    np.testing.assert_array_equal(encode_texts(encoder, TEXTS, show=False, cache=False), first)
    assert sum(read) == 4


@pytest.mark.parametrize(
    "settings", [{"pooling": "cls"}, {"prompt": "h "}, {"max_tokens": 3}, {"precision": "bf16"}, {"precision": "int8"}]
)
def test_another_setting_never_gets_the_vectors_of_this_one(
    settings: dict[str, Any], encoder: TextEncoder, place: str
) -> None:
    encode_texts(encoder, TEXTS, show=False)
    other = fresh(place, **settings)
    kept = encode_texts(other, TEXTS, show=False)
    np.testing.assert_array_equal(kept, encode_texts(other, TEXTS, show=False, cache=False))


def test_weights_that_were_trained_never_get_the_vectors_of_those_before(encoder: TextEncoder) -> None:
    first = encode_texts(encoder, TEXTS, show=False)
    with torch.no_grad():
        next(encoder.backbone.parameters()).mul_(1.5)
    second = encode_texts(encoder, TEXTS, show=False)
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(second, encode_texts(encoder, TEXTS, show=False, cache=False))


def test_an_encoder_in_training_is_read_without_dropout_and_left_in_training(encoder: TextEncoder) -> None:
    first = encode_texts(encoder.eval(), TEXTS, show=False, cache=False)
    encoder.train()
    np.testing.assert_array_equal(encode_texts(encoder, TEXTS, show=False, cache=False), first)
    assert encoder.training
    assert encoder.backbone.training


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing_and_are_given_back(
    threads: int, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TOKENS", 6)  # many batches
    texts = [" ".join(WORDS[:n]) + " " + WORDS[m] for n in range(1, 8) for m in range(8)]
    wanted = encode_texts(encoder, texts, show=False, cache=False)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        np.testing.assert_allclose(encode_texts(encoder, texts, show=False, cache=False), wanted, atol=1e-6)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_a_batch_that_does_not_fit_is_halved(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = encode_texts(encoder, TEXTS, show=False, cache=False)
    forward = encoder.backbone.forward

    def small(*arguments: Any, **named: Any) -> Any:
        if len(named["input_ids"]) > 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: ...")
        return forward(*arguments, **named)

    monkeypatch.setattr(encoder.backbone, "forward", small)
    np.testing.assert_allclose(encode_texts(encoder, TEXTS, show=False, cache=False), wanted, atol=1e-5)


@pytest.mark.parametrize("error", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory")])
def test_one_text_that_does_not_fit_names_the_setting_that_halves_it(
    error: Exception, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: Any) -> Any:
        raise error

    monkeypatch.setattr(encoder.backbone, "forward", full)
    with pytest.raises(EncodingMemory, match=r"single text of 7 tokens\. Halve max_tokens .* to 3:"):
        encode_texts(encoder, TEXTS, show=False)


def test_another_error_is_not_taken_for_memory(encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(**_: Any) -> Any:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(encoder.backbone, "forward", wrong)
    with pytest.raises(RuntimeError, match="shapes differ"):
        encode_texts(encoder, TEXTS, show=False)


def test_a_model_that_gives_no_numbers_is_refused_and_nothing_of_it_is_kept(
    encoder: TextEncoder, tmp_path: Path
) -> None:
    with torch.no_grad():
        encoder.backbone.get_parameter("encoder.layer.0.output.dense.weight").fill_(float("nan"))
    with pytest.raises(LanguageModelBroken, match="not numbers"):
        encode_texts(encoder, TEXTS, show=False)
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_minilm_finds_the_films_that_are_alike(precision: Precision) -> None:
    fetch("minilm", progress=False)
    texts = [
        "Star Wars. Sci-Fi, Adventure",
        "Star Trek: First Contact. Sci-Fi",
        "A Little Princess. Children's",
        "The Secret Garden. Children's",
        "Psycho. Horror",
        "The Exorcist. Horror",
    ]
    encoder = TextEncoder(load_language_model("minilm"), TextConfig(precision=precision))
    vectors = encode_texts(encoder, texts, show=False, cache=False)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    likeness = unit @ unit.T - 2 * np.eye(len(texts))
    assert likeness.argmax(1).tolist() == [1, 0, 3, 2, 5, 4]
