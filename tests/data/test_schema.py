"""Columns found, renamed and suggested; time read from anything that can be time; ids brought to one type."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue import Dataset
from segue.data import schema
from segue.errors import (
    ColumnMissing,
    ColumnUnknown,
    ColumnUnreadable,
    DuplicateItems,
    EmptyLog,
    IdsDiffer,
    MixedIds,
    TimestampUnreadable,
    TimeZoneUnknown,
)

MOMENT = dt.datetime(2020, 9, 13, 12, 26, 40)
SECOND = 1_600_000_000  # the same moment
MICRO = SECOND * 1_000_000


def log_of(timestamps: Any, **columns: Any) -> pl.DataFrame:
    column = timestamps if isinstance(timestamps, pl.Series) else pl.Series(timestamps)
    rows = range(len(column))
    base = {"user_id": ["u"] * len(column), "item_id": [f"i{n}" for n in rows], "timestamp": column}
    return pl.DataFrame({**base, **columns})


# -- columns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "theirs"),
    [
        ("user_id", "usr_id"),
        ("user_id", "Customer ID"),
        ("user_id", "visitor_id"),
        ("item_id", "ASIN"),
        ("item_id", "product_id"),
        ("timestamp", "unixReviewTime"),
        ("timestamp", "time"),
        ("timestamp", "time_stamp"),
    ],
)
def test_a_missing_column_suggests_the_nearest(column: str, theirs: str) -> None:
    frame = log_of([1, 2]).rename({column: theirs})
    with pytest.raises(ColumnMissing) as caught:
        Dataset.from_frames(frame)
    assert repr(column) in caught.value.message
    assert f"Did you mean {theirs!r}?" in caught.value.message
    assert f"--columns {column}=" in caught.value.advice


def test_a_column_can_be_named_by_the_caller() -> None:
    frame = log_of([1, 2]).rename({"user_id": "uid", "timestamp": "t"})
    data = Dataset.from_frames(frame, columns={"user_id": "uid", "timestamp": "t"})
    assert data.user_vocabulary.ids.to_list() == ["u"]


def test_two_columns_can_change_places() -> None:
    data = Dataset.from_frames(log_of([1, 2]), columns={"user_id": "item_id", "item_id": "user_id"})
    assert data.user_vocabulary.ids.to_list() == ["i0", "i1"]
    assert data.item_vocabulary.ids.to_list() == ["u"]


def test_the_named_column_wins_over_one_of_our_name() -> None:
    data = Dataset.from_frames(log_of([1, 2], uid=["a", "b"]), columns={"user_id": "uid"})
    assert data.user_vocabulary.ids.to_list() == ["a", "b"]


def test_a_name_that_is_not_in_the_frame_is_refused_with_the_nearest() -> None:
    with pytest.raises(ColumnUnknown, match="Did you mean 'user_id'"):
        Dataset.from_frames(log_of([1]), columns={"user_id": "user_ids"})


def test_a_misspelt_name_of_ours_is_seen_in_the_message() -> None:
    with pytest.raises(ColumnMissing, match=r"has usr_id, item_id, timestamp\. Did you mean 'usr_id'"):
        Dataset.from_frames(log_of([1]), columns={"usr_id": "user_id"})


def test_a_frame_without_columns_is_told_so() -> None:
    with pytest.raises(ColumnMissing, match="no columns"):
        Dataset.from_frames(pl.DataFrame())


@pytest.mark.parametrize(("name", "wanted"), [("value", "numbers"), ("action", "names")])
def test_an_optional_column_of_lists_is_refused_by_name(name: str, wanted: str) -> None:
    with pytest.raises(ColumnUnreadable, match=f"{name!r} holds List.*not {wanted}"):
        Dataset.from_frames(log_of([1, 2], **{name: [[1], [2]]}))


# -- time ----------------------------------------------------------------------------------------------------------

NEXT = MOMENT + dt.timedelta(seconds=90)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([SECOND, SECOND + 90]),
        pl.Series([SECOND, SECOND + 90], dtype=pl.Int32),
        pl.Series([SECOND, SECOND + 90], dtype=pl.UInt64),
        pl.Series([float(SECOND), SECOND + 90.0]),
        pl.Series([SECOND * 1_000, (SECOND + 90) * 1_000]),
        pl.Series([SECOND * 1e3, (SECOND + 90) * 1e3]),
        pl.Series([MICRO, MICRO + 90_000_000]),
        pl.Series([MICRO * 1_000, (MICRO + 90_000_000) * 1_000]),
        pl.Series([str(SECOND), str(SECOND + 90)]),
        pl.Series([f" {SECOND}.0 ", f"{SECOND + 90}"]),
        pl.Series([MOMENT, NEXT]),
        pl.Series([MOMENT, NEXT]).cast(pl.Datetime("ms")),
        pl.Series([MOMENT, NEXT]).cast(pl.Datetime("ns")),
        pl.Series([MOMENT, NEXT]).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
        pl.Series(["2020-09-13 12:26:40", "2020-09-13 12:28:10"]),
        pl.Series(["2020-09-13T12:26:40", "2020-09-13T12:28:10"]),
        pl.Series(["2020-09-13T12:26:40Z", "2020-09-13T12:28:10Z"]),
        pl.Series(["2020-09-13T14:26:40+02:00", "2020-09-13T07:28:10-05:00"]),
        pl.Series(["2020-09-13T12:26:40.000", "2020-09-13T12:28:10.000"]),
        pl.Series(["2020-09-13 12:26:40", "2020-09-13 12:28:10"], dtype=pl.Categorical),
    ],
    ids=lambda column: f"{column.dtype}:{column[0]}",
)
def test_the_same_moment_is_read_from_every_form(column: pl.Series) -> None:
    stamps, clock = schema.read_time(column)
    assert (stamps.to_list(), clock) == ([MICRO, MICRO + 90_000_000], "time")


@pytest.mark.parametrize("column", [pl.Series([dt.date(2020, 9, 13)]), pl.Series(["2020-09-13"])])
def test_a_date_is_its_midnight(column: pl.Series) -> None:
    assert schema.read_time(column)[0].to_list() == [1_599_955_200_000_000]


@given(
    st.lists(st.datetimes(dt.datetime(1974, 1, 1), dt.datetime(2100, 1, 1)), min_size=1, max_size=20),
    st.sampled_from([1, 1_000, 1_000_000, 1_000_000_000]),
)
def test_the_unit_of_numbers_is_found_for_any_years_of_use(moments: list[dt.datetime], per_second: int) -> None:
    seconds = [int((moment - dt.datetime(1970, 1, 1)).total_seconds()) for moment in moments]
    stamps, clock = schema.read_time(pl.Series([second * per_second for second in seconds]))
    assert clock == "time"
    assert stamps.to_list() == [second * 1_000_000 for second in seconds]


@pytest.mark.parametrize("numbers", [[1, 2, 3], [0, 0, 1], [-5, 3, 70_000_000], [1.0, 2.0, 3.0]])
def test_small_whole_numbers_are_an_order_and_stay_as_they_are(numbers: list[float]) -> None:
    stamps, clock = schema.read_time(pl.Series(numbers))
    assert (stamps.to_list(), clock) == (numbers, "order")


@given(st.lists(st.floats(0.001, 0.999), min_size=1, max_size=30))
def test_fractions_are_an_order_that_is_kept_with_its_ties(numbers: list[float]) -> None:
    stamps, clock = schema.read_time(pl.Series(numbers))
    assert clock == "order"
    found, given = stamps.to_numpy(), np.array(numbers)
    assert (np.sign(found[:, None] - found) == np.sign(given[:, None] - given)).all()


@pytest.mark.parametrize(
    "column",
    [
        pl.Series(["yesterday", "today"]),
        pl.Series(["01/31/2020"]),
        pl.Series(["", " "]),
        pl.Series([dt.time(1, 2)]),
        pl.Series([dt.timedelta(1)]),
        pl.Series([True, False]),
        pl.Series([[1], [2]]),
        pl.Series([None, None]),
        pl.Series([{"a": 1}]),
    ],
    ids=lambda column: str(column.dtype),
)
def test_what_is_no_time_is_refused_with_an_example(column: pl.Series) -> None:
    with pytest.raises(TimestampUnreadable) as caught:
        Dataset.from_frames(log_of(column))
    assert str(column.dtype) in str(caught.value)


@pytest.mark.parametrize(
    ("column", "step"),
    [
        (pl.Series([SECOND, None]), "unreadable timestamp"),
        (pl.Series([float(SECOND), float("nan")]), "unreadable timestamp"),
        (pl.Series([float(SECOND), float("inf")]), "unreadable timestamp"),
        (pl.Series([float(SECOND), float(SECOND), 1e300]), "unreadable timestamp"),
        (pl.Series(["2020-01-01", "2020-01-02", "soon"]), "unreadable timestamp"),
        (pl.Series([SECOND, SECOND, 2**64 - 1], dtype=pl.UInt64), "unreadable timestamp"),
        (pl.Series([SECOND, SECOND, -SECOND]), "timestamp before 1970"),
        (pl.Series([SECOND, SECOND, 0]), "timestamp before 1970"),
        (pl.Series([SECOND, SECOND, -(2**62)]), "timestamp before 1970"),
        (pl.Series([MOMENT, dt.datetime(1, 1, 1)]), "timestamp before 1970"),
        (pl.Series([SECOND, SECOND, SECOND * 3]), "timestamp in the future"),
        (pl.Series([SECOND, SECOND, 2**62]), "timestamp in the future"),
        (pl.Series([MOMENT, dt.datetime(9999, 1, 1)]), "timestamp in the future"),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value[-1]),
)
def test_an_impossible_time_is_removed_and_counted(column: pl.Series, step: str) -> None:
    data = Dataset.from_frames(log_of(column))
    assert data.report.steps == [{"step": step, "events": 1, "users": 0}]
    assert len(data) == len(column) - 1


@given(st.integers(-(2**63), 2**63 - 1))
def test_no_number_wraps_around_into_a_time_that_looks_possible(odd: int) -> None:
    stamps, _ = schema.read_time(pl.Series([SECOND, SECOND, SECOND, odd], dtype=pl.Int64))
    found, limit = stamps[3], 2**63 - 1
    assert found == max(
        -limit // 1_000_000 * 1_000_000 + 1_000_000, min(odd * 1_000_000, limit // 1_000_000 * 1_000_000)
    )


def test_moments_are_written_for_people() -> None:
    assert schema.in_words(MICRO, "time") == "2020-09-13 12:26:40"
    assert schema.in_words(17, "order") == "17"
    assert schema.in_words(2**63 - 1, "time")


# -- ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "ids",
    [
        pl.Series([1.5, 2.0]),
        pl.Series([1e300, 5.0]),
        pl.Series([2.0**53 + 2, 5.0]),
        pl.Series([[1], [2]]),
        pl.Series([b"a", b"\xff"]),
        pl.Series([{"a": 1}, {"a": 2}]),
        pl.Series([MOMENT, MOMENT]),
    ],
    ids=lambda ids: f"{ids.dtype}:{ids[0]}",
)
def test_what_cannot_be_an_id_is_refused_by_column(ids: pl.Series) -> None:
    with pytest.raises(MixedIds, match="'user_id'"):
        Dataset.from_frames(log_of([1, 2], user_id=ids))


@pytest.mark.parametrize(
    ("ids", "found"),
    [
        (pl.Series([3.0, 1.0]), [3, 1]),
        (pl.Series([3, 1], dtype=pl.Int8), [3, 1]),
        (pl.Series([2**64 - 1, 1], dtype=pl.UInt64), [2**64 - 1, 1]),
        (pl.Series([2**100, 1], dtype=pl.Int128), [str(2**100), "1"]),
        (pl.Series([b"a", "é".encode()]), ["a", "é"]),
        (pl.Series([dt.date(2020, 1, 2), dt.date(2020, 1, 1)]), ["2020-01-02", "2020-01-01"]),
        (pl.Series(["👩‍🚀", "\u202eאב"]), ["👩‍🚀", "\u202eאב"]),
        (pl.Series(["", " "]), ["", " "]),
        (pl.Series(["e\u0301", "é"]), ["e\u0301", "é"]),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, pl.Series) else None,
)
def test_ids_of_many_types_are_kept_apart(ids: pl.Series, found: list[Any]) -> None:
    data = Dataset.from_frames(log_of([1, 2], user_id=ids))
    assert data.user_vocabulary.ids.to_list() == found
    assert data.user_vocabulary.encode(ids.to_list() if ids.dtype != pl.Binary else found).tolist() == [1, 2]


# -- catalogue -----------------------------------------------------------------------------------------------------


def test_an_item_listed_twice_is_refused_with_an_example() -> None:
    with pytest.raises(DuplicateItems, match=r"1 item ids.*'i0'"):
        Dataset.from_frames(log_of([1, 2]), pl.DataFrame({"item_id": ["i0", "i1", "i0"]}))


def test_two_spellings_of_one_number_are_listed_twice() -> None:
    events = log_of([1, 2], item_id=[1, 2])
    with pytest.raises(DuplicateItems):
        Dataset.from_frames(events, pl.DataFrame({"item_id": ["1", "01"]}))


@pytest.mark.parametrize(("events", "items"), [([1, 2], ["1", "2"]), (["1", "2"], [1, 2])])
def test_numbers_and_their_text_match_and_the_events_type_wins(events: list[Any], items: list[Any]) -> None:
    titles = pl.DataFrame({"item_id": items, "title": ["one", "two"]})
    data = Dataset.from_frames(log_of([1, 2], item_id=events), titles)
    assert data.item_vocabulary.ids.to_list() == events
    assert data.titles == dict(zip(events, ["one", "two"], strict=True))


def test_ids_that_match_in_no_way_are_refused() -> None:
    with pytest.raises(IdsDiffer, match=r"String in the events and Int64 in the catalogue"):
        Dataset.from_frames(log_of([1, 2]), pl.DataFrame({"item_id": [1, 2]}))


def test_rows_of_the_catalogue_without_an_id_are_counted() -> None:
    data = Dataset.from_frames(log_of([1, 2]), pl.DataFrame({"item_id": ["i0", None, None]}))
    assert data.items is not None
    assert data.items.height == 1
    assert any(note.startswith("2 rows of the catalogue") for note in data.report.notes)
    assert any(note.startswith("1 items of the events are not in the catalogue") for note in data.report.notes)


@pytest.mark.parametrize("ids", [pl.Series([], dtype=pl.String), pl.Series([None, None], dtype=pl.String)])
def test_a_catalogue_without_items_is_empty(ids: pl.Series) -> None:
    with pytest.raises(EmptyLog, match="catalogue"):
        Dataset.from_frames(log_of([1, 2]), pl.DataFrame({"item_id": ids}))


# -- time zones ----------------------------------------------------------------------------------------------------


def seconds_of(values: Any, zone: str) -> list[int]:
    stamps, clock = schema.read_time(values if isinstance(values, pl.Series) else pl.Series(values), zone)
    assert clock == "time"
    return [stamp // 1_000_000 for stamp in stamps.to_list()]


@pytest.mark.parametrize("as_text", [False, True])
def test_naive_times_are_read_in_the_zone_of_the_log(as_text: bool) -> None:
    given = [MOMENT.isoformat() if as_text else MOMENT] * 2
    assert seconds_of(given, "Europe/Rome") == [SECOND - 2 * 3_600] * 2
    assert seconds_of(given, "UTC") == [SECOND] * 2


def test_times_that_carry_a_zone_keep_it() -> None:
    aware = pl.Series([MOMENT]).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo")
    assert seconds_of(aware, "Europe/Rome") == [SECOND]
    assert seconds_of(["2020-09-13T12:26:40Z", "2020-09-13T14:26:40+02:00"], "Asia/Tokyo") == [SECOND] * 2


def test_offsets_may_differ_from_row_to_row() -> None:
    texts = ["2020-09-13T12:26:40+00:00", "2020-09-13T21:26:40+09:00", "2020-09-13T05:26:40-07:00"]
    assert seconds_of(texts, "UTC") == [SECOND] * 3


def test_the_hour_that_spring_skips_is_read_as_the_one_after_it() -> None:
    skipped = dt.datetime(2021, 3, 28, 2, 30)  # Rome goes from 2:00 to 3:00
    after = dt.datetime(2021, 3, 28, 3, 30)
    assert seconds_of([skipped], "Europe/Rome") == seconds_of([after], "Europe/Rome")


def test_the_hour_that_autumn_repeats_is_read_as_the_first() -> None:
    repeated = dt.datetime(2021, 10, 31, 2, 30)
    first = dt.datetime(2021, 10, 31, 0, 30, tzinfo=dt.UTC)  # still summer time
    assert seconds_of([repeated], "Europe/Rome") == [int(first.timestamp())]


def test_a_data_set_takes_the_zone_given_else_the_one_of_its_column_else_utc() -> None:
    naive = log_of([MOMENT])
    aware = naive.with_columns(pl.col("timestamp").dt.replace_time_zone("Asia/Tokyo"))
    assert Dataset.from_frames(naive).time_zone == "UTC"
    assert Dataset.from_frames(aware).time_zone == "Asia/Tokyo"
    assert Dataset.from_frames(aware, time_zone="Europe/Rome").time_zone == "Europe/Rome"


def test_an_unknown_zone_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(TimeZoneUnknown, match="Did you mean 'Europe/Rome'") as refused:
        Dataset.from_frames(log_of([MOMENT]), time_zone="Europe/Roma")
    assert refused.value.code == "D014"
