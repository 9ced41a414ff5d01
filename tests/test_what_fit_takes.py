"""What ``fit``, splits and requests take besides a data set: frames, files, splits, one id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import segue
from segue.errors import ArgumentKind, ColumnMissing, SplitLeak
from tests.conftest import make_log

SMALL: dict[str, Any] = {"embedding_size": 4, "blocks": 1, "heads": 1, "epochs": 2, "time": []}


@pytest.fixture(scope="module")
def log() -> pl.DataFrame:
    return make_log(users=12)


@pytest.fixture(scope="module")
def split(log: pl.DataFrame) -> segue.Split:
    return segue.split.leave_last_out(segue.Dataset.from_frames(log))


@pytest.mark.parametrize(
    ("given", "kind"), [("to_pandas", pd.DataFrame), ("to_arrow", pa.Table), ("clone", pl.DataFrame)]
)
def test_a_frame_is_a_log_and_answers_come_in_its_kind(log: pl.DataFrame, given: str, kind: type) -> None:
    model = segue.EASE().fit(getattr(log, given)())
    answer = model.recommend("u1", k=3)
    assert isinstance(answer, kind)
    expected = segue.EASE().fit(segue.Dataset.from_frames(log)).recommend("u1", k=3)
    assert pl.DataFrame(answer)["item_id"].to_list() == expected["item_id"].to_list()


def test_a_file_is_a_log(log: pl.DataFrame, tmp_path: Path) -> None:
    log.write_parquet(tmp_path / "log.parquet")
    model = segue.EASE().fit(str(tmp_path / "log.parquet"))
    assert model.recommend("u1", k=3).equals(segue.EASE().fit(log).recommend("u1", k=3))


def test_a_split_is_its_training_events_and_its_validation(split: segue.Split) -> None:
    whole = segue.SequenceRecommender(**SMALL).fit(split, progress=False)
    parts = segue.SequenceRecommender(**SMALL).fit(split.train, split.validation, progress=False)
    assert whole.weights_sha256() == parts.weights_sha256()
    assert whole.report["training"]["best_validation"] is not None
    with pytest.raises(ArgumentKind, match="fit\\(split\\)"):
        segue.EASE().fit(split, split.validation)


def test_frames_of_training_and_of_later_events_are_a_validation(log: pl.DataFrame) -> None:
    newest = pl.int_range(pl.len()).over("user_id") == pl.len().over("user_id") - 1
    log = log.sort("user_id", "timestamp", maintain_order=True)
    train, later = log.filter(~newest), log.filter(newest)
    model = segue.SequenceRecommender(**SMALL).fit(train, validation=later, progress=False)
    assert model.report["training"]["best_validation"] is not None
    assert len(model.histories.items) == log.height, "the refit knows both"
    with pytest.raises(SplitLeak):
        segue.EASE().fit(log, validation=later)


def test_a_data_set_beside_a_frame_says_what_to_give(split: segue.Split, log: pl.DataFrame) -> None:
    with pytest.raises(ArgumentKind, match=r"validation is a DataFrame, not a holdout.*split\.validation"):
        segue.EASE().fit(split.train, validation=log)


def test_a_holdout_of_another_data_set_is_refused(split: segue.Split) -> None:
    other = segue.split.leave_last_out(segue.Dataset.from_frames(make_log(users=20, items=7)))
    with pytest.raises(ArgumentKind, match="same data set"):
        segue.EASE().fit(split.train, other.validation)


def test_the_parts_of_one_data_set_are_training_and_validation(split: segue.Split) -> None:
    assert split.validation is not None
    model = segue.SequenceRecommender(**SMALL).fit(split.train, split.validation.targets, progress=False)
    assert model.report["training"]["best_validation"] is not None


@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: segue.SequenceRecommender("gru"), r"SequenceRecommender\(encoder='gru'\)"),
        (lambda: segue.EASE(3), r"EASE\(regularisation="),
        (lambda: segue.Popular("x"), r"It has none: Popular\(\)"),
        (lambda: segue.compare(segue.EASE(), segue.Popular()), r"segue\.evaluate\(a, test\)"),
        (lambda: segue.EASE().fit(3), "Give a pandas, polars or Arrow frame"),
        (lambda: segue.split.leave_last_out(None), "Give a pandas, polars or Arrow frame"),
        (lambda: segue.load(None), "pathlib"),
    ],
)
def test_a_wrong_argument_says_what_to_give_instead(make: Any, remedy: str) -> None:
    with pytest.raises(ArgumentKind, match=remedy):
        make()


def test_the_remedy_for_a_name_in_the_place_of_settings_works() -> None:
    assert segue.SequenceRecommender(encoder="gru").config.encoder == "gru"
    assert segue.EASE({"regularisation": 3.0}).config.regularisation == 3.0


def test_a_test_is_found_in_its_split(split: segue.Split) -> None:
    model = segue.Popular().fit(split)
    whole, part = (segue.evaluate(model, each, progress=False)["ndcg@10"] for each in (split, split.test))
    assert whole == part


def test_splits_take_frames(log: pl.DataFrame) -> None:
    for made in (segue.split.leave_last_out(log), segue.split.by_time(log), segue.split.k_shot(log, 2)):
        assert isinstance(made, segue.Split)


def test_one_id_is_an_id_and_not_its_letters(split: segue.Split) -> None:
    model = segue.EASE().fit(split.train)
    assert model.recommend("u1", k=2)["user_id"].to_list() == ["u1", "u1"]
    assert model.score("u1", items="i1").height == 1
    assert model.similar_items("i1", k=2)["item_id"].to_list() == ["i1", "i1"]


def test_a_frame_of_users_is_its_column_of_ids(split: segue.Split, log: pl.DataFrame) -> None:
    model = segue.EASE().fit(split.train)
    users = log["user_id"].unique(maintain_order=True).head(3)
    expected = model.recommend(users.to_list(), k=2)
    for frame in (users.to_frame(), users.to_frame().to_pandas()):
        assert model.recommend(frame, k=2).equals(expected)
    with pytest.raises(ColumnMissing, match="user_id"):
        model.recommend(pd.DataFrame({"customer": ["u1"]}))


def test_members_are_also_classes(log: pl.DataFrame) -> None:
    by_class = segue.Ensemble([segue.EASE, segue.Popular]).fit(log).recommend("u1", k=3)
    assert by_class.equals(segue.Ensemble(["EASE", "Popular"]).fit(log).recommend("u1", k=3))
