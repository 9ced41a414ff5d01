from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import safetensors.numpy

import segue
from segue.errors import (
    ActionNotLearnt,
    AnswerRefused,
    ArtefactCorrupt,
    ConfigUnknown,
    ConfigValue,
    LanguageModelChanged,
    LanguageModelUnknown,
    LanguageModelUnsuited,
    NotFitted,
    UnknownItems,
)
from segue.evaluation.answers import evaluate_answers
from segue.recommenders.ranker_weights import Weights
from segue.testing import RecommenderContract
from tests.language.makers import WORDS, tiny_model

ASKED = ["u1", "u2", "u3"]
TOLD = (*WORDS, "item", "yes", "no", "next", "later", "view", "purchase")


@cache
def tiny(kind: str = "bert", words: tuple[str, ...] = TOLD, seed: int = 0) -> str:
    return tiny_model(Path(tempfile.mkdtemp(prefix="segue-tiny-")), kind, words, seed)


def small(**settings: Any) -> dict[str, Any]:
    """Settings with which a ranker is fitted in a moment."""
    common = {"model": tiny(), "base": "FirstOrder", "candidates": 8, "events": 3, "examples": 48, "refit": False}
    if settings.get("tuning") == "none":
        del common["examples"]
    return {**common, "precision": "fp32", "validation_questions": 60, **settings}


def fitted(split: segue.Split, **settings: Any) -> Any:
    return segue.LanguageRanker(**small(**settings)).fit(split.train, split.validation, progress=False)


@pytest.fixture(scope="module")
def model(split: segue.Split) -> Any:
    return fitted(split, refit=True)


@pytest.fixture(scope="module")
def ratings(split: segue.Split) -> Any:
    return fitted(split, answer="rating")


class TestLanguageRanker(RecommenderContract):
    reads_time = True
    recommender = staticmethod(
        lambda: segue.LanguageRanker(**small(untitled="id", examples=16, candidates=5, tuning="frozen"))
    )


# -- lists -----------------------------------------------------------------------------------------------------


def test_the_best_of_the_base_are_reranked_and_the_rest_keep_their_order(model: Any) -> None:
    everything = 42
    listed = model.recommend(ASKED, k=everything, exclude_seen=False)
    base = model.base.recommend(ASKED, k=everything, exclude_seen=False)
    for user in ASKED:
        ours, theirs = (each.filter(pl.col("user_id") == user)["item_id"].to_list() for each in (listed, base))
        assert set(ours[:8]) == set(theirs[:8])
        assert ours[8:] == theirs[8:]


def test_reranked_lists_follow_the_weights(split: segue.Split) -> None:
    model = fitted(split, tuning="frozen")
    model.weights = Weights.untaught(rating=False)
    assert model.recommend(ASKED, k=20).drop("score").equals(model.base.recommend(ASKED, k=20).drop("score"))
    model.weights = Weights.untaught(rating=True)  # the language model alone decides
    listed = model.recommend(["u1"], k=8)["item_id"].to_list()
    said = dict(model.predict(["u1"], items=listed, alone=True).select("item_id", "probability").iter_rows())
    assert listed == sorted(listed, key=lambda item: -said[item])


def test_seen_items_take_no_place_among_the_candidates_where_they_are_left_out(split: segue.Split) -> None:
    model = fitted(split, tuning="frozen", candidates=3)
    model.exclude_seen = True
    ours, theirs = (each.recommend(["u1"], k=3, exclude_seen=True)["item_id"] for each in (model, model.base))
    assert set(ours) == set(theirs)


# -- answers ---------------------------------------------------------------------------------------------------


def test_probabilities_are_asked_of_any_item(model: Any) -> None:
    said = model.predict(["u1", "u2"], items=["i1", "i41"])
    assert said.columns == ["user_id", "item_id", "probability"]
    assert said["item_id"].to_list() == ["i1", "i41"] * 2
    assert said["probability"].is_between(0, 1).all()
    alone = model.predict(["u1", "u2"], items=["i1", "i41"], alone=True)
    assert alone["probability"].is_between(0, 1).all()
    assert not alone.equals(said)


def test_anyone_with_a_history_or_none_is_answered(model: Any) -> None:
    said = model.predict(histories=[["i1", "i2"], []], items=["i3"])
    assert said["probability"].is_finite().all()
    assert not len(model.predict([], items=["i3"]))
    with pytest.raises(UnknownItems):
        model.predict(["u1"], items=["nothing"])
    with pytest.raises(NotFitted):
        segue.LanguageRanker(**small()).predict(["u1"], items=["i1"])


