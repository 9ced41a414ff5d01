"""Frames of any kind in and out, and every kind of file; what cannot be read is refused by name."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import uuid
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from segue import Dataset
from segue.data import frames
from segue.errors import (
    DataError,
    EmptyLog,
    FileNotReadable,
    FormatNotWritten,
    FrameNotReadable,
    FrameUnknown,
    MixedIds,
    TimestampUnreadable,
)

HEADER = "user_id,item_id,timestamp\n"
ROWS = {"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [1, 2]}
KINDS: dict[str, Callable[[dict[str, list[Any]]], Any]] = {
    "polars": pl.DataFrame,
    "pandas": pd.DataFrame,
    "arrow": pa.table,
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame_goes_back_as_the_kind_it_came_in(kind: str) -> None:
    frame = KINDS[kind](ROWS)
    table, found = frames.to_polars(frame)
    assert found == kind
    assert table.to_dict(as_series=False) == ROWS
    back = frames.from_polars(table, found)
    assert type(back) is type(frame)
    assert frames.to_polars(back)[0].equals(table)


def test_a_lazy_frame_is_collected() -> None:
    table, kind = frames.to_polars(pl.LazyFrame(ROWS))
    assert (kind, table.rows()) == ("polars", [("a", "x", 1), ("b", "y", 2)])


def test_a_lazy_frame_that_cannot_be_collected_is_refused_by_name() -> None:
    with pytest.raises(FrameNotReadable, match="nope"):
        frames.to_polars(pl.LazyFrame(ROWS).select("nope"), "events")


@pytest.mark.parametrize(
    "frame", [None, [1, 2], {"user_id": ["a"]}, "events.csv", 5, np.zeros((2, 3)), pl.Series([1]), pd.Series([1])]
)
def test_what_is_no_frame_is_named_by_its_kind(frame: Any) -> None:
    with pytest.raises(FrameUnknown, match=f"events is a {type(frame).__name__}, not a frame"):
        frames.to_polars(frame, "events")


def pandas_with(**columns: Any) -> pd.DataFrame:
    return pd.DataFrame({**ROWS, **{name: pd.Series(values, dtype=object) for name, values in columns.items()}})


@pytest.mark.parametrize(
    "values", [["a", 1], [1, True], ["a", uuid.UUID(int=1)], ["a", 1.5], [b"a", "a"]], ids=lambda v: str(v)
)
@pytest.mark.parametrize("column", ["user_id", "item_id"])
def test_mixed_ids_are_refused_with_their_types(column: str, values: list[Any]) -> None:
    with pytest.raises(MixedIds, match=column) as caught:
        Dataset.from_frames(pandas_with(**{column: values}))
    assert all(type(value).__name__ in str(caught.value) for value in values)


def test_whole_numbers_and_floats_are_one_type_of_ids() -> None:
    data = Dataset.from_frames(pandas_with(user_id=[1, 2.0]))
    assert data.user_vocabulary.ids.to_list() == [1, 2]


def test_numbers_with_a_gap_stay_whole_numbers() -> None:
    frame = pd.DataFrame({**ROWS, "user_id": [7, None]})  # pandas makes it a float column
    data = Dataset.from_frames(frame)
    assert data.user_vocabulary.ids.to_list() == [7]
    assert data.report.removed("no user_id") == 1


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame([[1, 2, 3, 4]], columns=["user_id", "item_id", "timestamp", "timestamp"]),
        pandas_with(note=[object(), object()]),
        pandas_with(user_id=[1, 2**70]),
    ],
    ids=["two columns of one name", "objects", "numbers beyond 64 bits"],
)
def test_a_pandas_frame_that_cannot_be_held_is_refused_by_name(frame: pd.DataFrame) -> None:
    with pytest.raises(FrameNotReadable):
        Dataset.from_frames(frame)


def test_mixed_context_columns_become_text() -> None:
    table, _ = frames.to_polars(pandas_with(note=["a", 1]))
    assert table["note"].to_list() == ["a", "1"]


@pytest.mark.parametrize("kind", KINDS)
def test_categories_are_read_as_their_names(kind: str) -> None:
    ids = {
        "polars": pl.Series(["a", "b"], dtype=pl.Categorical),
        "pandas": pd.Categorical(["a", "b"]),
        "arrow": pa.array(["a", "b"]).dictionary_encode(),
    }[kind]
    data = Dataset.from_frames(KINDS[kind]({**ROWS, "user_id": ids}))
    assert data.user_vocabulary.ids.to_list() == ["a", "b"]


# -- files ---------------------------------------------------------------------------------------------------------


def written(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "jsonl", "ndjson"])
def test_a_written_frame_is_read_back_equal(tmp_path: Path, ending: str) -> None:
    table = pl.DataFrame({**ROWS, "title": ['שלום, "x"', "🎬;a"], "value": [1.5, None]})
    path = written(tmp_path / f"f.{ending}", frames.write_file(table, tmp_path / f"f.{ending}"))
    if ending == "tsv":  # read without quotes, as such logs are written
        table = table.with_columns(title=pl.Series(['"שלום, ""x"""', "🎬;a"]))
    assert frames.read_file(path).equals(table)


