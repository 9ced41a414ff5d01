"""Loading by name or path: offline first, and every way of being wrong has a name and a remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from segue.datasets import catalogue
from segue.errors import LanguageModelBroken, LanguageModelTooLarge, LanguageModelUnknown
from segue.language import models
from segue.language.models import is_out_of_memory, load_language_model

from .tiny_models import save_tiny

WORDS = list("abcdefgh")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SEGUE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return Path(save_tiny(tmp_path / "bert", "bert", WORDS))


@pytest.mark.parametrize("name", ["minilm", "smollm2"])
def test_a_model_that_was_not_fetched_says_how_to_bring_it(name: str, offline: None) -> None:
    with pytest.raises(LanguageModelUnknown, match=f"segue fetch {name}"):
        load_language_model(name)


@pytest.mark.parametrize(
    ("name", "hint", "command"),
    [
        ("mini-lm", "minilm", "minilm"),
        ("smolm2", "smollm2", "minilm"),
        ("sentence-transformers/all-MiniLM-L6-v2", "minilm", "minilm"),
        ("HuggingFaceTB/SmolLM2-135M", "smollm2", "smollm2"),
    ],
)
def test_a_name_like_one_of_ours_gives_a_hint(name: str, hint: str, command: str, offline: None) -> None:
    with pytest.raises(LanguageModelUnknown, match=f"Did you mean '{hint}'.*segue fetch {command} "):
        load_language_model(name)


@pytest.mark.parametrize("name", ["bert-base-nowhere", "ml-100k", "", "a/b/c", "no such model!", "../elsewhere"])
def test_a_model_that_does_not_exist_is_a_named_error(name: str, offline: None, monkeypatch: Any) -> None:
    with pytest.raises(LanguageModelUnknown, match="segue fetch minilm"):
        load_language_model(name or "/nowhere/at/all")


def test_without_a_network_the_error_is_the_same(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    def unreachable(*_: Any, **__: Any) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    with pytest.raises(LanguageModelUnknown, match=r"the hub cannot be asked \(ConnectionError\).*segue fetch minilm"):
        load_language_model("some/model")


def test_a_directory_without_a_model_is_a_named_error(tmp_path: Path) -> None:
    with pytest.raises(LanguageModelUnknown, match=r"holds no config\.json"):
        load_language_model(str(tmp_path))


def remove_weights(path: Path) -> None:
    (path / "model.safetensors").unlink()


def cut_weights(path: Path) -> None:
    file = path / "model.safetensors"
    file.write_bytes(file.read_bytes()[:200])


def lose_a_weight(path: Path) -> None:
    weights = load_file(path / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "layer.2.output" not in k}, path / "model.safetensors")


def shrink_the_embedding(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"vocab_size": 7}))
    weights = load_file(path / "model.safetensors")
    key = "embeddings.word_embeddings.weight"
    save_file(weights | {key: weights[key][:7].clone()}, path / "model.safetensors", {"format": "pt"})


def widen(path: Path) -> None:
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"intermediate_size": 96}))


def break_the_config(path: Path) -> None:
    (path / "config.json").write_text("{")


def name_no_architecture(path: Path) -> None:
    (path / "config.json").write_text(json.dumps({"model_type": "no_such_kind"}))


def lose_the_tokenizer(path: Path) -> None:
    for file in path.glob("tokenizer*"):
        file.unlink()


def break_the_tokenizer(path: Path) -> None:
    (path / "tokenizer.json").write_text('{"version": "1.0"}')


@pytest.mark.parametrize(
    "damage",
    [
        remove_weights,
        cut_weights,
        lose_a_weight,
        shrink_the_embedding,
        widen,
        break_the_config,
        name_no_architecture,
        lose_the_tokenizer,
        break_the_tokenizer,
    ],
)
def test_a_model_that_does_not_fit_together_is_a_named_error(damage: Any, bert: Path) -> None:
    load_language_model(str(bert))
    damage(bert)
    with pytest.raises(LanguageModelBroken, match="not sound"):
        load_language_model(str(bert))


def test_a_tokenizer_without_a_pad_token_takes_its_end(tmp_path: Path) -> None:
    path = Path(save_tiny(tmp_path, "llama", WORDS))
    settings = json.loads((path / "tokenizer_config.json").read_text())
    settings.pop("pad_token")
    (path / "tokenizer_config.json").write_text(json.dumps(settings | {"eos_token": "[SEP]"}))
    language = load_language_model(str(path))
    assert language.tokenizer.pad_token == "[SEP]"
    assert language.causal


def test_heads_are_what_their_names_say(bert: Path, tmp_path: Path) -> None:
    assert load_language_model(str(bert), head="masked").model(torch.ones(1, 3, dtype=torch.long)).logits.shape[2] > 8
    scored = load_language_model(str(bert), head="classification", labels=3).model(torch.ones(2, 3, dtype=torch.long))
    assert scored.logits.shape == (2, 3)
    llama = save_tiny(tmp_path / "llama", "llama", WORDS)
    assert load_language_model(llama, head="causal").model(torch.ones(1, 3, dtype=torch.long)).logits.shape[2] > 8


def test_the_hash_tells_weights_apart(bert: Path, tmp_path: Path) -> None:
    other = save_tiny(tmp_path / "other", "bert", WORDS, seed=1)
    assert load_language_model(str(bert)).sha256 == load_language_model(str(bert)).sha256
    assert load_language_model(str(bert)).sha256 != load_language_model(other).sha256


def test_a_model_that_does_not_fit_into_memory_is_a_named_error(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import AutoModel

    def full(*_: Any, **__: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(AutoModel, "from_pretrained", full)
    with pytest.raises(LanguageModelTooLarge, match="Choose a smaller one, such as minilm"):
        load_language_model(str(bert))


def test_memory_errors_are_told_from_others() -> None:
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes differ"))


def test_every_model_of_the_catalogue_is_loaded_by_its_name() -> None:
    assert models._models() == ["minilm", "smollm2"]
    assert not catalogue.SOURCES["ml-100k"].is_model
