from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import segue
from segue import artefacts
from segue.errors import ArtefactCorrupt, ConfigUnknown, ConfigValue
from segue.recommenders import sequence
from segue.testing import RecommenderContract
from segue.testing.logs import fashion_log
from tests.training.runs import SMALL


def small(**settings: Any) -> segue.SequenceRecommender:
    return segue.SequenceRecommender(**{**SMALL, "loss": "full", **settings})


class TestSequenceRecommender(RecommenderContract):
    recommender = staticmethod(lambda: segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=2))


class TestSequenceRecommenderThatSearches(RecommenderContract):
    """Early stopping on an inner holdout, then a refit: the path that no argument takes."""

    recommender = staticmethod(lambda: segue.SequenceRecommender(embedding_size=8, patience=1, learning_rate=0.05))


@pytest.fixture(scope="module")
def ring() -> segue.Split:
    """Users walk along a ring of 30 items, so that the last event alone tells the next."""
    rng = np.random.default_rng(0)
    rows = [
        (user, (start + step) % 30, step)
        for user in range(150)
        for start in [int(rng.integers(30))]
        for step in range(8)
    ]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return segue.split.leave_last_out(segue.Dataset.from_frames(frame))


@pytest.mark.parametrize("settings", [{"loss": "full"}, {"loss": "sampled"}, {"block": "plain"}], ids=str)
def test_a_planted_order_is_learnt_far_above_popularity(ring: segue.Split, settings: dict[str, Any]) -> None:
    model = small(embedding_size=16, epochs=20, learning_rate=0.02, dropout=0.1, refit=False, **settings)
    model.fit(ring.train, ring.validation, progress=False, threads=1)
    learnt = segue.evaluate(model, ring.test, k=1, progress=False)["hit_rate@1"]
    popular = segue.Popular().fit(ring.train, ring.validation)
    floor = segue.evaluate(popular, ring.test, k=1, progress=False)["hit_rate@1"]
    assert learnt > 0.8
    assert floor < 0.15


def test_the_plan_follows_from_the_log_and_stands_in_the_report(split: segue.Split) -> None:
    model = small(dropout="auto", max_length="auto").fit(split.train, split.validation, progress=False)
    plan = model.report["training"]["plan"]
    assert plan == model.plan.model_dump()
    assert plan["dropout"] == 0.5
    assert plan["max_length"] == int(np.clip(np.quantile(split.train.histories.lengths[1:], 0.99), 20, 200))


def test_the_refit_learns_from_the_validation_events_and_can_be_turned_off(split: segue.Split) -> None:
    on = small().fit(split.train, split.validation, progress=False)
    off = small(refit=False).fit(split.train, split.validation, progress=False)
    assert on.report["training"]["refitted"]
    assert not off.report["training"]["refitted"]
    epochs = on.report["training"]["epochs"]
    directly = small(epochs=epochs, max_length=on.plan.max_length).fit(split.validation.all, progress=False)
    assert on.weights_sha256() == directly.weights_sha256() != off.weights_sha256()


def test_without_a_holdout_the_last_event_of_each_user_is_validated_on(split: segue.Split) -> None:
    model = small(epochs="auto", patience=1, learning_rate=0.1).fit(split.validation.all, progress=False)
    given = small(epochs="auto", patience=1, learning_rate=0.1).fit(split.train, split.validation, progress=False)
    training = model.report["training"]
    assert training["best_validation"] is not None
    assert training["refitted"]
    assert len(training["curve"]) < 200, "early stopping ended it"
    # Holding out the last event of train and validation together is what the split did.
    assert model.weights_sha256() == given.weights_sha256()


def test_a_number_of_epochs_needs_no_holdout(split: segue.Split) -> None:
    training = small(epochs=2).fit(split.train, progress=False).report["training"]
    assert (training["epochs"], training["best_validation"], training["refitted"]) == (2, None, False)


def test_a_log_where_nobody_has_two_events_is_learnt_without_validation() -> None:
    frame = pl.DataFrame({"user_id": ["a", "b", "c"], "item_id": [1, 1, 2], "timestamp": [1, 2, 3]})
    model = small(epochs="auto").fit(segue.Dataset.from_frames(frame), progress=False)
    assert sorted(model.recommend(["a"], k=2, exclude_seen=False)["item_id"]) == [1, 2]


def test_only_the_newest_events_are_read(split: segue.Split) -> None:
    model = small(max_length=3).fit(split.train, split.validation, progress=False)
    items = ["i1", "i2", "i3"]
    short = model.score(histories=[["i7", "i8", "i9"]], items=items)["score"]
    long = model.score(histories=[["i1", "i5", "i7", "i8", "i9"]], items=items)["score"]
    np.testing.assert_allclose(short, long, rtol=1e-5)
    other = model.score(histories=[["i7", "i4", "i9"]], items=items)["score"]
    assert not np.allclose(short, other)


def test_scores_are_dot_products_of_the_state_and_the_item_vectors(split: segue.Split) -> None:
    model = small().fit(split.train, split.validation, progress=False)
    codes = model.item_vocabulary.encode(["i4", "i5"])
    with torch.inference_mode():
        state = model.model.last(torch.from_numpy(codes)[None], torch.tensor([2]))[0]
        expected = (model.model.tower.vectors() @ state)[1:].numpy()
    items = model.item_vocabulary.ids.to_list()
    np.testing.assert_allclose(
        model.score(histories=[["i4", "i5"]], items=items)["score"], expected, rtol=1e-4, atol=1e-6
    )


