"""Ids of any type go in and come out; what is unknown is 0 and stays 0."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue import Dataset
from segue.data.vocabulary import Vocabulary

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20, unique=True)
numbers = st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20, unique=True)


@given(texts | numbers)
def test_every_id_comes_back_as_it_went_in(ids: list[Any]) -> None:
    vocabulary = Vocabulary.of(pl.Series(ids))
    codes = vocabulary.encode(ids)
    assert codes.tolist() == list(range(1, len(ids) + 1))
    assert vocabulary.decode(codes).to_list() == ids


@given(texts | numbers, texts | numbers)
def test_a_column_and_a_list_are_encoded_alike(known: list[Any], asked: list[Any]) -> None:
    vocabulary = Vocabulary.of(pl.Series(known))
    assert vocabulary.encode(asked).tolist() == vocabulary.encode(pl.Series(asked)).tolist()


@given(texts, texts)
def test_what_is_not_known_is_zero_and_only_that(known: list[str], asked: list[str]) -> None:
    codes = Vocabulary.of(pl.Series(known)).encode(asked)
    assert ((codes == 0) == np.array([text not in known for text in asked])).all()


@given(texts)
def test_a_saved_vocabulary_is_the_same(ids: list[str]) -> None:
    vocabulary = Vocabulary.of(pl.Series(ids))
    again = Vocabulary(vocabulary.table()["id"])
    assert again.encode(ids).tolist() == vocabulary.encode(ids).tolist()


def test_codes_follow_first_appearance_over_all_columns() -> None:
    vocabulary = Vocabulary.of(pl.Series(["b", None, "a"]), pl.Series(["c", "a"]))
    assert vocabulary.ids.to_list() == ["b", "a", "c"]
    assert len(vocabulary) == 3


@pytest.mark.parametrize("asked", [5, "5", np.int64(5), np.float32(5.0), " 5 "])
def test_a_number_is_found_in_any_dress(asked: Any) -> None:
    assert Vocabulary.of(pl.Series([4, 5])).encode([asked]).tolist() == [2]


@pytest.mark.parametrize("asked", ["5", 5, np.int32(5), np.str_("5")])
def test_a_number_finds_its_text(asked: Any) -> None:
    assert Vocabulary.of(pl.Series(["4", "5"])).encode([asked]).tolist() == [2]


@pytest.mark.parametrize("asked", [None, "x", "", float("nan"), [1], b"5", uuid.UUID(int=5), "9" * 5_000, 2**80, 5.5])
def test_anything_else_is_unknown_and_never_fails(asked: Any) -> None:
    assert Vocabulary.of(pl.Series([4, 5])).encode([asked]).tolist() == [0]


@pytest.mark.parametrize("asked", [None, 5.0, float("nan"), b"5", ["5"], (), object()])
def test_text_ids_know_only_their_text(asked: Any) -> None:
    assert Vocabulary.of(pl.Series(["4", "5"])).encode([asked]).tolist() == [0]


def test_truth_values_are_found_again() -> None:
    frame = pl.DataFrame({"user_id": [True, False], "item_id": ["x", "y"], "timestamp": [1, 2]})
    assert Dataset.from_frames(frame).user_vocabulary.encode([True, False, "true"]).tolist() == [1, 2, 1]


def test_no_ids_asked_is_no_codes() -> None:
    vocabulary = Vocabulary.of(pl.Series(["a"]))
    assert vocabulary.encode([]).shape == vocabulary.encode(pl.Series([], dtype=pl.String)).shape == (0,)


def test_uuids_go_out_as_uuids() -> None:
    ids = [uuid.UUID(int=n) for n in (3, 1)]
    frame = pd.DataFrame({"user_id": ids, "item_id": ["x", "y"], "timestamp": [1, 2]})
    vocabulary = Dataset.from_frames(frame).user_vocabulary
    assert vocabulary.is_uuid
    assert vocabulary.encode(ids).tolist() == vocabulary.encode([str(i) for i in ids]).tolist() == [1, 2]
    assert vocabulary.outward(vocabulary.decode([1, 2])) == ids
