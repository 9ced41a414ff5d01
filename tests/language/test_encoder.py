"""From texts to vectors as a module: pooling, prompts, what is cut, and that padding says nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import RobertaConfig, RobertaModel

from segue.errors import ConfigUnknown, ConfigValue
from segue.language.encoder import Pooling, TextConfig, TextEncoder, longest, pooled
from segue.language.models import LanguageModel, load_language_model

from .tiny_models import save_tiny

WORDS = ["query", "a", "b", "c", "d", "e", "f", "g"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LanguageModel]:
    places = {kind: tmp_path_factory.mktemp(kind) for kind in ("bert", "llama")}
    return {kind: load_language_model(save_tiny(path, kind, WORDS)) for kind, path in places.items()}


def encoder(language: LanguageModel, **settings: object) -> TextEncoder:
    return TextEncoder(language, TextConfig.parse(settings)).eval()


def vectors(of: TextEncoder, texts: list[str]) -> np.ndarray:
    with torch.inference_mode():
        return np.asarray(of(of.padded(of.tokenise(texts))))


@pytest.mark.parametrize("pooling", ["mean", "cls", "last", "eos"])
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_padding_never_changes_a_vector(kind: str, pooling: Pooling, models: dict[str, LanguageModel]) -> None:
    if (kind, pooling) == ("llama", "cls"):
        with pytest.raises(ConfigValue, match="has read nothing else"):
            encoder(models[kind], pooling=pooling)
        return
    of = encoder(models[kind], pooling=pooling)
    texts = ["a", "b c d e f g a b c", "c d"]
    alone = np.concatenate([vectors(of, [text]) for text in texts])
    np.testing.assert_allclose(vectors(of, texts), alone, atol=1e-5)
    assert np.abs(alone[0] - alone[1]).max() > 1e-3


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=5),
    st.sampled_from(["mean", "cls", "last", "eos"]),
    st.integers(0, 99),
)
def test_what_stands_where_nothing_is_has_no_say(lengths: list[int], pooling: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(len(lengths), 7, 3, generator=generator)
    mask = (torch.arange(7) < torch.tensor(lengths)[:, None]).long()
    other = torch.where(mask[..., None].bool(), hidden, torch.randn(hidden.shape, generator=generator))
    torch.testing.assert_close(pooled(hidden, mask, pooling), pooled(other, mask, pooling))
    for row, length in enumerate(lengths):
        part = hidden[row, :length]
        wanted = {"mean": part.mean(0), "cls": part[0]}.get(pooling, part[-1])
        torch.testing.assert_close(pooled(hidden, mask, pooling)[row], wanted)


def test_auto_pools_as_the_model_reads(models: dict[str, LanguageModel]) -> None:
    assert encoder(models["bert"]).pooling == "mean"
    assert encoder(models["llama"]).pooling == "last"


def test_what_is_cut_is_the_end_and_the_end_token_stays(models: dict[str, LanguageModel]) -> None:
    of = encoder(models["bert"], max_tokens=4)
    (cut,) = of.tokenise(["a b c d e f"])
    assert of.tokenizer.convert_ids_to_tokens(cut.tolist()) == ["[CLS]", "a", "b", "[SEP]"]
    (ended,) = encoder(models["bert"], max_tokens=4, pooling="eos").tokenise(["a b c d e f"])
    assert len(ended) == 4


def test_a_prompt_stands_before_every_text(models: dict[str, LanguageModel]) -> None:
    of = encoder(models["bert"], prompt="query ")
    (row,) = of.tokenise(["a"])
    assert of.tokenizer.convert_ids_to_tokens(row.tolist()) == ["[CLS]", "query", "a", "[SEP]"]


def test_a_text_of_nothing_the_tokenizer_knows_is_still_a_row(models: dict[str, LanguageModel]) -> None:
    for kind in ("bert", "llama"):
        rows = encoder(models[kind]).tokenise(["", "漢字 🎬", "x" * 50_000])
        assert all(len(row) >= 1 for row in rows)


def test_no_more_is_read_than_the_model_has_positions_for(models: dict[str, LanguageModel]) -> None:
    of = encoder(models["bert"], max_tokens=10_000)
    assert of.max_tokens == 64
    assert np.isfinite(vectors(of, ["a b " * 500])).all()


def test_positions_that_begin_behind_the_padding_are_fewer(models: dict[str, LanguageModel]) -> None:
    config = RobertaConfig(
        vocab_size=20,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=34,
        pad_token_id=1,
    )
    bert = models["bert"]
    language = LanguageModel("roberta", "", bert.tokenizer, RobertaModel(config).eval(), False)
    assert longest(language) == 32
    full = torch.full((1, 32), 5)
    assert language.model(input_ids=full).last_hidden_state.shape == (1, 32, 8)


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigValue, match="max_tokens"):
        TextConfig.parse({"max_tokens": 0})
    with pytest.raises(ConfigUnknown, match="Did you mean 'pooling'"):
        TextConfig.parse({"poling": "mean"})
    with pytest.raises(ConfigValue, match="precision"):
        TextConfig.parse({"precision": "int4"})


def test_an_encoder_is_trained_end_to_end(models: dict[str, LanguageModel]) -> None:
    of = encoder(models["bert"])
    of(of.padded(of.tokenise(["a b", "c"]))).sum().backward()
    assert all(p.grad is not None for name, p in of.backbone.named_parameters() if "pooler" not in name)
    of.zero_grad()


def test_a_path_is_a_model(tmp_path: Path) -> None:
    language = load_language_model(save_tiny(tmp_path, "bert", WORDS))
    assert language.size == 32
    assert not language.causal
