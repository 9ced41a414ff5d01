from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor, nn

import segue
from segue import artefacts
from segue.cautions import UnknownItemsInHistory
from segue.errors import ArtefactCorrupt, ConfigUnknown, ConfigValue, FeatureUnknown, ResumeRefused
from segue.nn.encoders import ENCODERS, Shape
from segue.nn.inputs import Inputs
from segue.recommenders import sequence
from segue.testing import RecommenderContract
from segue.testing.logs import fashion_log
from tests.training.runs import FULL

OTHERS = [name for name in ENCODERS if name != "transformer"]


def small(**settings: Any) -> segue.SequenceRecommender:
    return segue.SequenceRecommender(**{**FULL, **settings})


class TestSequenceRecommender(RecommenderContract):
    reads_time = True
    recommender = staticmethod(lambda: segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=2))


@pytest.mark.filterwarnings("ignore::segue.cautions.SettingUnread")  # some logs of the contract have no validation
class TestSequenceRecommenderThatSearches(RecommenderContract):
    """Early stopping on an inner holdout, then a refit: the path that no argument takes."""

    reads_time = True

    recommender = staticmethod(lambda: segue.SequenceRecommender(embedding_size=8, patience=1, learning_rate=0.05))


def tiny(encoder: str, **settings: Any) -> segue.SequenceRecommender:
    return segue.SequenceRecommender(**{"embedding_size": 8, "blocks": 1, "epochs": 1, "encoder": encoder, **settings})


class TestSequenceRecommenderWithHSTU(RecommenderContract):
    reads_time = True
    recommender = staticmethod(lambda: tiny("hstu"))


class TestSequenceRecommenderWithGRU(RecommenderContract):
    reads_time = True
    recommender = staticmethod(lambda: tiny("gru"))


class TestSequenceRecommenderWithLSTM(RecommenderContract):
    reads_time = True
    recommender = staticmethod(lambda: tiny("lstm"))


class TestSequenceRecommenderWithMasks(RecommenderContract):
    reads_time = True
    recommender = staticmethod(lambda: tiny("bidirectional"))


class TestSequenceRecommenderWithoutTimeOrBehaviour(RecommenderContract):
    recommender = staticmethod(lambda: tiny("transformer", time=[], behaviour=[]))


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


@pytest.mark.parametrize(
    "settings",
    [{"loss": "full"}, {"loss": "sampled"}, {"block": "plain"}, *[{"encoder": name} for name in OTHERS]],
    ids=str,
)
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
    model = small(time=[]).fit(split.train, split.validation, progress=False)
    codes = model.item_vocabulary.encode(["i4", "i5"])
    with torch.inference_mode():
        state = model.model.last(Inputs(torch.from_numpy(codes)[None], torch.tensor([2])))[0]
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


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_runs_in_either_precision(split: segue.Split, precision: str, encoder: str) -> None:
    model = small(precision=precision, epochs=1, encoder=encoder).fit(split.train, split.validation, progress=False)
    assert model.model.tower.vectors().dtype == torch.float32
    assert model.recommend(["u1"], k=3)["score"].is_finite().all()


def test_an_unknown_encoder_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ConfigValue, match="there are transformer, hstu, gru, lstm, bidirectional"):
        segue.SequenceRecommender(encoder="rnn")


class MeanOfHistory(nn.Module):
    """All of a new encoder: each position is the mean of what came up to it."""

    masked = False

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(shape.size)

    def forward(self, x: Tensor, inputs: Inputs, last: bool = False) -> Tensor:
        places = torch.arange(1, x.shape[1] + 1)[:, None]
        states = self.norm(x.cumsum(1) / places)
        return states[torch.arange(len(x)), inputs.lengths - 1] if last else states


def test_a_new_encoder_is_a_module_and_a_line(
    split: segue.Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ENCODERS, "mean", f"{__name__}:MeanOfHistory")
    model = small(encoder="mean").fit(split.train, split.validation, progress=False)
    answer = model.recommend(["u1", "u2"], k=5, action="purchase", at="now")
    assert answer["score"].is_finite().all()
    model.save(tmp_path / "model")
    assert segue.load(tmp_path / "model").recommend(["u1"], k=5).equals(model.recommend(["u1"], k=5))
    assert segue.evaluate(model, split.test, k=5, progress=False)["ndcg@5"] > 0


def test_masks_follow_from_the_seed_and_their_share_is_a_setting(split: segue.Split) -> None:
    def trained(**settings: Any) -> str:
        model = small(encoder="bidirectional", epochs=1, refit=False, **settings)
        return model.fit(split.train, split.validation, progress=False).weights_sha256()

    assert trained() == trained()
    assert len({trained(), trained(seed=1), trained(mask_share=0.6)}) == 3


