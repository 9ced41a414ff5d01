from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import segue
from segue.data.dataset import Dataset
from segue.errors import (
    ArtefactInTheWay,
    ConfigValue,
    LanguageModelBroken,
    OutOfMemory,
    PretrainingRefused,
    TrainingDiverged,
)
from segue.language import pretraining
from segue.language.encode import encode_texts
from segue.language.encoder import TextConfig, TextEncoder
from segue.language.models import load_language_model
from segue.language.pretraining import Pretrained, pretrain
from tests.language.makers import tiny_model

QUICK: dict[str, Any] = {"progress": False, "precision": "fp32", "learning_rate": 0.01, "batch_size": 64}


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("llama"), "llama")


@pytest.fixture(scope="module")
def shop(data: segue.Dataset) -> segue.Dataset:
    """The log in which every item has its successor; only what people do tells which, not the words."""
    return data


def weights(pretrained: Pretrained) -> dict[str, torch.Tensor]:
    return dict(pretrained.language.model.state_dict())


@pytest.fixture(scope="module")
def behaviour(shop: segue.Dataset, bert: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Pretrained, Path]:
    out = tmp_path_factory.mktemp("out") / "shop"
    return pretrain(shop, bert, out, epochs=8, held_out=0.3, window=1, **QUICK), out


def test_behaviour_teaches_to_find_the_next_item_of_people_not_learnt_from(behaviour: tuple[Pretrained, Path]) -> None:
    gain = behaviour[0].gain
    assert gain["after"].to_list() == ["nothing", "behaviour"]
    before, after = gain["mrr"]
    assert after > before + 0.15


def test_the_folder_is_a_language_model_and_says_what_made_it(
    behaviour: tuple[Pretrained, Path], bert: str, shop: segue.Dataset
) -> None:
    pretrained, out = behaviour
    texts = ["Film number 3", "Film number 4"]
    encoded = [
        encode_texts(TextEncoder(language, TextConfig()), texts)
        for language in (load_language_model(str(out)), pretrained.language)
    ]
    np.testing.assert_allclose(*encoded, atol=1e-6)
    told = json.loads((out / "segue.json").read_text())
    assert told == pretrained.document
    assert told["base"] == {"name": bert, "sha256": load_language_model(bert).sha256}
    assert told["settings"]["tasks"] == ["behaviour"]
    assert told["data"]["texts"] == 42
    segue.TextNeighbours(text=str(out)).fit(shop, progress=False)


def test_the_best_epoch_on_users_held_out_is_kept(behaviour: tuple[Pretrained, Path]) -> None:
    curve = behaviour[0].document["curve"]
    (kept,) = [row for row in curve if row.get("kept")]
    assert kept["stopping_mrr"] == max(row["stopping_mrr"] for row in curve)
    assert curve[0]["epoch"] == 0
    assert curve[0]["loss"] is None


