from __future__ import annotations

import polars as pl
import pytest

import segue
from segue.cli.shared import split_of
from segue.errors import SplitEmpty, SplitUnknown
from tests.cli.test_verbs import refused
from tests.cli.test_verbs import segue as command


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("leave-last-out", segue.split.leave_last_out),
        ("none", segue.split.leave_last_out),
        ("last-n", segue.split.last_n),
        ("last-n:3", lambda data: segue.split.last_n(data, 3)),
        ("user-share", segue.split.user_share),
        ("user-share:0.3", lambda data: segue.split.user_share(data, 0.3)),
        ("by-time", segue.split.by_time),
        ("by-time:0.25", lambda data: segue.split.by_time(data, test=0.25)),
        ("cold-items:0.4", lambda data: segue.split.cold_items(data, 0.4)),
    ],
)
def test_a_split_is_named_with_its_size(data: segue.Dataset, text: str, expected) -> None:
    made, meant = split_of(data, text), expected(data)
    assert made.kind == meant.kind
    assert made.test.targets.events.equals(meant.test.targets.events)
    assert made.train.events.equals(meant.train.events)


def test_a_split_by_time_is_named_with_its_date() -> None:
    days = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 4, 9), "1d", eager=True)
    data = segue.Dataset.from_frames(pl.DataFrame({"user_id": "u", "item_id": range(100), "timestamp": days}))
    for text in ("by-time:2024-03-31", "by-time:2024-03-31T00:00:00"):
        assert len(split_of(data, text).test.targets) == 10


@pytest.mark.parametrize("text", ["last", "last-n:", "last-n:x", "user-share:half", "leave-last-out:2", "none:1", ""])
def test_a_split_that_is_none_is_refused_with_those_there_are(data: segue.Dataset, text: str) -> None:
    with pytest.raises(SplitUnknown, match="user-share"):
        split_of(data, text)


def test_a_size_that_cannot_be_is_refused(data: segue.Dataset) -> None:
    for text in ("last-n:0", "last-n:1.5", "user-share:1", "cold-items:2", "by-time:1"):
        with pytest.raises(SplitEmpty):
            split_of(data, text)


def test_the_command_line_trains_with_a_split_by_users(data: segue.Dataset, log: pl.DataFrame, tmp_path) -> None:
    log.write_csv(tmp_path / "events.csv")
    words = ["train", tmp_path / "events.csv", "--recommender", "Popular", "--out", tmp_path / "m"]
    done = command(*words, "--split", "last-n:2")
    assert done.returncode == 0, done.stderr
    assert command("evaluate", tmp_path / "m").returncode == 0
    refused(command(*words, "--split", "last-2"), "D016", "last-n")
