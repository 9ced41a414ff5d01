"""An exported model is a recommender like any other; it takes new items as the trained one does, without torch."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import segue
from segue.data.dataset import Dataset
from segue.deploy.parts import in_fp32, in_int8
from segue.errors import ConfigUnknown, NotTrainedHere, TextNotExported
from segue.recommenders.base import Recommender
from segue.recommenders.exported import ExportedRecommender
from segue.recommenders.forgetting import forget_user
from segue.recommenders.pattern_prior import PatternPrior
from segue.testing import RecommenderContract
from segue.testing.logs import small_data
from segue.training.prior import PriorWeights
from tests.deploy.models import split
from tests.deploy.models import trained as trained_model
from tests.language.makers import tiny_model
from tests.recommenders.shops import reader, shop

NEW = pl.DataFrame(
    {
        "item_id": [100, 101, 102, 1, 2],
        "title": ["red cup", "blue cup", None, "red saw", None],
        "price": [1.0, 2, 3, 4, 5],
    }
)


class TestExportedRecommender(RecommenderContract):
    reads_time = True
    recommender = staticmethod(ExportedRecommender)

    def fit(self, data: Dataset) -> Recommender:
        trained = segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=1)
        return in_fp32(trained.fit(data, progress=False))

    def test_a_second_fit_forgets_the_first(self) -> None:
        model = self.fitted()
        before = model.recommend(["u1"], k=5)
        with pytest.raises(NotTrainedHere):
            model.fit(small_data())
        assert model.recommend(["u1"], k=5).equals(before), "it answers as if it had not been asked"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> segue.SequenceRecommender:
    """One that knows items by their text, their likeness and a price."""
    language = tiny_model(tmp_path_factory.mktemp("language") / "tiny")
    return reader(language, features=["price"], epochs=6).fit(shop(), progress=False)


@pytest.fixture(scope="module")
def plain(trained: segue.SequenceRecommender) -> ExportedRecommender:
    return in_fp32(trained)


def saved_and_loaded(model: Recommender, place: Path) -> Recommender:
    model.save(place)
    return segue.load(place)


@pytest.mark.parametrize("stored", [False, True])
def test_new_and_changed_items_get_the_vectors_that_the_trained_model_gives_them(
    trained: segue.SequenceRecommender, plain: ExportedRecommender, tmp_path: Path, stored: bool
) -> None:
    theirs = saved_and_loaded(trained, tmp_path / "trained")
    ours = saved_and_loaded(plain, tmp_path / "plain") if stored else in_fp32(trained)
    before = ours.item_table.copy()  # type: ignore[attr-defined]
    assert ours.add_items(NEW) == theirs.add_items(NEW)
    np.testing.assert_allclose(ours.item_table, theirs.item_table, rtol=1e-3, atol=2e-4)  # type: ignore[attr-defined]
    codes = ours.item_vocabulary.encode(NEW["item_id"])
    untouched = np.setdiff1d(np.arange(len(before)), codes)
    assert np.array_equal(ours.item_table[untouched], before[untouched])  # type: ignore[attr-defined]
    questions = [[0, 3, 6], [1, 4, 7], [100, 101]]
    wanted, found = (each.score(histories=questions, items=[*NEW["item_id"], 9]) for each in (theirs, ours))
    np.testing.assert_allclose(found["score"], wanted["score"], rtol=1e-3, atol=1e-3)


def test_a_grown_model_is_saved_with_its_new_items_and_grows_on(plain: ExportedRecommender, tmp_path: Path) -> None:
    grown = saved_and_loaded(plain, tmp_path / "plain")
    grown.add_items(NEW)
    again = saved_and_loaded(grown, tmp_path / "grown")
    assert again.recommend(histories=[[100, 1]], k=34).equals(grown.recommend(histories=[[100, 1]], k=34))
    more = pl.DataFrame({"item_id": [200], "title": ["green pot"], "price": [2.0]})
    assert again.add_items(more).new == 1
    assert 200 in again.recommend(histories=[[2, 5, 8]], k=40)["item_id"].to_list()


def test_a_person_can_be_forgotten_by_an_export(plain: ExportedRecommender, tmp_path: Path) -> None:
    model = saved_and_loaded(plain, tmp_path / "plain")
    assert forget_user(tmp_path / "plain", "u1")
    again = segue.load(tmp_path / "plain")
    assert "u1" not in again.user_vocabulary.ids
    assert again.recommend(histories=[[0, 3]], k=5).equals(model.recommend(histories=[[0, 3]], k=5))


def test_items_known_by_their_ids_alone_join_last(tmp_path: Path) -> None:
    model = in_fp32(
        segue.SequenceRecommender(embedding_size=8, epochs=1, features=[]).fit(small_data(), progress=False)
    )
    model.add_items(pl.DataFrame({"item_id": ["brand new"]}))
    assert model.recommend(["u1"], k=100, exclude_seen=False)["item_id"].to_list()[-1] == "brand new"


def test_without_its_language_model_new_items_are_refused_and_the_rest_stays(
    trained: segue.SequenceRecommender,
) -> None:
    model = in_fp32(trained, text=False)
    before = model.recommend(["u1"], k=5)
    with pytest.raises(TextNotExported):
        model.add_items(NEW)
    assert model.recommend(["u1"], k=5).equals(before)
    assert len(model.item_vocabulary) == 30


def test_similar_items_are_those_of_the_trained_model(
    trained: segue.SequenceRecommender, plain: ExportedRecommender
) -> None:
    wanted, found = (each.similar_items([0, 7, 20], k=5) for each in (trained, plain))
    assert found.drop("score").equals(wanted.drop("score"))


def test_habits_come_along(tmp_path: Path) -> None:
    model = copy.copy(trained_model())
    habits = segue.PatternRecommender().fit(split().train).counted_for(model)
    model.prior = PatternPrior(habits, PriorWeights(np.array([0.1]), 0.01, np.array([5.0])))
    users = model.user_vocabulary.ids
    wanted = model.recommend(users, k=5)
    assert not wanted.equals(trained_model().recommend(users, k=5))
    found = saved_and_loaded(in_fp32(model), tmp_path / "small").recommend(users, k=5)
    assert found.drop("score").equals(wanted.drop("score"))


def test_a_wrong_name_in_the_settings_is_refused() -> None:
    with pytest.raises(ConfigUnknown, match="precision"):
        ExportedRecommender(precison="int8")


WITHOUT = """
import sys
from importlib.machinery import PathFinder
absent = {"torch", "transformers", "peft", "lightning", *sys.argv[2:]}
there = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] in absent else there(name, *rest)
import polars as pl, segue
model = segue.load(sys.argv[1])
assert model.recommend(["u1"], k=5, at="now").height == 5
assert model.recommend(histories=[[0, 3, 6]], k=5).height == 5
assert model.similar_items([3], k=2).height == 2
model.add_items(pl.DataFrame({"item_id": [100], "title": ["red cup"], "price": [1.0]}))
assert model.score(["u1"], items=[100]).height == 1
assert not absent & set(sys.modules)
print("heavy:", *sorted({"numba", "scipy", "pandas", "plotly"} & set(sys.modules)))
"""


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_nothing_of_torch_is_needed_to_load_to_answer_and_to_take_new_items(
    plain: ExportedRecommender, tmp_path: Path, precision: str
) -> None:
    model = plain if precision == "fp32" else in_int8(plain, "all matrices")
    assert model is not None
    model.save(tmp_path / "plain")
    told = _run(tmp_path / "plain")
    assert told.returncode == 0, told.stderr
    assert told.stdout.split() == ["heavy:"], "nor of what is slow to import"


def test_the_check_above_fails_where_something_is_needed(trained: segue.SequenceRecommender, tmp_path: Path) -> None:
    trained.save(tmp_path / "trained")
    assert "needs the package 'torch'" in _run(tmp_path / "trained").stderr


def _run(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", WITHOUT, str(place)], capture_output=True, text=True, timeout=60)
