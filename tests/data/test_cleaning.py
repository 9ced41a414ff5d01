"""Cleaning: every removal named and counted, nothing removed that is sound, the counts always add up."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue import CleaningConfig, Dataset
from segue.data.cleaning import CleaningReport, clean, number_sessions
from segue.data.schema import normalise_events
from segue.errors import ConfigUnknown, EmptyLog

SECOND = 1_600_000_000

events_of = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", None]),
        st.sampled_from(["x", "y", "z", None]),
        st.sampled_from([None, -SECOND, 0, SECOND, SECOND + 1, SECOND * 9]),
        st.sampled_from(["view", "buy", None]),
        st.sampled_from([1.0, float("nan"), float("inf"), None]),
    ),
    min_size=1,
    max_size=25,
)


def frame_of(rows: list[tuple[Any, ...]]) -> pl.DataFrame:
    types = {
        "user_id": pl.String,
        "item_id": pl.String,
        "timestamp": pl.Int64,
        "action": pl.String,
        "value": pl.Float64,
    }
    return pl.DataFrame(rows, schema=types, orient="row")


def removed(report: CleaningReport) -> int:
    return sum(int(step["events"]) for step in report.steps)


def cleaned(rows: list[tuple[Any, ...]], **settings: Any) -> tuple[pl.DataFrame, CleaningReport]:
    normal, clock = normalise_events(frame_of(rows).with_row_index("row"))
    return clean(normal, clock, CleaningConfig.parse(settings))


@given(events_of, st.integers(1, 3), st.integers(1, 3), st.booleans())
def test_the_counts_of_removals_add_up(rows: list[Any], users: int, items: int, duplicates: bool) -> None:
    try:
        kept, report = cleaned(rows, min_user_events=users, min_item_events=items, duplicates=duplicates)
    except EmptyLog:
        return
    assert report.events_in == len(rows)
    assert report.events_out == kept.height > 0
    assert removed(report) == report.events_in - report.events_out
    assert all(int(step["events"]) > 0 for step in report.steps)


@given(events_of)
def test_cleaning_twice_removes_nothing_more(rows: list[Any]) -> None:
    try:
        kept, _ = cleaned(rows, min_user_events=2, min_item_events=2)
    except EmptyLog:
        return
    again, report = clean(kept, "order", CleaningConfig(min_user_events=2, min_item_events=2))
    assert (again.height, report.steps) == (kept.height, [])


@given(events_of, st.integers(1, 3), st.integers(1, 3))
def test_a_core_is_the_largest_in_which_all_have_enough(rows: list[Any], users: int, items: int) -> None:
    sound = [row for row in dict.fromkeys(rows) if row[0] and row[1] and row[2] is not None]
    frame = (
        frame_of(sound).with_row_index("row").unique(["user_id", "item_id", "timestamp", "action"], maintain_order=True)
    )
    left = set(range(frame.height))
    while True:  # the slow and obvious way: one event at a time
        table = [(number, *frame.row(number)[1:3]) for number in sorted(left)]
        short = [
            number
            for number, user, item in table
            if sum(row[1] == user for row in table) < users or sum(row[2] == item for row in table) < items
        ]
        if not short:
            break
        left.remove(short[0])
    try:
        kept, _ = clean(frame, "order", CleaningConfig(min_user_events=users, min_item_events=items))
        assert set(kept["row"]) == {frame["row"][number] for number in left}
    except EmptyLog:
        assert not left


def test_a_clean_log_loses_nothing(log: pl.DataFrame) -> None:
    report = Dataset.from_frames(log).report
    assert (report.events_in, report.events_out) == (log.height, log.height)
    assert report.steps == []
    assert report.notes == []


def test_of_duplicate_rows_the_first_is_kept_in_its_place() -> None:
    rows = [("a", "x", SECOND, "view", 1.0), ("a", "y", SECOND, "view", 1.0), ("a", "x", SECOND, "view", 1.0)]
    kept, report = cleaned(rows)
    assert kept["row"].to_list() == [0, 1]
    assert report.removed("duplicate") == 1
    assert cleaned(rows, duplicates=False)[0].height == 3


def test_events_that_differ_in_action_or_second_are_no_duplicates() -> None:
    rows = [("a", "x", SECOND, "view", 1.0), ("a", "x", SECOND, "buy", 1.0), ("a", "x", SECOND + 1, "view", 1.0)]
    assert cleaned(rows)[0].height == 3


def test_events_that_differ_in_any_column_are_no_duplicates() -> None:
    rows = [("a", "x", SECOND, "view", 1.0), ("a", "x", SECOND, "view", 2.0), ("a", "x", SECOND, "view", None)]
    assert cleaned(rows)[0].height == 3
    orders = frame_of([("a", "x", SECOND, "buy", 1.0)] * 4).with_columns(pl.Series("order_id", ["A", "B", "A", None]))
    assert Dataset.from_frames(orders).events["order_id"].to_list() == ["A", "B", None]
    lists = orders.with_columns(pl.Series("order_id", [[1], [1], [2], [1]]))
    assert len(Dataset.from_frames(lists)) == 2


def test_values_that_are_not_finite_count_as_absent_and_are_noted() -> None:
    rows = [
        ("a", item, SECOND, None, value) for item, value in zip("xyz", [float("nan"), float("inf"), 2.0], strict=True)
    ]
    kept, report = cleaned(rows)
    assert kept["value"].to_list() == [None, None, 2.0]
    assert report.notes == ["2 values were not finite and count as absent"]


def test_values_that_are_no_numbers_are_noted() -> None:
    frame = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "y"], "timestamp": [1, 2], "value": ["5", "many"]})
    data = Dataset.from_frames(frame)
    assert data.events["value"].to_list() == [5.0, None]
    assert data.report.notes == ["1 values could not be read as numbers and count as absent"]


def test_an_order_is_never_judged_as_a_time() -> None:
    kept, report = clean(pl.DataFrame({"user_id": ["a"], "item_id": ["x"], "timestamp": [-5]}), "order")
    assert (kept.height, report.steps) == (1, [])


def test_an_empty_result_names_the_step_that_took_most() -> None:
    rows = [("a", "x", SECOND * 9, "view", 1.0)] * 3 + [(None, "x", SECOND * 9, "view", 1.0)]
    with pytest.raises(EmptyLog, match="'timestamp in the future' removed 3"):
        cleaned(rows)


def test_users_lost_are_counted_beside_events() -> None:
    rows = [("a", "x", SECOND, "v", 1.0), ("a", "y", SECOND, "v", 1.0), ("b", "x", SECOND, "v", 1.0)]
    _, report = cleaned(rows, min_user_events=2)
    assert report.steps == [{"step": "user below the k-core", "events": 1, "users": 1}]


def robot(events: int, gap: int, user: str = "robot") -> list[tuple[Any, ...]]:
    return [(user, f"i{n}", SECOND + n * gap, "view", 1.0) for n in range(events)]


def test_bot_like_users_go_only_when_asked_and_only_they() -> None:
    rows = robot(20, 0) + robot(20, 60, "person") + robot(5, 0, "quick")
    settings = {"bot_events": 10, "bot_gap_seconds": 1.0}
    assert cleaned(rows, **settings)[0]["user_id"].n_unique() == 3
    kept, report = cleaned(rows, bots=True, **settings)
    assert kept["user_id"].unique(maintain_order=True).to_list() == ["person", "quick"]
    assert report.steps == [{"step": "bot-like user", "events": 20, "users": 1}]


def test_a_pause_longer_than_the_gap_starts_a_session_and_users_do_not_share_one() -> None:
    minutes = [("a", 0), ("a", 30), ("a", 61), ("b", 62), ("b", 63)]
    frame = pl.DataFrame({"user_id": [u for u, _ in minutes], "timestamp": [m * 60_000_000 for _, m in minutes]})
    assert number_sessions(frame, 30)["session"].to_list() == [0, 0, 1, 0, 0]


def test_sessions_are_numbered_in_a_data_set(log: pl.DataFrame) -> None:
    data = Dataset.from_frames(log, cleaning={"session_gap_minutes": 60})
    slow = {}
    for user, stamp, session in data.events.select("user", "timestamp", "session").iter_rows():
        before, number = slow.get(user, (stamp, 0))
        number += stamp - before > 3_600_000_000
        assert session == number
        slow[user] = (stamp, number)
    assert data.events["session"].max() > 1


def test_an_unknown_cleaning_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigUnknown, match="Did you mean 'min_user_events'"):
        Dataset.from_frames(frame_of([("a", "x", 1, None, None)]), cleaning={"min_users_events": 2})


def test_the_report_can_be_written_as_json_values() -> None:
    _, report = cleaned([("a", "x", SECOND, "v", 1.0), (None, "x", SECOND, "v", 1.0)])
    steps = [{"step": "no user_id", "events": 1, "users": 1}]
    assert report.as_dict() == {"events_in": 2, "events_out": 1, "steps": steps, "notes": []}


def test_a_search_without_an_item_is_counted_apart_and_one_with_an_item_keeps_its_text() -> None:
    log = pl.DataFrame(
        {
            "user_id": ["a", "a", "a", "b"],
            "item_id": [None, "x", None, "y"],
            "timestamp": [SECOND, SECOND + 1, SECOND + 2, SECOND],
            "action": ["search", "search", "view", "view"],
            "query": ["red shoes", "blue shoes", None, None],
        }
    )
    data = Dataset.from_frames(log)
    assert (data.report.removed("search without an item"), data.report.removed("no item_id")) == (1, 1)
    assert any("1 searches led to no item" in note for note in data.report.notes)
    assert data.events["query"].drop_nulls().to_list() == ["blue shoes"]
    assert data.item_vocabulary.ids.to_list() == ["x", "y"]