@pytest.mark.parametrize("name", ["f", "f.xlsx", "f.txt"])
def test_an_unknown_ending_is_refused_on_the_way_in_and_out(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotReadable):
        frames.read_file(written(tmp_path / name, "x"))
    with pytest.raises(FormatNotWritten, match=r"Cannot write .* \.parquet, \.csv, \.tsv, \.jsonl"):
        frames.write_file(pl.DataFrame(ROWS), tmp_path / name)


def test_a_directory_of_parquet_is_read_as_one_log(tmp_path: Path) -> None:
    pl.DataFrame(ROWS).write_parquet(tmp_path / "2.parquet")
    (tmp_path / "deeper").mkdir()
    pl.DataFrame({"timestamp": [3.5], "item_id": ["z"], "user_id": ["c"]}).write_parquet(tmp_path / "deeper/1.parquet")
    table = frames.read_file(tmp_path)
    assert table.select("user_id", "item_id", "timestamp").rows() == [("a", "x", 1), ("b", "y", 2), ("c", "z", 3.5)]


def test_typed_headers_lose_their_suffix(tmp_path: Path) -> None:
    text = "user_id:token\titem_id:token\trating:float\ttimestamp:float\tgenre:token_seq\n1\t2\t3\t881250949\ta b\n"
    table = frames.read_file(written(tmp_path / "log.inter", text))
    assert table.columns == ["user_id", "item_id", "rating", "timestamp", "genre"]
    assert table.rows() == [(1, 2, 3, 881250949, "a b")]


def test_a_colon_that_is_no_type_stays(tmp_path: Path) -> None:
    assert frames.read_file(written(tmp_path / "f.csv", "a:b,token\n1,2\n")).columns == ["a:b", "token"]


def test_quotes_in_tab_separated_titles_are_text(tmp_path: Path) -> None:
    table = frames.read_file(written(tmp_path / "f.tsv", 'item_id\ttitle\n1\t"Half a quote\n2\tb\n'))
    assert table["title"].to_list() == ['"Half a quote', "b"]


@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_leading_zeros_of_ids_survive(tmp_path: Path, ending: str) -> None:
    text = HEADER + "007,00,1\n7,0,2\n-01,1,3\n"
    path = written(tmp_path / f"f.{ending}", text.replace(",", "\t") if ending == "tsv" else text)
    data = Dataset.from_files(path)
    assert data.user_vocabulary.ids.to_list() == ["007", "7", "-01"]
    assert data.item_vocabulary.ids.to_list() == ["00", "0", "1"]


def test_plain_numbers_stay_numbers(tmp_path: Path) -> None:
    data = Dataset.from_files(written(tmp_path / "f.csv", HEADER + "10,0,1\n-7,100,2\n"))
    assert data.user_vocabulary.ids.to_list() == [10, -7]
    assert data.item_vocabulary.ids.to_list() == [0, 100]


@pytest.mark.parametrize("digits", [19, 20, 39, 60])
def test_ids_of_many_digits_are_told_apart_to_the_last(tmp_path: Path, digits: int) -> None:
    ids = ["9" * (digits - 1) + last for last in "12"]
    data = Dataset.from_files(written(tmp_path / "f.csv", HEADER + f"{ids[0]},a,1\n{ids[1]},b,2\n"))
    assert [str(external) for external in data.user_vocabulary.ids] == ids
    assert data.user_vocabulary.encode(ids).tolist() == [1, 2]


def test_mixed_ids_in_text_files_are_all_text(tmp_path: Path) -> None:
    data = Dataset.from_files(written(tmp_path / "f.csv", HEADER + "1,a,1\nx,b,2\n"))
    assert data.user_vocabulary.ids.to_list() == ["1", "x"]
    lines = '{"user_id": 5, "item_id": "a", "timestamp": 1}\n{"user_id": "x", "item_id": "b", "timestamp": 2}\n'
    data = Dataset.from_files(written(tmp_path / "f.jsonl", lines))
    assert data.user_vocabulary.ids.to_list() == ["5", "x"]


def test_byte_order_mark_line_ends_and_compression_do_not_matter(tmp_path: Path) -> None:
    text = HEADER + "1,a,1\n"
    for name, content in {
        "bom": b"\xef\xbb\xbf" + text.encode(),
        "crlf": text.replace("\n", "\r\n").encode(),
        "gzip": gzip.compress(text.encode()),
    }.items():
        assert frames.read_file(written(tmp_path / f"{name}.csv", content)).rows() == [(1, "a", 1)]


