"""New items join a fitted recommender: at once, by their text, whole or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

import segue
from segue.errors import (
    ColumnMissing,
    ColumnUnreadable,
    DuplicateItems,
    EmptyLog,
    IdsDiffer,
    ItemsNotTaken,
    LanguageModelChanged,
    LanguageModelUnknown,
    NotFitted,
)
from segue.recommenders.growing import AddedItems
from tests.language.makers import tiny_model
from tests.recommenders.shops import reader, shop


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("language") / "tiny")


@pytest.fixture(scope="module")
def learnt(language: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved model that has learnt that people stay with a colour."""
    place = tmp_path_factory.mktemp("learnt") / "shop"
    reader(language).fit(shop(), progress=False).save(place)
    return place


@pytest.fixture
def model(learnt: Path) -> segue.SequenceRecommender:
    loaded = segue.load(learnt)
    assert isinstance(loaded, segue.SequenceRecommender)
    return loaded


NEW = pl.DataFrame({"item_id": [100, 101, 102], "title": ["red cup", "blue cup", "green cup"]})


def scores(model: segue.Recommender, history: list[int], items: list[int]) -> list[float]:
    return list(model.score(histories=[history], items=items)["score"])


def test_a_new_item_is_ranked_by_its_text_at_once(model: segue.SequenceRecommender) -> None:
    assert model.add_items(NEW) == AddedItems(new=3, changed=0, unchanged=0, without_text=0)
    for place, history in enumerate(([0, 3, 6], [1, 4, 7], [2, 5, 8])):
        found = scores(model, history, [100, 101, 102])
        assert int(np.argmax(found)) == place


def test_what_was_answered_about_known_items_stays(model: segue.SequenceRecommender) -> None:
    known = list(range(30))
    before = scores(model, [0, 3, 6], known)
    model.add_items(NEW)
    np.testing.assert_allclose(scores(model, [0, 3, 6], known), before, rtol=1e-5, atol=1e-5)


def test_a_new_item_can_stand_in_a_history(model: segue.SequenceRecommender) -> None:
    model.add_items(NEW)
    red, blue = scores(model, [100], [0, 1])
    assert red > blue


def test_the_same_items_again_change_nothing(model: segue.SequenceRecommender) -> None:
    model.add_items(NEW)
    before = model.model
    assert model.add_items(NEW) == AddedItems(new=0, changed=0, unchanged=3, without_text=0)
    assert model.add_items(shop().items).unchanged == 30
    assert model.model is before
    assert len(model.item_vocabulary) == 33


def test_a_changed_text_is_read_anew(model: segue.SequenceRecommender) -> None:
    model.add_items(NEW)
    red, blue = scores(model, [0, 3, 6], [100, 101])
    assert red > blue
    turned = pl.DataFrame({"item_id": [100, 101], "title": ["blue cup", "red cup"]})
    assert model.add_items(turned) == AddedItems(new=0, changed=2, unchanged=0, without_text=0)
    np.testing.assert_allclose(scores(model, [0, 3, 6], [100, 101]), [blue, red], rtol=1e-5)
    assert model.titles[100] == "blue cup"


def test_columns_that_are_not_given_stay(model: segue.SequenceRecommender) -> None:
    model.add_items(pl.DataFrame({"item_id": [3], "title": ["blue cup"], "shelf": ["left"]}))
    assert model.items is not None
    row = model.items.filter(pl.col("item_id") == 3).row(0, named=True)
    assert row == {"item_id": 3, "title": "blue cup", "price": 3.0, "shelf": "left"}
    assert model.items["shelf"].null_count() == 29


def test_an_item_that_nothing_is_known_of_comes_last(model: segue.SequenceRecommender) -> None:
    added = model.add_items(pl.DataFrame({"item_id": [100, 200], "title": ["red cup", None]}))
    assert added.without_text == 1
    listed = model.recommend(histories=[[0, 3, 6]], k=100)["item_id"].to_list()
    assert listed[-1] == 200
    assert 100 in listed[:10]


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_any_kind_of_frame_is_taken(model: segue.SequenceRecommender, kind: str) -> None:
    model.add_items(NEW.to_pandas() if kind == "pandas" else NEW.to_arrow())
    assert len(model.item_vocabulary) == 33


def test_ids_are_read_in_the_type_of_the_log(model: segue.SequenceRecommender) -> None:
    assert model.add_items(NEW.with_columns(pl.col("item_id").cast(pl.String))).new == 3
    assert model.add_items(NEW.with_columns(pl.col("item_id").cast(pl.Float64))).unchanged == 3


@pytest.mark.parametrize(
    ("frame", "error"),
    [
        (NEW.rename({"item_id": "sku"}), ColumnMissing),
        (NEW.head(0), EmptyLog),
        (pl.concat([NEW, NEW.head(1).with_columns(title=pl.lit("red"))]), DuplicateItems),
        (pl.DataFrame({"item_id": ["a"], "title": ["red"]}), IdsDiffer),
        (NEW.with_columns(price=pl.lit("cheap")), ColumnUnreadable),
        (pd.DataFrame({"item_id": ["1", "01"], "title": ["red", "blue"]}), DuplicateItems),
    ],
)
def test_what_cannot_be_added_leaves_the_recommender_as_it_was(
    model: segue.SequenceRecommender, frame: Any, error: type[Exception]
) -> None:
    before = scores(model, [0, 3], list(range(30)))
    with pytest.raises(error):
        model.add_items(frame)
    assert len(model.item_vocabulary) == 30
    assert scores(model, [0, 3], list(range(30))) == before