def test_an_item_without_text_is_told_by_its_id(log: pl.DataFrame, catalogue: pl.DataFrame) -> None:
    some = catalogue.with_columns(pl.when(pl.col("item_id") != "i3").then("title").alias("title"), categories=None)
    split = segue.split.leave_last_out(segue.Dataset.from_frames(log, some))
    model = fitted(split, tuning="frozen")
    code = int(model.item_vocabulary.encode(["i3"])[0])
    assert model.ranker.prompts.titles[code] == "i3"
    assert np.isfinite(model.predict(["u1"], items=["i3"])["probability"][0])


def test_ratings_are_answered_in_their_unit(ratings: Any, split: segue.Split) -> None:
    said = ratings.predict(["u1", "u2"], items=["i1", "i2"])
    assert said.columns == ["user_id", "item_id", "rating"]
    assert said["rating"].is_between(1, 5).all()
    report = evaluate_answers(ratings, split.test)
    assert set(report.figures) == {"rmse", "mae"}
    assert "rated" in ratings.report["language"]["example"]


def test_bought_or_only_looked_at_is_answered(split: segue.Split) -> None:
    model = fitted(split, answer="action", target="purchase")
    assert model.target is None, "lists are about any action"
    said = evaluate_answers(model, split.test)
    purchases = (split.test.targets.events["action"] == "purchase").mean()
    assert said.truth.mean() == pytest.approx(purchases)
    assert abs(said.answers.mean() - purchases) < 0.15


def test_with_a_target_only_that_action_is_learnt_and_answered(split: segue.Split) -> None:
    model = fitted(split, target="view", tuning="frozen")
    assert model.recommend(["u1"], k=3, action="view").drop("action").equals(model.recommend(["u1"], k=3))
    with pytest.raises(ActionNotLearnt):
        model.predict(["u1"], items=["i1"], action="purchase")


@pytest.mark.parametrize("loss", ["cross_entropy", "pairwise"])
def test_other_losses_and_hard_negatives_train(split: segue.Split, loss: str) -> None:
    tools = ["words", "synonyms", "templates"]
    model = fitted(split, loss=loss, negatives_from="hard", augment=tools, gradient_accumulation_steps=2)
    assert model.report["training"]["examples"] == 48


def test_what_is_told_follows_learns(split: segue.Split) -> None:
    """Titles that differ by a number alone, on a ring: the successor can be told by its title."""
    model = fitted(
        split, tuning="full", epochs=6, examples=500, learning_rate=3e-3, head_learning_rate=1e-2, refit=True
    )
    losses = [row["loss"] for row in model.report["training"]["curve"]]
    assert losses[-1] < losses[0] - 0.03
    assert len(model.report["training"]["refit"]["curve"]) == 1


def test_new_items_are_ranked_by_their_text_without_training(split: segue.Split) -> None:
    model = fitted(split, base="EASE")
    added = model.add_items(pl.DataFrame({"item_id": ["new"], "title": ["Film number 7"], "categories": [["comedy"]]}))
    assert added.new == 1
    said = model.predict(["u1"], items=["new", "i7"], alone=True)["probability"]
    assert said[0] == pytest.approx(said[1]), "they are called the same"
    assert "new" in model.recommend(["u1"], k=50, exclude_seen=False)["item_id"].to_list()


# -- untuned ---------------------------------------------------------------------------------------------------


def test_untuned_nothing_of_the_language_model_is_learnt(split: segue.Split) -> None:
    model = fitted(split, model=tiny("llama"), tuning="none")
    assert "training" not in model.report
    assert model.weights.alone.weights.tolist() == [1.0]
    assert model.report["language"]["example"].endswith("Answer yes or no:")
    answers = evaluate_answers(model, split.test)
    assert answers.beside[0].name == "language model alone"
    assert 0 <= answers.beside[0]["auc"] <= 1


def test_a_model_that_knows_no_yes_cannot_answer_untuned(split: segue.Split) -> None:
    mute = tiny("llama", ("film", "number"))
    with pytest.raises(LanguageModelUnsuited, match="yes and no"):
        fitted(split, model=mute, tuning="none")
    assert fitted(split, model=mute, tuning="frozen")._fitted, "tuned it can learn to"


def test_a_gpt_like_model_without_a_pad_token_is_tuned(split: segue.Split) -> None:
    model = fitted(split, model=tiny("llama"), tuning="lora")
    assert model.ranker.classifier.causal
    assert 0 < model.report["language"]["trainable"] < 20_000


# -- disk ------------------------------------------------------------------------------------------------------