def test_histories_are_encoded_in_batches_without_a_difference(
    split: segue.Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small().fit(split.train, split.validation, progress=False)
    users = split.train.user_vocabulary.ids.to_list()
    whole = model.score(users, items=["i1", "i2"])["score"].to_numpy()
    monkeypatch.setattr(sequence, "_INFERENCE_TOKENS", 30)
    np.testing.assert_allclose(model.score(users, items=["i1", "i2"])["score"].to_numpy(), whole, rtol=1e-4, atol=1e-6)


def test_recommending_does_not_drop_anything(split: segue.Split, tmp_path: Path) -> None:
    model = small(dropout=0.9).fit(split.train, split.validation, progress=False)
    assert not model.model.training
    model.save(tmp_path / "model")
    assert not segue.load(tmp_path / "model").model.training


def test_weights_of_another_shape_are_refused_as_damage(split: segue.Split, tmp_path: Path) -> None:
    model = small().fit(split.train, split.validation, progress=False)
    model.plan = model.plan.model_copy(update={"embedding_size": 16})
    model.save(tmp_path / "model")
    with pytest.raises(ArtefactCorrupt, match="do not fit together"):
        segue.load(tmp_path / "model")


def test_how_to_run_is_not_saved(split: segue.Split, tmp_path: Path) -> None:
    small().fit(split.train, split.validation, progress=False, threads=1, device="cpu").save(tmp_path / "model")
    manifest = artefacts.read(tmp_path / "model").manifest["config"]
    assert not {"threads", "device", "progress", "checkpoint"} & set(manifest)


def test_impossible_settings_are_refused_before_training() -> None:
    with pytest.raises(ConfigValue, match="not a multiple of heads"):
        segue.SequenceRecommender(embedding_size=9)
    with pytest.raises(ConfigUnknown, match="Did you mean 'learning_rate'"):
        segue.SequenceRecommender(learningrate=1)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_runs_in_either_precision(split: segue.Split, precision: str) -> None:
    model = small(precision=precision, epochs=1).fit(split.train, split.validation, progress=False)
    assert model.model.tower.vectors().dtype == torch.float32
    assert model.recommend(["u1"], k=3)["score"].is_finite().all()


@pytest.fixture(scope="module")
def fashion() -> segue.Split:
    """Favourites change every week, and the last event tells nothing."""
    return segue.split.leave_last_out(segue.Dataset.from_frames(fashion_log(users=90)))


@pytest.fixture(scope="module")
def trendy(fashion: segue.Split) -> segue.SequenceRecommender:
    return small(time=["trend"]).fit(fashion.train, fashion.validation, progress=False)


def test_the_trend_wins_where_favourites_change_and_says_so(
    fashion: segue.Split, trendy: segue.SequenceRecommender
) -> None:
    plain = small(time=[]).fit(fashion.train, fashion.validation, progress=False)
    figures = [segue.evaluate(model, fashion.test, k=10, progress=False)["ndcg@10"] for model in (trendy, plain)]
    assert figures[0] > 1.3 * figures[1]
    assert trendy.report["trend"]["used"]
    assert trendy.report["trend"]["ndcg@10"]["with"] > trendy.report["trend"]["ndcg@10"]["without"]


def test_the_trend_can_be_turned_off_and_leaves_the_encoder_as_it_is(
    fashion: segue.Split, trendy: segue.SequenceRecommender
) -> None:
    plain = small(time=[]).fit(fashion.train, fashion.validation, progress=False)
    assert plain.trend is None
    assert "trend" not in plain.report
    assert plain.weights_sha256() == trendy.weights_sha256()


def test_the_trend_comes_back_from_disk(
    fashion: segue.Split, trendy: segue.SequenceRecommender, tmp_path: Path
) -> None:
    trendy.save(tmp_path / "model")
    loaded = segue.load(tmp_path / "model")
    contexts = fashion.test.asked()
    for left, right in zip(
        trendy.recommend_codes(contexts, 10, exclude_seen=False),
        loaded.recommend_codes(contexts, 10, exclude_seen=False),
        strict=True,
    ):
        np.testing.assert_array_equal(left, right)


def test_the_trend_is_that_of_the_moment_asked_about(trendy: segue.SequenceRecommender) -> None:
    moments = ["2020-10-20", "2020-12-20", "2040-01-01", None]
    items = trendy.item_vocabulary.ids.to_list()
    one, other, late, unsaid = (
        trendy.score(histories=[items[:3], []], items=items, at=at)["score"].to_numpy() for at in moments
    )
    assert not np.allclose(one, other)
    np.testing.assert_array_equal(late, unsaid)


def test_without_a_history_the_trend_answers_and_not_all_time_popularity(trendy: segue.SequenceRecommender) -> None:
    assert trendy.report["trend"]["used_alone"]
    last = trendy.histories.timestamps
    assert last is not None
    recent = np.bincount(trendy.histories.items[last > last.max() - 7 * 86_400_000_000], minlength=41)
    listed = trendy.item_vocabulary.encode(trendy.recommend(histories=[[]], k=5)["item_id"])
    assert recent[listed].sum() > 0.8 * np.sort(recent)[-5:].sum()


def test_where_time_is_an_order_there_is_no_trend(ring: segue.Split) -> None:
    model = small(epochs=1).fit(ring.train, ring.validation, progress=False)
    assert model.trend is None