def test_another_language_model_is_refused_and_nothing_is_half_done(
    language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tiny_model(tmp_path / "own")
    model = reader(place, epochs=1).fit(shop(), progress=False)
    tiny_model(tmp_path / "own", seed=1)
    with pytest.raises(LanguageModelChanged):
        model.add_items(NEW)
    (tmp_path / "own").rename(tmp_path / "away")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LanguageModelUnknown):
        model.add_items(NEW)
    assert len(model.item_vocabulary) == 30
    assert model.recommend(histories=[[0]], k=100, exclude_seen=False).height == 30


def test_added_items_are_saved_and_more_can_be_added_later(model: segue.SequenceRecommender, tmp_path: Path) -> None:
    model.add_items(NEW)
    model.save(tmp_path / "grown")
    again = segue.load(tmp_path / "grown")
    assert again.recommend(histories=[[0, 3]], k=9).equals(model.recommend(histories=[[0, 3]], k=9))
    assert again.add_items(pl.DataFrame({"item_id": [103], "title": ["red saw"]})).new == 1


def test_attributes_of_new_items_are_read_by_the_values_known(tmp_path: Path) -> None:
    data = shop()
    assert data.items is not None
    coloured = data.items.select("item_id", colour=pl.col("title").str.split(" ").list.first())
    data = segue.Dataset.from_frames(
        pl.DataFrame({
            "user_id": data.events["user"], "item_id": data.events["item"].cast(pl.Int64) - 1,
            "timestamp": data.events["timestamp"],
        }), coloured,
    )  # fmt: skip
    model = reader("", text=None, features=["colour"], id_dropout=0.3).fit(data, progress=False)
    model.add_items(pl.DataFrame({"item_id": [100, 101], "colour": ["red", "mauve"]}))
    red, mauve = scores(model, [0, 3, 6], [100, 101])
    assert red > mauve


BY_COUNTING = ["Popular", "RecentlyPopular", "FirstOrder", "ItemNeighbours", "EASE", "ALS"]


@pytest.mark.parametrize("name", BY_COUNTING)
def test_recommenders_that_count_list_new_items_after_what_they_know(name: str, tmp_path: Path) -> None:
    if name == "ALS":
        pytest.importorskip("implicit")
    model = getattr(segue, name)().fit(shop(), progress=False)
    before = model.recommend(["u1"], k=5)
    model.add_items(NEW)
    assert model.recommend(["u1"], k=5).equals(before)
    assert scores(model, [1, 4], [100, 101, 102]) == [0.0] * 3
    model.save(tmp_path / name)
    assert segue.load(tmp_path / name).recommend(["u1"], k=33).equals(model.recommend(["u1"], k=33))


def test_text_neighbours_find_new_items(language: str) -> None:
    model = segue.TextNeighbours(text=language).fit(shop(), progress=False)
    model.add_items(pl.DataFrame({"item_id": [100], "title": ["red tea"]}))
    assert 100 in model.recommend(histories=[[0]], k=3)["item_id"].to_list()  # beside two of the very same text


def test_an_ensemble_grows_with_all_its_members(model: segue.SequenceRecommender, learnt: Path) -> None:
    other = segue.load(learnt)
    both = segue.Ensemble([model, other])
    assert both.add_items(NEW).new == 3
    assert int(np.argmax(scores(both, [0, 3, 6], [100, 101, 102]))) == 0
    assert len(model.item_vocabulary) == 30, "the recommenders it was made of stay as they are"


def test_a_recommender_that_cannot_grow_says_so(model: segue.SequenceRecommender) -> None:
    class Rigid(segue.Popular):
        _grow = segue.Recommender._grow

    rigid = Rigid().fit(shop())
    with pytest.raises(ItemsNotTaken, match="Rigid"):
        rigid.add_items(NEW)
    assert len(rigid.item_vocabulary) == 30
    del segue.Recommender.registry["Rigid"]


def test_nothing_is_added_to_what_was_never_fitted() -> None:
    with pytest.raises(NotFitted):
        segue.Popular().add_items(NEW)


def test_a_log_without_a_catalogue_takes_one(tmp_path: Path) -> None:
    data = shop()
    bare = segue.Dataset.from_frames(
        pl.DataFrame({"user_id": data.events["user"], "item_id": data.events["item"], "timestamp": data.events["row"]})
    )
    model = segue.Popular().fit(bare)
    assert model.add_items(pl.DataFrame({"item_id": [1, 99], "title": ["one", "new"]})) == AddedItems(1, 1, 0, 0)
    assert model.titles == {1: "one", 99: "new"}
