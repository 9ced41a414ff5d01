from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import segue
from segue.errors import ColdUsers, ColumnMissing, HistoryMalformed, UnknownItemsInHistory


@pytest.fixture(scope="module")
def model(data: segue.Dataset) -> segue.Recommender:
    return segue.ItemNeighbours().fit(data, progress=False)


@pytest.mark.parametrize(
    "users",
    [
        ["u1", "u2"],
        ("u1", "u2"),
        np.array(["u1", "u2"]),
        np.array(["u1", "u2"], dtype=object),
        pl.Series(["u1", "u2"]),
        pd.Series(["u1", "u2"]),
        iter(["u1", "u2"]),
    ],
    ids=lambda users: type(users).__name__,
)
def test_users_come_in_any_sequence(model: segue.Recommender, users: Any) -> None:
    assert model.recommend(users, k=2)["user_id"].to_list() == ["u1", "u1", "u2", "u2"]


def test_one_user_may_be_asked_for_without_a_list(model: segue.Recommender) -> None:
    assert model.recommend("u1", k=2).equals(model.recommend(["u1"], k=2))


def test_a_user_asked_for_twice_is_answered_twice(model: segue.Recommender) -> None:
    answer = model.recommend(["u1", "u1"], k=2)
    assert answer.rows()[:2] == answer.rows()[2:]


def numbered() -> segue.Dataset:
    rows = {"user_id": [1, 1, 2, 2, 3], "item_id": [10, 20, 20, 30, 10], "timestamp": [1, 2, 3, 4, 5]}
    return segue.Dataset.from_frames(pl.DataFrame(rows))


def test_whole_numbers_may_be_asked_for_as_text_and_come_out_as_numbers() -> None:
    model = segue.Popular().fit(numbered())
    answer = model.recommend(["1", "2"], k=1, exclude_seen=True)
    assert answer["user_id"].to_list() == [1, 2]
    assert answer["item_id"].dtype == pl.Int64
    assert model.recommend(histories=[["10", "20"]], k=3, exclude_seen=True)["item_id"].to_list() == [30]


def test_a_cold_user_that_is_no_number_keeps_the_name_that_was_asked_for() -> None:
    model = segue.Popular().fit(numbered())
    with pytest.warns(ColdUsers):
        answer = model.recommend([1, "somebody"], k=1)
    assert answer["user_id"].to_list() == ["1", "somebody"]


def test_a_null_among_the_users_is_a_cold_user(model: segue.Recommender) -> None:
    with pytest.warns(ColdUsers, match="1 of 2"):
        answer = model.recommend(["u1", None], k=2)
    assert answer["user_id"].to_list() == ["u1", "u1", None, None]


UUIDS = [uuid.UUID(int=number) for number in range(6)]


def with_uuids() -> segue.Dataset:
    rows = {"user_id": [*UUIDS[:2], UUIDS[0]], "item_id": [UUIDS[3], UUIDS[4], UUIDS[5]], "timestamp": [1, 2, 3]}
    return segue.Dataset.from_frames(pd.DataFrame(rows))


def test_uuids_come_out_as_uuids_also_where_some_are_cold() -> None:
    model = segue.Popular().fit(with_uuids())
    with pytest.warns(ColdUsers):
        answer = model.recommend([UUIDS[0], UUIDS[2]], k=1)
    assert answer["user_id"].tolist() == [UUIDS[0], UUIDS[2]]
    with pytest.warns(ColdUsers):
        answer = model.recommend([UUIDS[0], "no uuid"], k=1)
    assert answer["user_id"].tolist() == [str(UUIDS[0]), "no uuid"]


def test_a_frame_of_histories_with_uuids_gives_uuids_back() -> None:
    model = segue.Popular().fit(with_uuids())
    frame = pd.DataFrame({"user_id": [UUIDS[2], UUIDS[2]], "item_id": [UUIDS[3], UUIDS[4]]})
    answer = model.recommend(histories=frame, k=1, exclude_seen=True)
    assert answer["user_id"].tolist() == [UUIDS[2]]
    assert answer["item_id"].tolist() == [UUIDS[5]]


@pytest.mark.parametrize(
    "convert", [pl.DataFrame, pd.DataFrame, pa.table, pl.LazyFrame], ids=lambda each: each.__name__
)
def test_a_frame_of_histories_is_answered_in_its_own_kind(model: segue.Recommender, convert: Any) -> None:
    frame = convert({"user_id": ["a", "a", "b"], "item_id": ["i1", "i2", "i3"], "timestamp": [1, 2, 3]})
    answer = model.recommend(histories=frame, k=2)
    assert isinstance(answer, pl.DataFrame if convert is pl.LazyFrame else type(frame))
    assert list(pl.DataFrame(answer)["user_id"]) == ["a", "a", "b", "b"]


def test_events_of_one_moment_keep_the_order_of_the_frame(data: segue.Dataset) -> None:
    model = segue.FirstOrder(steps=1, smoothing=0).fit(data)
    items = {"user_id": ["a"] * 30, "item_id": ["i7"] * 29 + ["i8"], "timestamp": [5] * 30}
    answer = model.recommend(histories=pl.DataFrame(items), k=3, exclude_seen=False)
    assert (
        answer["item_id"].to_list() == model.recommend(histories=[["i8"]], k=3, exclude_seen=False)["item_id"].to_list()
    )


def test_users_of_a_frame_that_know_nothing_we_know_are_answered_too(model: segue.Recommender) -> None:
    frame = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["no such", "i1"]})
    with pytest.warns(UnknownItemsInHistory, match="1 items"):
        answer = model.recommend(histories=frame, k=2)
    assert answer["user_id"].to_list() == ["a", "a", "b", "b"]


def test_a_frame_without_items_says_which_column_is_missing(model: segue.Recommender) -> None:
    with pytest.raises(ColumnMissing, match="Did you mean 'items'"):
        model.recommend(histories=pl.DataFrame({"user_id": ["a"], "items": ["i1"]}))


def test_numpy_arrays_are_histories(model: segue.Recommender) -> None:
    wanted = model.recommend(histories=[["i1", "i2"], ["i3", "i4"]], k=2)
    assert model.recommend(histories=np.array([["i1", "i2"], ["i3", "i4"]]), k=2).equals(wanted)
    assert model.recommend(histories=(pl.Series(["i1", "i2"]), np.array(["i3", "i4"])), k=2).equals(wanted)


@pytest.mark.parametrize("histories", [{"a": ["i1"]}, b"i1", 3.5, object()])
def test_what_is_no_history_is_refused_with_its_kind(model: segue.Recommender, histories: Any) -> None:
    with pytest.raises(HistoryMalformed, match=type(histories).__name__):
        model.recommend(histories=histories)


def test_warnings_point_at_the_line_that_asked(model: segue.Recommender) -> None:
    with pytest.warns(ColdUsers) as cold:
        model.recommend(["nobody"], k=1)
    with pytest.warns(UnknownItemsInHistory) as unknown:
        model.recommend(histories=[["no such"]], k=1)
    assert {warning.filename for warning in (*cold, *unknown)} == {__file__}
