"""The data set: encoded events in user and time order, ties as in the log, nothing lost on the way."""

from __future__ import annotations

import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue import Dataset

rows_of = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(0, 3)), min_size=1, max_size=30)


def frame_of(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def decoded(data: Dataset) -> list[tuple[Any, Any, int]]:
    users = data.user_vocabulary.decode(data.events["user"].to_numpy())
    items = data.item_vocabulary.decode(data.events["item"].to_numpy())
    return list(zip(users, items, data.events["timestamp"], strict=True))


def in_order(rows: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Users by first appearance, events by time, ties as in the log: Python's sort is stable."""
    users = list(dict.fromkeys(user for user, _, _ in rows))
    return sorted(rows, key=lambda row: (users.index(row[0]), row[2]))


@given(rows_of)
def test_events_are_the_log_in_user_and_time_order_with_ties_kept(rows: list[tuple[int, int, int]]) -> None:
    data = Dataset.from_frames(frame_of(rows), cleaning={"duplicates": False})
    assert decoded(data) == in_order(rows)
    assert [rows[row] for row in data.events["row"]] == in_order(rows)


def test_an_unstable_sort_would_be_seen() -> None:
    rng = np.random.default_rng(0)
    rows = [(1, int(item), 0) for item in rng.integers(1, 1_000, 300)]
    turned = Dataset.from_frames(frame_of(rows[::-1]), cleaning={"duplicates": False})  # as an unstable sort may do
    assert decoded(turned) != in_order(rows)


@given(rows_of)
def test_histories_hold_each_users_events_and_row_zero_is_empty(rows: list[tuple[int, int, int]]) -> None:
    data = Dataset.from_frames(frame_of(rows), cleaning={"duplicates": False})
    assert len(data.histories.row(0)) == 0
    for user in {row[0] for row in rows}:
        (code,) = data.user_vocabulary.encode([user])
        expected = [item for other, item, _ in in_order(rows) if other == user]
        assert data.item_vocabulary.decode(data.histories.row(code)).to_list() == expected
    assert data.item_counts[0] == 0
    assert data.item_counts.sum() == len(rows)


@given(rows_of, st.integers(0, 2**30))
def test_parts_joined_are_the_whole(rows: list[tuple[int, int, int]], bits: int) -> None:
    data = Dataset.from_frames(frame_of(rows), cleaning={"duplicates": False})
    mask = np.array([bits >> place & 1 for place in range(len(data))], dtype=bool)
    assert data.where(mask).joined(data.where(~mask)).events.equals(data.events)


@pytest.mark.parametrize("rows", [[(1, 1, 1)], [(1, 1, 1), (1, 2, 2)], [(1, 1, 1), (2, 1, 2)]])
def test_the_smallest_logs_are_data_sets(rows: list[tuple[int, int, int]]) -> None:
    data = Dataset.from_frames(frame_of(rows))
    assert decoded(data) == rows
    assert data.repeat_share == 0.0


def test_cold_items_of_the_catalogue_have_codes(data: Dataset) -> None:
    codes = data.item_vocabulary.encode(["i40", "i41"])
    assert (codes > 0).all()
    assert data.item_counts[codes].tolist() == [0, 0]
    assert len(data.item_counts) == len(data.item_vocabulary) + 1 == 43


def test_columns_of_the_log_are_kept_and_ours_give_way_to_none() -> None:
    frame = frame_of([(1, 2, 3), (1, 3, 4)]).with_columns(
        user=pl.lit("u"), item=pl.lit("i"), row=pl.lit(9), item_=pl.lit("x"), device=pl.lit("phone")
    )
    data = Dataset.from_frames(frame)
    assert data.events.select("user_", "item__", "row_", "item_", "device").rows() == [("u", "i", 9, "x", "phone")] * 2
    assert data.report.notes == [
        "the column 'item' is kept as 'item__'",
        "the column 'row' is kept as 'row_'",
        "the column 'user' is kept as 'user_'",
    ]


def test_a_session_column_of_the_log_is_kept_beside_ours() -> None:
    frame = frame_of([(1, 2, 1_600_000_000)]).with_columns(session=pl.lit("s9"))
    data = Dataset.from_frames(frame, cleaning={"session_gap_minutes": 30})
    assert data.events.select("session", "session_").rows() == [(0, "s9")]


@pytest.mark.parametrize("make", [pl.DataFrame, pd.DataFrame, pa.table, pl.LazyFrame])
def test_every_kind_of_frame_gives_the_same_data(make: Any, log: pl.DataFrame, data: Dataset) -> None:
    columns = log.to_dict(as_series=False)
    same = Dataset.from_frames(make(columns))
    assert decoded(same) == decoded(data)
    assert same.frame_kind == {pd.DataFrame: "pandas", pa.table: "arrow"}.get(make, "polars")


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl"])
def test_every_kind_of_file_gives_the_same_data(
    ending: str, log: pl.DataFrame, data: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from segue.data.frames import write_file

    path = tmp_path_factory.mktemp("logs") / f"log.{ending}"
    path.write_bytes(write_file(log, path))
    assert decoded(Dataset.from_files(path)) == decoded(data)


def test_uuids_are_the_same_person_as_object_and_as_text() -> None:
    ids = [uuid.UUID(int=n) for n in (3, 1, 3)]
    columns = {"user_id": ids, "item_id": ["x", "y", "z"], "timestamp": [1, 2, 3]}
    for frame in (pd.DataFrame(columns), pl.DataFrame({**columns, "user_id": pl.Series(ids, dtype=pl.Object)})):
        data = Dataset.from_frames(frame)
        assert len(data.user_vocabulary) == 2
        assert data.user_vocabulary.encode([ids[0], str(ids[1])]).tolist() == [1, 2]


# -- titles --------------------------------------------------------------------------------------------------------


def titled(titles: Any, column: str = "title") -> Dataset:
    items = pl.DataFrame({"item_id": [2, 3], column: titles})
    return Dataset.from_frames(frame_of([(1, 2, 3), (1, 3, 4)]), items)


def test_titles_of_any_script_and_length_are_kept() -> None:
    odd = ["👩‍🚀 עברית \u202e العربية", "x" * 10_000_000]
    assert titled(odd).titles == {2: odd[0], 3: odd[1]}


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl"])
def test_a_title_of_ten_million_characters_passes_through_a_file(ending: str, tmp_path: Any) -> None:
    from segue.data.frames import read_file, write_file

    path = tmp_path / f"items.{ending}"
    path.write_bytes(write_file(pl.DataFrame({"item_id": ["a", "b"], "title": ["é" * 10_000_000, "short"]}), path))
    assert read_file(path)["title"].str.len_chars().to_list() == [10_000_000, 5]


@pytest.mark.parametrize(
    ("titles", "shown"),
    [(["A", None], ["A", ""]), ([7, 8], ["7", "8"]), ([["The", "Matrix"], ["Heat"]], ["The Matrix", "Heat"])],
)
def test_titles_are_shown_as_text(titles: Any, shown: list[str]) -> None:
    assert list(titled(titles).titles.values()) == shown


@pytest.mark.parametrize("column", ["Title", "movie_title", "NAME"])
def test_a_title_is_found_under_its_usual_names(column: str) -> None:
    assert titled(["A", "B"], column).titles == {2: "A", 3: "B"}


def test_without_titles_there_are_none() -> None:
    assert titled(["A", "B"], "brand").titles == {}
    assert Dataset.from_frames(frame_of([(1, 2, 3)])).titles == {}
