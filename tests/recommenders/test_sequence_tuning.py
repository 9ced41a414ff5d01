"""The language model learns with the recommender: what changes, what is kept, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import segue
from segue.errors import ConfigValue, LanguageMemory, LanguageModelChanged
from segue.language.encode import encode_texts
from segue.language.encoder import TextEncoder
from segue.language.text import item_texts
from segue.training.text_tuning import TunedText
from tests.conftest import ITEMS, make_log
from tests.language.tiny_models import save_tiny
from tests.training.runs import Killed, kill_at

SMALL: dict[str, Any] = {
    "embedding_size": 8,
    "blocks": 1,
    "heads": 1,
    "time": [],
    "batch_tokens": 128,
    "epochs": 2,
    "tuning_epochs": 2,
    "warmup_steps": 2,
    "text_batch": 12,
    "tuning_learning_rate": 3e-3,
}

TUNED = ("tuning_epochs", "text_batch", "tuning_learning_rate")


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_tiny(tmp_path_factory.mktemp("tiny"), "bert", ["Film", "number", *map(str, range(ITEMS))])


@pytest.fixture(scope="module")
def films() -> segue.Split:
    items = pl.DataFrame(
        {"item_id": [f"i{n}" for n in range(ITEMS)], "title": [f"Film number {n}" for n in range(ITEMS)]}
    )
    return segue.split.leave_last_out(segue.Dataset.from_frames(make_log(users=30), items))


def trained(films: segue.Split, language: str, mode: str, plain: bool = True, **options: Any) -> Any:
    """Without validation unless asked otherwise, so that all epochs of tuning are run and kept."""
    run = {name: options.pop(name) for name in ("checkpoint", "resume", "checkpoint_seconds") if name in options}
    settings = {**SMALL, "text": language, "tuning": mode, **options}
    if mode == "frozen":
        settings = {name: value for name, value in settings.items() if name not in TUNED}
    model = segue.SequenceRecommender(**settings)
    return model.fit(films.train, None if plain else films.validation, threads=1, progress=False, **run)


@pytest.fixture(scope="module")
def tuned_model(films: segue.Split, language: str) -> Any:
    return trained(films, language, "lora")


def raw_vectors(model: Any) -> np.ndarray:
    return encode_texts(model.text_encoder(), item_texts(model.items, model.item_vocabulary), show=False)


def test_the_vectors_that_answer_are_those_of_the_tuned_model(tuned_model: Any) -> None:
    read = tuned_model.log.text.with_items(raw_vectors(tuned_model)).vectors
    np.testing.assert_allclose(read, tuned_model.log.text.vectors, atol=5e-3)


def test_the_vectors_have_moved(tuned_model: Any, films: segue.Split, language: str) -> None:
    frozen = trained(films, language, "frozen")
    assert frozen.language_tuned is None
    assert np.abs(frozen.log.text.vectors - tuned_model.log.text.vectors).max() > 0.05


def test_a_saved_model_answers_alike_and_reads_new_text_alike(tuned_model: Any, tmp_path: Path) -> None:
    tuned_model.save(tmp_path / "model")
    loaded: Any = segue.load(tmp_path / "model")
    assert loaded.recommend(["u1", "u2"], k=5).equals(tuned_model.recommend(["u1", "u2"], k=5))
    np.testing.assert_array_equal(raw_vectors(loaded), raw_vectors(tuned_model))


def test_only_what_was_tuned_is_saved(tuned_model: Any, tmp_path: Path) -> None:
    tuned_model.save(tmp_path / "model")
    kept = segue.artefacts.read(tmp_path / "model")
    assert all("lora" in name for name in kept.tensors("language_tuned"))
    assert not any("language" in name or "bank" in name for name in kept.tensors("weights"))


def test_another_base_is_refused(films: segue.Split, tmp_path: Path) -> None:
    words = ["Film", "number", *map(str, range(ITEMS))]
    base = save_tiny(tmp_path / "base", "bert", words)
    model = trained(films, base, "top", epochs=1, tuning_epochs=1)
    save_tiny(tmp_path / "base", "bert", words, seed=1)
    with pytest.raises(LanguageModelChanged, match="L003"):
        model.text_encoder()


@pytest.mark.parametrize("mode", ["full", "adapter", "prefix"])
def test_the_other_modes_learn_too(films: segue.Split, language: str, mode: str) -> None:
    model = trained(films, language, mode, epochs=1, tuning_epochs=1)
    told = model.report["training"]["tuning"]
    assert (told["mode"], told["epochs"]) == (mode, 1)
    assert sum(array.size for array in model.language_tuned.values()) == told["trainable"]


def test_validation_decides_what_is_kept_and_the_refit_repeats_it(films: segue.Split, language: str) -> None:
    model = trained(films, language, "lora", plain=False)
    told = model.report["training"]["tuning"]
    assert model.report["training"]["refitted"]
    assert (model.language_tuned is not None) == (told["epochs"] > 0)
    assert told["best"] >= max(row["validation"] for row in model.report["training"]["curve"])


@pytest.mark.parametrize(("point", "number"), [("stepped", 3), ("save", 4)])
def test_a_killed_tuning_goes_on_to_the_same_weights(
    films: segue.Split, language: str, tuned_model: Any, tmp_path: Path, point: str, number: int
) -> None:
    def kill() -> None:
        raise Killed

    steps = len(tuned_model.report["training"]["curve"]) * 4
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, point, number if point == "save" else steps + number, kill)
        with pytest.raises(Killed):
            trained(films, language, "lora", checkpoint=tmp_path, checkpoint_seconds=0.0)
    resumed = trained(films, language, "lora", checkpoint=tmp_path, resume=True)
    assert resumed.weights_sha256() == tuned_model.weights_sha256()
    for name, array in tuned_model.language_tuned.items():
        np.testing.assert_array_equal(resumed.language_tuned[name], array)


def test_a_step_reads_no_more_texts_than_text_batch(
    films: segue.Split, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    forward = TextEncoder.forward

    def counted(self: TextEncoder, tokens: Any) -> torch.Tensor:
        if torch.is_grad_enabled():
            read.append(len(tokens.ids))
        return forward(self, tokens)

    monkeypatch.setattr(TextEncoder, "forward", counted)
    trained(films, language, "lora", text_batch=5, epochs=1, tuning_epochs=1)
    assert max(read) == 5


def test_memory_that_runs_out_names_what_halves_it(
    films: segue.Split, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")

    monkeypatch.setattr(TunedText, "bank", full)
    with pytest.raises(LanguageMemory, match=r"text_batch.*gradient_checkpointing"):
        trained(films, language, "full", epochs=1)


def test_tuning_without_text_is_refused(films: segue.Split) -> None:
    with pytest.raises(ConfigValue, match="no item text"):
        trained(films, None, "lora")  # type: ignore[arg-type]


def test_mined_interests_reach_the_language_model_too(films: segue.Split, language: str, tuned_model: Any) -> None:
    told = trained(films, language, "lora", interests=4, interest_weight=5.0)
    assert told.model.interests is None
    assert any(
        not np.array_equal(told.language_tuned[name], tuned_model.language_tuned[name]) for name in told.language_tuned
    )
    assert told.language_tuned.keys() == tuned_model.language_tuned.keys()


def test_a_killed_tuning_with_interests_goes_on_with_the_same_head(
    films: segue.Split, language: str, tmp_path: Path
) -> None:
    told = {"interests": 4, "checkpoint_seconds": 0.0}
    whole = trained(films, language, "lora", **told)

    def kill() -> None:
        raise Killed

    steps = len(whole.report["training"]["curve"]) * 4
    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, "stepped", steps + 3, kill)
        with pytest.raises(Killed):
            trained(films, language, "lora", checkpoint=tmp_path, **told)
    resumed = trained(films, language, "lora", checkpoint=tmp_path, resume=True, **told)
    assert resumed.weights_sha256() == whole.weights_sha256()
