"""What is in a log, counted by hand on a small one, and what cleaning would take from a dirty one."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pandas as pd
import polars as pl
import pytest

from segue import Dataset
from segue.data.inspect import inspect
from segue.errors import ColumnMissing, EmptyLog

SECOND = 1_600_000_000


def frame_of(rows: list[tuple[Any, ...]], **columns: Any) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()})


def test_a_small_log_is_counted_as_by_hand() -> None:
    rows = [("a", "x", SECOND), ("a", "y", SECOND), ("a", "x", SECOND + 3_600), ("b", "x", SECOND + 7_200)]
    facts = inspect(frame_of(rows, action=["view", "view", "buy", "view"]))
    expected = {
        "events": 4,
        "clock": "time",
        "users": 2,
        "items": 2,
        "from": "2020-09-13 12:26:40",
        "until": "2020-09-13 14:26:40",
        "events per user": {"median": 2.0, "mean": 2.0, "max": 3},
        "events per item": {"median": 2.0, "mean": 2.0, "max": 3},
        "users with one event": 1,
        "density": 1.0,
        "ties": 0.5,
        "repeats": 0.5,
        "actions": {"view": 3, "buy": 1},
        "bot-like users": 0,
        "cleaning would remove": "nothing",
        "a 2-core would keep": 2,
        "a 5-core would keep": 0,
    }
    assert {name: facts[name] for name in expected} == expected
    assert facts["hours between events"]["99%"] == pytest.approx(1.0, abs=0.1)


def test_what_cleaning_would_remove_is_counted_by_its_reason() -> None:
    rows = [("a", "x", SECOND), ("a", "x", SECOND), (None, "x", SECOND), ("a", "y", None), ("a", "y", SECOND * 9)]
    facts = inspect(frame_of(rows))
    assert facts["cleaning would remove"] == {
        "no user_id": 1,
        "unreadable timestamp": 1,
        "timestamp in the future": 1,
        "duplicate": 1,
    }
    assert facts["events"] == 5


def test_the_share_of_repeats_is_the_one_of_the_data_set(log: pl.DataFrame, data: Dataset) -> None:
    assert inspect(log)["repeats"] == pytest.approx(data.repeat_share)


def test_dates_soon_after_1970_stay_where_they_are() -> None:
    days = [dt.datetime(1970, 6, 1), dt.datetime(1971, 6, 1)]
    facts = inspect(frame_of([("a", "x", days[0]), ("a", "x", days[1])]))
    assert (facts["from"], facts["until"], facts["repeats"]) == ("1970-06-01 00:00:00", "1971-06-01 00:00:00", 1.0)


def test_the_facts_can_be_written_as_json(log: pl.DataFrame) -> None:
    facts = inspect(log)
    assert json.loads(json.dumps(facts)) == facts


def test_every_kind_of_frame_has_the_same_facts(log: pl.DataFrame) -> None:
    facts = inspect(log)
    assert inspect(log.lazy()) == facts
    assert inspect(log.to_arrow()) == facts
    assert inspect(pd.DataFrame(log.to_dict(as_series=False))) == facts


def test_columns_of_our_names_do_not_matter() -> None:
    facts = inspect(frame_of([("a", "x", 1), ("a", "y", 2)], user=["u", "u"], item=["i", "i"], row=[1, 2]))
    assert (facts["clock"], facts["from"], facts["until"]) == ("order", "1", "2")


def test_a_log_of_one_event_has_facts_too() -> None:
    facts = inspect(frame_of([("a", "x", SECOND)]))
    assert (facts["users"], facts["ties"], facts["repeats"]) == (1, 0.0, 0.0)
    assert "hours between events" not in facts


def test_a_log_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(EmptyLog):
        inspect(frame_of([("a", "x", SECOND)]).clear())
    with pytest.raises(ColumnMissing):
        inspect(frame_of([("a", "x", SECOND)]).drop("item_id"))