def test_what_does_harm_is_not_kept(shop: segue.Dataset, bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter(np.repeat([0.5, 0.4, 0.3, 0.2], 2))  # of the pairs to stop by and of those to report on
    monkeypatch.setattr(pretraining, "found", lambda *_: dict.fromkeys(("recall@10", "mrr"), float(next(figures))))
    harmed = pretrain(shop, bert, epochs=3, patience=2, held_out=0.3, **QUICK)
    assert [row["epoch"] for row in harmed.document["curve"] if row.get("kept")] == [0]
    assert len(harmed.document["curve"]) == 3
    before = load_language_model(bert).model.state_dict()
    learnt = {name: tensor for name, tensor in weights(harmed).items() if "pooler" not in name}  # never read nor learnt
    assert all(torch.equal(before[name], tensor) for name, tensor in learnt.items())


@pytest.mark.parametrize("task", ["masked", "contrast", "behaviour"])
@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_one_seed_gives_the_same_weights_whatever_ran_before(
    shop: segue.Dataset, task: str, kind: str, request: pytest.FixtureRequest
) -> None:
    path = request.getfixturevalue(kind)
    options = {**QUICK, "tasks": [task], "epochs": 1, "layers": 1}
    torch.manual_seed(1)
    first = weights(pretrain(shop, path, **options))
    torch.manual_seed(2)
    again = weights(pretrain(shop, path, **options))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    other = weights(pretrain(shop, path, seed=5, **{**options, "held_out": 0.0}))
    assert any(not torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_masked_words_are_told_better_after_it_and_the_next_task_follows(shop: segue.Dataset, bert: str) -> None:
    learnt = pretrain(shop, bert, tasks=["masked", "behaviour"], epochs=3, held_out=0.3, mask_share=0.4, **QUICK)
    rows = [row for row in learnt.document["curve"] if row["task"] == "masked"]
    assert rows[-1]["held_out_loss"] < rows[0]["held_out_loss"] - 0.3
    assert learnt.gain["after"].to_list() == ["nothing", "masked", "behaviour"]


def test_only_the_topmost_layers_learn_when_asked(shop: segue.Dataset, bert: str) -> None:
    learnt = weights(pretrain(shop, bert, layers=1, epochs=2, held_out=0, **QUICK))
    before = load_language_model(bert).model.state_dict()
    changed = {name for name, tensor in learnt.items() if not torch.equal(tensor, before[name])}
    changed = {name for name in changed if "pooler" not in name}  # the head of another task, drawn at each loading
    assert changed
    assert all(name.startswith("encoder.layer.1.") for name in changed)


def test_gradient_checkpointing_changes_no_result(shop: segue.Dataset, bert: str) -> None:
    options = {**QUICK, "epochs": 2, "held_out": 0, "learning_rate": 1e-4}
    plain, saved = (pretrain(shop, bert, gradient_checkpointing=each, **options) for each in (False, True))
    assert [row["loss"] for row in saved.document["curve"][1:]] == pytest.approx(
        [row["loss"] for row in plain.document["curve"][1:]], abs=1e-3
    )


def test_without_users_to_hold_out_there_is_no_gain_to_tell_and_all_epochs_count(
    shop: segue.Dataset, bert: str
) -> None:
    learnt = pretrain(shop, bert, tasks=["contrast"], held_out=0, epochs=2, **QUICK)
    assert not len(learnt.gain)
    assert [row.get("kept", False) for row in learnt.document["curve"]] == [False, False, True]


def with_titles(shop: segue.Dataset, titles: list[str | None]) -> Dataset:
    ids = shop.item_vocabulary.ids
    items = pl.DataFrame({"item_id": ids, "title": [titles[n % len(titles)] for n in range(len(ids))]})
    return replace(shop, items=items)


@pytest.mark.parametrize(
    ("titles", "reason"), [([None], "no item of the catalogue has text"), (["cup"], "all items have the same text")]
)
@pytest.mark.parametrize("task", ["masked", "contrast", "behaviour"])
def test_a_catalogue_with_nothing_to_tell_apart_is_refused(
    shop: segue.Dataset, bert: str, titles: list[str | None], reason: str, task: str
) -> None:
    with pytest.raises(PretrainingRefused, match=reason):
        pretrain(with_titles(shop, titles), bert, tasks=[task], **QUICK)


def test_a_log_in_which_nobody_met_two_texts_is_refused(shop: segue.Dataset, bert: str) -> None:
    alone = shop.where(pl.int_range(pl.len()).over("user") == 0)
    with pytest.raises(PretrainingRefused, match="nobody has met two items"):
        pretrain(alone, bert, **QUICK)
    pretrain(alone, bert, tasks=["contrast"], epochs=1, **QUICK)


def test_some_items_without_text_do_no_harm(shop: segue.Dataset, bert: str) -> None:
    mixed = with_titles(shop, ["red cup", None, "", "blue tea", "  ", "green saw"])
    learnt = pretrain(mixed, bert, epochs=1, held_out=0.3, **QUICK)
    assert learnt.document["data"]["texts"] == 3
    assert all(tensor.isfinite().all() for tensor in weights(learnt).values())


@pytest.mark.parametrize("error", [RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()])
def test_an_end_of_memory_names_the_setting_that_halves_it(
    shop: segue.Dataset, bert: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def failing(*_: Any) -> None:
        raise error

    monkeypatch.setattr("segue.language.pretraining_tasks.Contrast.loss", failing)
    with pytest.raises(OutOfMemory, match="batch_size=32, which halves"):
        pretrain(shop, bert, tasks=["contrast"], **QUICK)


def test_another_error_of_a_step_is_not_taken_for_an_end_of_memory(
    shop: segue.Dataset, bert: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr("segue.language.pretraining_tasks.Contrast.loss", failing)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        pretrain(shop, bert, tasks=["contrast"], **QUICK)


def test_a_training_that_diverges_says_so(shop: segue.Dataset, bert: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = torch.tensor(float("nan"), requires_grad=True)
    monkeypatch.setattr("segue.language.pretraining_tasks.Contrast.loss", lambda *_: nowhere * 1)
    with pytest.raises(TrainingDiverged):
        pretrain(shop, bert, tasks=["contrast"], **QUICK)


def test_weights_that_do_not_match_the_tokenizer_are_refused(shop: segue.Dataset, bert: str, tmp_path: Path) -> None:
    from tests.language.makers import WORDS, tiny_tokenizer

    pretrain(shop, bert, tmp_path / "model", epochs=1, **QUICK)
    tiny_tokenizer([*WORDS, *"abcdef"], "bert").save_pretrained(tmp_path / "model")
    with pytest.raises(LanguageModelBroken, match="its weights only"):
        pretrain(shop, str(tmp_path / "model"), **QUICK)


def test_mistakes_are_told_before_any_work(shop: segue.Dataset, tmp_path: Path) -> None:
    with pytest.raises(ConfigValue, match="tasks"):
        pretrain(shop, "no such model", tasks=["maksed"])
    with pytest.raises(ConfigValue, match="tasks"):
        pretrain(shop, "no such model", tasks=[])
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtefactInTheWay):
        pretrain(shop, "no such model", tmp_path / "file")


def test_an_interruption_leaves_nothing_behind(
    shop: segue.Dataset, bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segue.language.pretraining_tasks.Contrast.loss", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pretrain(shop, bert, tmp_path / "model", tasks=["contrast"], **QUICK)
    assert not list(tmp_path.iterdir())