def test_an_artefact_holds_what_was_tuned_and_not_the_language_model(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    (tuned,) = (tmp_path / "model").glob("tuned.*.safetensors")
    held = safetensors.numpy.load_file(tuned)
    assert held
    assert not any("embeddings" in name for name in held)
    assert sum(array.size for array in held.values()) == model.ranker.tuning.trainable
    again = segue.load(tmp_path / "model")
    assert again.predict(ASKED, items=["i1", "i2"]).equals(model.predict(ASKED, items=["i1", "i2"]))
    assert again.base.recommend(ASKED, k=5).equals(model.base.recommend(ASKED, k=5))


def test_another_language_model_of_the_same_name_is_refused(split: segue.Split, tmp_path: Path) -> None:
    name = tiny_model(tmp_path / "words", "bert", TOLD)
    model = fitted(split, model=name, tuning="frozen")
    model.save(tmp_path / "model")
    tiny_model(tmp_path / "words", "bert", TOLD, seed=1)
    with pytest.raises(LanguageModelChanged, match=model.ranker.classifier.sha256):
        segue.load(tmp_path / "model")


def test_an_artefact_without_its_language_model_says_which_it_needs(split: segue.Split, tmp_path: Path) -> None:
    name = tiny_model(tmp_path / "words", "bert", TOLD)
    fitted(split, model=name, tuning="frozen").save(tmp_path / "model")
    (tmp_path / "words" / "config.json").unlink()
    with pytest.raises((LanguageModelUnknown, ArtefactCorrupt), match="config"):
        segue.load(tmp_path / "model")


# -- mistakes --------------------------------------------------------------------------------------------------


def test_a_catalogue_without_text_is_refused_unless_ids_may_be_told(log: pl.DataFrame) -> None:
    split = segue.split.leave_last_out(segue.Dataset.from_frames(log))
    with pytest.raises(AnswerRefused, match=r"no text.*untitled='id'"):
        fitted(split)
    assert fitted(split, untitled="id", tuning="frozen")._fitted


def test_items_that_are_all_called_the_same_leave_the_base_to_decide(log: pl.DataFrame) -> None:
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(40)], "title": ["film"] * 40})
    split = segue.split.leave_last_out(segue.Dataset.from_frames(log, items))
    model = fitted(split, tuning="frozen")
    assert model.report["language"]["distinct_texts"] == 1
    assert model.predict(["u1"], items=["i1", "i2"], alone=True)["probability"].n_unique() == 1


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"answer": "rating"}, "no ratings"),
        ({"target": "purchase"}, "no action 'purchase'; it has none"),
        ({"answer": "action", "target": "purchase"}, "no action 'purchase'"),
    ],
)
def test_what_the_log_lacks_is_refused(
    log: pl.DataFrame, catalogue: pl.DataFrame, settings: dict[str, Any], reason: str
) -> None:
    bare = segue.Dataset.from_frames(log.drop("action", "value"), catalogue)
    with pytest.raises(AnswerRefused, match=reason):
        fitted(segue.split.leave_last_out(bare), **settings)


def test_one_action_alone_cannot_be_told_from_others(log: pl.DataFrame, catalogue: pl.DataFrame) -> None:
    views = segue.Dataset.from_frames(log.filter(pl.col("action") == "view"), catalogue)
    with pytest.raises(AnswerRefused, match="all that the log has"):
        fitted(segue.split.leave_last_out(views), answer="action", target="view")


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"loss": "squared"}, "squared"),
        ({"loss": "bce", "answer": "rating"}, "squared"),
        ({"loss": "pairwise", "answer": "action", "target": "view"}, "compares"),
        ({"answer": "action"}, "needs target="),
        ({"template": "poem"}, "plain, story"),
        ({"base": "LanguageRanker"}, "no base of another"),
        ({"tuning": "half"}, "lora"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigValue, match=reason):
        segue.LanguageRanker(**small(**settings))


def test_a_base_is_written_as_reads_best() -> None:
    objects = segue.LanguageRanker(base=segue.EASE(regularisation=10)).config
    assert objects.base.model_dump() == {"recommender": "EASE", "settings": {"regularisation": 10}}
    assert segue.LanguageRanker(base={"recommender": "EASE", "regularisation": 10}).config == objects
    assert segue.LanguageRanker().config.base.recommender == "SequenceRecommender"
    with pytest.raises(ConfigUnknown, match="EASE"):
        segue.LanguageRanker(base="EASY")


def test_run_options_that_do_not_exist_are_refused(split: segue.Split) -> None:
    with pytest.raises(ConfigUnknown, match="progress"):
        segue.LanguageRanker(**small()).fit(split.train, split.validation, progres=False)