def test_the_word_null_is_an_id_like_any_other(tmp_path: Path) -> None:
    data = Dataset.from_files(written(tmp_path / "f.csv", HEADER + "NA,a,1\n,b,2\nnull,c,3\n"))
    assert data.user_vocabulary.ids.to_list() == ["NA", "null"]
    assert data.report.removed("no user_id") == 1


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_an_empty_file_is_an_empty_log(tmp_path: Path, ending: str) -> None:
    with pytest.raises(EmptyLog, match="is empty"):
        frames.read_file(written(tmp_path / f"f.{ending}", b""), "event log")


def test_a_header_alone_is_an_empty_log(tmp_path: Path) -> None:
    with pytest.raises(EmptyLog):
        Dataset.from_files(written(tmp_path / "f.csv", HEADER))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("blank.csv", b"\n\n"),
        ("latin.csv", HEADER.encode() + b"\xe9,a,1\n"),
        ("ragged.csv", HEADER.encode() + b"1,a,1,5\n"),
        ("unclosed.csv", HEADER.encode() + b'"a,b,1\n'),
        ("twice.csv", b"item_id:token,item_id:float\n1,2\n"),
        ("nan.jsonl", b'{"user_id": 5, "timestamp": NaN}\n'),
        ("list.jsonl", b"[1, 2]\n"),
        ("half.jsonl", b'{"user_id":\n'),
        ("deep.jsonl", b"[" * 100_000),
        ("blank.jsonl", b"\n\n"),
        ("junk.parquet", b"junk" * 100),
        ("marks.parquet", b"PAR1" + b"\0" * 50 + b"PAR1"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused_by_its_path(tmp_path: Path, name: str, content: bytes) -> None:
    path = written(tmp_path / name, content)
    with pytest.raises(FileNotReadable) as caught:
        frames.read_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_parquet_is_refused_by_name_whatever_the_reader_does(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    buffer, rng, refused = io.BytesIO(), np.random.default_rng(0), 0
    pl.DataFrame({"user_id": ["a", "b"] * 50, "x": range(100)}).write_parquet(buffer)
    for _ in range(400):
        content = bytearray(buffer.getvalue())
        content[int(rng.integers(len(content)))] ^= int(rng.integers(1, 256))
        try:
            frames.read_file(written(tmp_path / "f.parquet", bytes(content)))
        except FileNotReadable:
            refused += 1
    assert refused > 100
    capfd.readouterr()  # the Parquet reader complains on standard error


@pytest.mark.parametrize("path", ["absent.csv", "a\0b.csv", "x" * 5_000], ids=["absent", "nul", "too long"])
def test_a_path_that_cannot_be_opened_is_refused(path: str) -> None:
    with pytest.raises(FileNotReadable):
        frames.read_file(path)


def test_a_directory_without_parquet_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotReadable, match=r"holds no \.parquet"):
        frames.read_file(tmp_path)


@pytest.mark.parametrize("seed", range(60))
def test_random_bytes_are_refused_by_name_or_read(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ending = ("csv", "tsv", "jsonl", "parquet")[seed % 4]
    alphabet = np.frombuffer(b'",\t\n{}[]:abc019.-\\ \xc3\xa9\x00', dtype=np.uint8)
    content = rng.choice(alphabet, int(rng.integers(1, 200))).tobytes()
    path = written(tmp_path / f"f.{ending}", (HEADER.encode() if seed % 3 else b"") + content)
    try:
        data = Dataset.from_files(path)
    except DataError as error:
        assert str(error).startswith("[D")  # noqa: PT017 - both outcomes are right
    else:
        assert data.report.events_out == len(data) > 0


def test_odd_column_types_are_a_data_error_or_read() -> None:
    odd = [
        True,
        2.5,
        Decimal("1.5"),
        dt.date(2020, 1, 1),
        dt.datetime(2020, 1, 1),
        dt.time(1),
        dt.timedelta(1),
        b"\xff",
    ]
    odd += [[1], {"a": 1}, None, "x", 2**63 - 1, float("nan"), float("inf")]
    read = 0
    for name in ("user_id", "item_id", "timestamp", "action", "value"):
        for value in odd:
            frame = pl.DataFrame({**ROWS, name: pl.Series([value, value], strict=False)})
            try:
                read += len(Dataset.from_frames(frame)) > 0
            except (MixedIds, TimestampUnreadable, EmptyLog):
                continue
            except DataError as error:
                assert name in str(error)  # noqa: PT017 - several outcomes are right
    assert read > 25
