from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue import artefacts
from segue.errors import ArtefactCorrupt, BadK, ConfigUnknown, ConfigValue, NoTargets, NotFitted
from segue.recommenders import base
from segue.recommenders.asking import titles_frame
from segue.recommenders.base import Recommender
from segue.recommenders.ease import EASEConfig


def test_settings_come_by_name_as_an_object_or_as_an_object_with_changes() -> None:
    assert segue.EASE(regularisation=7).config.regularisation == 7
    given = EASEConfig(regularisation=7)
    assert segue.EASE(given).config is given
    changed = segue.EASE(given, max_items=3).config
    assert (changed.regularisation, changed.max_items) == (7, 3)


def test_impossible_settings_are_refused_with_the_value() -> None:
    with pytest.raises(ConfigValue, match=r"'regularisation' of EASE cannot be -1"):
        segue.EASE(regularisation=-1)
    with pytest.raises(ConfigUnknown, match="Did you mean 'regularisation'"):
        segue.EASE(EASEConfig(), regularization=1)


def test_a_recommender_shows_the_settings_that_were_changed() -> None:
    assert repr(segue.EASE(regularisation=7)) == "EASE(regularisation=7.0)"
    assert repr(segue.Popular()) == "Popular()"


def test_a_recommender_learns_from_the_validation_events_in_the_end(split: segue.Split) -> None:
    with_validation = segue.Popular().fit(split.train, split.validation)
    whole = segue.Popular().fit(split.validation.all)
    users = split.train.user_vocabulary.ids.head(5).to_list()
    assert with_validation.recommend(users).equals(whole.recommend(users))
    assert with_validation.item_counts.sum() == len(split.train) + len(split.validation.targets)


def test_scores_stream_in_blocks_of_a_fixed_size(data: segue.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    model = segue.ItemNeighbours().fit(data, progress=False)
    users = data.user_vocabulary.ids.to_list()
    whole = model.recommend(users, k=7)
    sizes: list[int] = []
    scored = model._score_block

    def watched(histories: Any) -> np.ndarray:
        sizes.append(len(histories))
        return scored(histories)

    monkeypatch.setattr(model, "_score_block", watched)
    monkeypatch.setattr(base, "_SCORES", 8 * (len(data.item_vocabulary) + 1))
    histories = [[], *(data.item_vocabulary.decode(data.histories.row(n)).to_list() for n in range(1, 61)), []]
    blocks = model.recommend(histories=histories, k=7)
    assert max(sizes) <= 8
    assert len(sizes) >= 60 // 8
    inner = blocks.filter(pl.col("user_id").is_between(1, 60))
    assert inner["item_id"].to_list() == whole["item_id"].to_list()


def test_equal_scores_go_to_the_more_popular_item(data: segue.Dataset) -> None:
    listed = segue.ItemNeighbours(neighbours=1).fit(data, progress=False).recommend(["u1"], k=100, exclude_seen=False)
    tied = listed.filter(pl.col("score") == 0)["item_id"].to_list()
    counts = data.item_counts[data.item_vocabulary.encode(tied)]
    assert len(tied) > 10
    assert (np.diff(counts) <= 0).all()


def test_a_fit_that_fails_leaves_a_recommender_that_says_it_is_not_fitted(
    data: segue.Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = segue.Popular().fit(data)

    def fails(*_: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(segue.Popular, "_fit", fails)
    with pytest.raises(MemoryError):
        model.fit(data)
    with pytest.raises(NotFitted):
        model.recommend(["u1"])


def test_titles_are_those_of_the_newest_fit(log: pl.DataFrame, catalogue: pl.DataFrame) -> None:
    model = segue.Popular().fit(segue.Dataset.from_frames(log, catalogue))
    assert model.titles["i0"] == "Film number 0"
    model.fit(segue.Dataset.from_frames(log, catalogue.with_columns(pl.col("title").str.replace("Film", "Book"))))
    assert model.titles["i0"] == "Book number 0"


def test_titles_join_a_result_where_the_catalogue_has_them(data: segue.Dataset, log: pl.DataFrame) -> None:
    model = segue.Popular().fit(data)
    answer = model.recommend(["u1"], k=2)
    titled = titles_frame(model, answer)
    assert titled["title"].to_list() == [f"Film number {item[1:]}" for item in answer["item_id"]]
    bare = segue.Popular().fit(segue.Dataset.from_frames(log))
    assert titles_frame(bare, answer).equals(answer)


def test_a_model_is_saved_with_its_catalogue_and_its_test(split: segue.Split, tmp_path: Path) -> None:
    model = segue.EASE().fit(split.train, split.validation)
    model.save(tmp_path / "model", test=split.test)
    artefact = artefacts.read(tmp_path / "model")
    again = segue.load(tmp_path / "model")
    test = again.holdout(artefact)
    assert again.titles == model.titles
    assert test.users.tolist() == split.test.users.tolist()
    wanted = segue.evaluate(model, split.test, k=10, progress=False).metrics
    assert segue.evaluate(again, test, k=10, progress=False).metrics == wanted
    assert again.report == model.report


def test_a_model_saved_without_a_test_says_so(data: segue.Dataset, tmp_path: Path) -> None:
    model = segue.Popular().fit(data)
    model.save(tmp_path / "model")
    with pytest.raises(NoTargets, match="saved without a test"):
        model.holdout(artefacts.read(tmp_path / "model"))


def test_parts_that_do_not_fit_together_are_refused_as_damage(data: segue.Dataset, tmp_path: Path) -> None:
    class Halved(segue.Popular):
        def _save(self, artefact: artefacts.Writer) -> None:
            artefact.tensors("other", {"scores": self._item_scores})

    Halved().fit(data).save(tmp_path / "model")
    with pytest.raises(ArtefactCorrupt, match="scores"):
        segue.load(tmp_path / "model")


def test_a_model_can_be_saved_over_an_older_one(data: segue.Dataset, tmp_path: Path) -> None:
    segue.EASE().fit(data).save(tmp_path / "model")
    segue.Popular().fit(data).save(tmp_path / "model")
    assert type(segue.load(tmp_path / "model")) is segue.Popular


@pytest.mark.parametrize("k", [np.int64(3), np.int32(3)])
def test_a_numpy_number_is_a_k(data: segue.Dataset, k: Any) -> None:
    assert len(segue.Popular().fit(data).recommend(["u1"], k=k)) == 3


def test_a_numpy_boolean_is_no_k(data: segue.Dataset) -> None:
    with pytest.raises(BadK):
        segue.Popular().fit(data).recommend(["u1"], k=np.True_)


def test_every_recommender_is_registered_under_its_name() -> None:
    assert Recommender.registry["EASE"] is segue.EASE