@pytest.fixture(scope="module")
def branded() -> segue.Split:
    """Everyone stays with one of three brands; each item is in few events, and four are in none."""
    rng = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"{'abc'[user % 3]}{number}", place)
        for user in range(120)
        for place, number in enumerate(rng.permutation(40)[:5])
    ]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    known = [(f"{brand}{number}", brand, float(number % 7)) for brand in "abc" for number in range(40)]
    cold = [(f"cold {brand}", brand, None) for brand in "abc"] + [("bare", None, None)]
    items = pl.DataFrame(known + cold, schema=["item_id", "brand", "price"], orient="row")
    return segue.split.leave_last_out(segue.Dataset.from_frames(events, items))


@pytest.fixture(scope="module")
def knows_brands(branded: segue.Split) -> segue.SequenceRecommender:
    model = small(embedding_size=16, epochs=15, learning_rate=0.02, id_dropout=0.5, validation_metric="hit_rate@35")
    return model.fit(branded.train, branded.validation, progress=False, threads=1)


def test_an_item_never_seen_is_found_by_its_attributes(knows_brands: segue.SequenceRecommender) -> None:
    for brand in "abc":
        history = [f"{brand}{number}" for number in range(4)]
        answer = knows_brands.score(histories=[history], items=["cold a", "cold b", "cold c", "bare"])
        assert answer.sort("score")["item_id"].to_list()[-1] == f"cold {brand}"


def test_the_report_says_what_each_attribute_is_and_was_worth(knows_brands: segue.SequenceRecommender) -> None:
    assert knows_brands.plan.features == ["brand", "price"]
    brand, price = knows_brands.report["features"]
    assert {key: brand[key] for key in ("name", "kind", "values")} == {
        "name": "brand",
        "kind": "categorical",
        "values": 3,
    }
    assert brand["coverage"] == round(123 / 124, 4)
    assert price["coverage"] == round(120 / 124, 4)
    assert brand["worth"] > 0.1
    assert brand["worth"] > 4 * abs(price["worth"]), "prices were given by chance"


def test_attributes_travel_with_the_model(knows_brands: segue.SequenceRecommender, tmp_path: Path) -> None:
    knows_brands.save(tmp_path / "model")
    loaded = segue.load(tmp_path / "model")
    asked: dict[str, Any] = {"histories": [["a1", "a2"], ["never met"]], "k": 124}
    with pytest.warns(UnknownItemsInHistory):
        before, after = knows_brands.recommend(**asked), loaded.recommend(**asked)
    assert after.equals(before)
    assert loaded.report["features"] == knows_brands.report["features"]
    assert loaded.weights_sha256() == knows_brands.weights_sha256()


def test_no_features_is_the_model_of_a_catalogue_without_attributes(branded: segue.Split) -> None:
    def without(part: segue.Dataset) -> segue.Dataset:
        return dataclasses.replace(part, items=part.items.select("item_id"))

    off = small(features=[], epochs=2).fit(branded.train, progress=False)
    ids = small(epochs=2).fit(without(branded.train), progress=False)
    assert off.weights_sha256() == ids.weights_sha256()
    assert off.report["features"] == ids.report["features"] == []
    assert off.plan.features == ids.plan.features == []
    named = small(features=["brand"], epochs=2).fit(branded.train, progress=False)
    assert [each["name"] for each in named.report["features"]] == ["brand"]
    assert named.report["features"][0]["worth"] is None, "there is nothing to validate on"
    assert named.weights_sha256() != off.weights_sha256()


def test_a_feature_that_the_catalogue_lacks_is_refused_before_training(branded: segue.Split) -> None:
    with pytest.raises(FeatureUnknown, match="Did you mean 'brand'"):
        small(features=["brnd"]).fit(branded.train, progress=False)


def test_other_attributes_are_another_training(branded: segue.Split, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"features": ["brand"], "epochs": 1}
    run: dict[str, Any] = {"progress": False, "checkpoint": tmp_path / "c"}
    small(**settings).fit(branded.train, **run)
    again = small(**settings).fit(branded.train, **run, resume=True)
    moved = branded.train.items.with_columns(pl.col("brand").reverse())
    with pytest.raises(ResumeRefused):
        small(**settings).fit(dataclasses.replace(branded.train, items=moved), **run, resume=True)
    assert again.recommend(["u1"], k=1).height == 1


def test_a_second_fit_answers_with_its_own_item_vectors(branded: segue.Split) -> None:
    asked: dict[str, Any] = {"histories": [["a1", "a2"]], "k": 5}
    model = small(epochs=1).fit(branded.train, progress=False)
    model.recommend(**asked)
    model.config = model.config.model_copy(update={"seed": 1})
    model.fit(branded.train, progress=False)
    assert model.recommend(**asked).equals(
        small(epochs=1, seed=1).fit(branded.train, progress=False).recommend(**asked)
    )


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


def test_what_goes_with_an_item_does_not_follow_the_fashion(
    fashion: segue.Split, trendy: segue.SequenceRecommender
) -> None:
    plain = small(time=[]).fit(fashion.train, fashion.validation, progress=False)
    assert trendy.trend is not None
    assert trendy.similar_items([1, 2], k=5).equals(plain.similar_items([1, 2], k=5))
    assert trendy.trend is not None
