"""Splits: events neither lost nor shared, targets never before what the model is asked with, leaks refused."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import segue
from segue import Dataset, Holdout, Split
from segue.errors import ActionUnknown, FrameNotReadable, SplitEmpty, SplitLeak, TimestampUnreadable

SECOND = 1_600_000_000
rows_of = st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(0, 6)), min_size=1, max_size=30)
KINDS: dict[str, Callable[[Dataset], Split]] = {
    "leave-last-out": segue.split.leave_last_out,
    "by-time": lambda data: segue.split.by_time(data, validation=0.2, test=0.2),
    "by-time, first": lambda data: segue.split.by_time(data, validation=0.2, test=0.2, targets="first"),
    "by-time, cold users": lambda data: segue.split.by_time(data, validation=0.2, test=0.2, cold_users=True),
    "last-n": lambda data: segue.split.last_n(data, 2),
    "user-share": lambda data: segue.split.user_share(data, test=0.3, validation=0.2),
    "k-shot": lambda data: segue.split.k_shot(data, 2),
    "cold-items": lambda data: segue.split.cold_items(data, 0.4),
}


def dataset(rows: list[tuple[int, int, int]]) -> Dataset:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return Dataset.from_frames(frame, cleaning={"duplicates": False})


def rows(data: Dataset) -> set[int]:
    numbers = data.events["row"].to_list()
    assert len(numbers) == len(set(numbers))
    return set(numbers)


def holdouts(split: Split) -> list[Holdout]:
    return [holdout for holdout in (split.validation, split.test) if holdout is not None]


def leaks(train: Dataset, validation: Holdout | None, test: Holdout) -> bool:
    """The slow and obvious check: pair by pair, in Python, knowing only what a leak is."""
    for holdout in (validation, test):
        if holdout is None:
            continue
        targets = holdout.targets.events.select("user", "timestamp", "row").rows()
        if {row for _, _, row in targets} & (rows(train) | rows(holdout.context)):
            return True
        known = holdout.context.events.select("user", "timestamp", "row").rows()
        if any(u == v and (t, r) > (s, q) for v, s, q in targets for u, t, r in known):
            return True
    return validation is not None and bool((rows(validation.targets) | rows(validation.all)) & rows(test.targets))


@pytest.mark.parametrize("kind", KINDS)
@given(log=rows_of)
def test_no_split_ever_leaks(kind: str, log: list[Any]) -> None:
    try:
        split = KINDS[kind](dataset(log))
    except SplitEmpty:
        return
    assert not leaks(*split)
    for holdout in holdouts(split):
        assert len(holdout.targets)
        assert rows(holdout.context) | rows(holdout.targets) <= rows(holdout.all)


@given(rows_of)
def test_leave_last_out_partitions_the_events(log: list[Any]) -> None:
    data = dataset(log)
    lengths = data.histories.lengths
    try:
        split = segue.split.leave_last_out(data)
    except SplitEmpty:
        assert lengths.max() < 2
        return
    parts = [rows(split.train), rows(split.test.targets)]
    parts += [rows(split.validation.targets)] if split.validation is not None else []
    assert sum(map(len, parts)) == len(data)
    assert set.union(*parts) == rows(data)
    assert split.test.users.tolist() == np.flatnonzero(lengths >= 2).tolist()
    assert len(parts) == 2 + bool((lengths >= 3).any())
    assert rows(split.test.context) == rows(data) - parts[1]


@given(rows_of)
def test_leave_last_out_takes_the_last_event_of_the_log_among_ties(log: list[Any]) -> None:
    try:
        split = segue.split.leave_last_out(dataset(log))
    except SplitEmpty:
        return
    for user, row in split.test.targets.events.select("user", "row").iter_rows():
        name = split.train.user_vocabulary.decode([user])[0]
        mine = [(stamp, number) for number, (who, _, stamp) in enumerate(log) if who == name]
        assert row == max(mine)[1]


def test_an_unstable_order_among_ties_would_change_the_targets() -> None:
    log = [(1, item, 0) for item in range(1, 9)]
    honest = segue.split.leave_last_out(dataset(log))
    data = dataset(log)
    turned = Dataset(data.events.reverse(), *(getattr(data, name) for name in (
        "items", "user_vocabulary", "item_vocabulary", "clock", "frame_kind", "report")))  # fmt: skip
    assert leaks(*honest) is False
    with_turned_ties = turned.where(np.arange(8) == 7)
    assert rows(with_turned_ties) != rows(honest.test.targets)
    assert leaks(turned.where(np.arange(8) < 7), None, Holdout(turned.where(np.arange(8) < 7), with_turned_ties))


@given(rows_of, st.sampled_from([0.1, 0.2, 0.4]), st.sampled_from([0.1, 0.2, 0.4]))
def test_a_time_split_has_one_cut_for_everybody(log: list[Any], validation: float, test: float) -> None:
    data = dataset(log)
    try:
        split = segue.split.by_time(data, validation=validation, test=test, cold_users=True)
    except SplitEmpty:
        return
    assert split.validation is not None
    newest, first = split.train.events["timestamp"].max(), split.validation.targets.events["timestamp"].min()
    until, begin = split.validation.targets.events["timestamp"].max(), split.test.targets.events["timestamp"].min()
    assert newest < first <= until < begin
    parts = [rows(split.train), rows(split.validation.targets), rows(split.test.targets)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == len(data)
    assert rows(split.test.context) == parts[0] | parts[1]


def hourly(users: int = 3, hours: int = 40) -> Dataset:
    log = [(user, f"i{hour % 7}", SECOND + hour * 3_600) for hour in range(hours) for user in range(users)]
    return Dataset.from_frames(pl.DataFrame(log, schema=["user_id", "item_id", "timestamp"], orient="row"))


CUT = dt.datetime(2020, 9, 14, 12, 26, 40)  # hour 24


@pytest.mark.parametrize(
    "cut",
    [CUT, CUT.replace(tzinfo=dt.UTC), "2020-09-14 12:26:40", "2020-09-14T14:26:40+02:00", str(SECOND + 24 * 3_600)],
    ids=str,
)
def test_a_moment_in_any_form_is_the_cut(cut: Any) -> None:
    split = segue.split.by_time(hourly(), validation=cut, test=0.1)
    assert split.validation is not None
    assert len(split.train) == 24 * 3
    assert split.validation.targets.events["timestamp"].min() == (SECOND + 24 * 3_600) * 1_000_000


def test_users_not_seen_before_the_window_are_asked_about_only_on_request() -> None:
    log = [(1, hour % 5, hour) for hour in range(20)] + [(2, 3, 19)]
    assert segue.split.by_time(dataset(log)).test.users.tolist() == [1]
    assert segue.split.by_time(dataset(log), cold_users=True).test.users.tolist() == [1, 2]


def test_the_first_target_of_a_window_is_the_one_that_came_first() -> None:
    every = segue.split.by_time(hourly()).test.targets.events
    first = segue.split.by_time(hourly(), targets="first").test.targets.events
    assert first["row"].to_list() == every.group_by("user", maintain_order=True).first()["row"].to_list()


@pytest.mark.parametrize(
    "cuts",
    [(0.0, 0.1), (0.1, 0.0), (-0.1, 0.1), (0.6, 0.6), (1.0, 0.1), (float("nan"), 0.1), (2, 0.1), (0.1, "1999-01-01"),
     ("2020-09-14", "2020-09-13 20:00"), ("2099-01-01", "2100-01-01")],
    ids=str,
)  # fmt: skip
def test_cuts_that_leave_nothing_are_refused(cuts: tuple[Any, Any]) -> None:
    with pytest.raises(SplitEmpty):
        segue.split.by_time(hourly(), validation=cuts[0], test=cuts[1])


def test_a_cut_that_is_no_time_is_refused() -> None:
    with pytest.raises(TimestampUnreadable, match="soon"):
        segue.split.by_time(hourly(), validation="soon")


@pytest.mark.parametrize("log", [[(1, 1, 1)], [(1, 1, 1), (2, 2, 2)]], ids=["one event", "one event each"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_log_too_small_to_split_is_refused(kind: str, log: list[Any]) -> None:
    with pytest.raises(SplitEmpty):
        KINDS[kind](dataset(log))


def test_two_events_make_a_test_and_no_validation() -> None:
    train, validation, test = segue.split.leave_last_out(dataset([(1, 1, 1), (1, 2, 2)]))
    assert (rows(train), validation, rows(test.targets)) == ({0}, None, {1})


@given(rows_of, st.integers(1, 4))
def test_few_shots_keep_the_newest_and_the_same_targets(log: list[Any], k: int) -> None:
    data = dataset(log)
    try:
        whole, few = segue.split.leave_last_out(data), segue.split.k_shot(data, k)
    except SplitEmpty:
        return
    assert rows(few.test.targets) == rows(whole.test.targets)
    for part, full in ((few.train, whole.train), (few.test.context, whole.test.context)):
        mine, all_ = part.histories, full.histories
        for user in range(len(all_)):
            assert mine.row(user).tolist() == all_.row(user)[-k:].tolist()


def held_out(data: Dataset, split: Split) -> set[int]:
    """The items that a split by cold items took out: events of them are missing, or are targets of the test alone."""
    kept = set.union(rows(split.train), *(rows(each.targets) for each in holdouts(split)))
    gone = data.events.filter(~pl.col("row").is_in(sorted(kept)))["item"]
    return set(gone) | {item for item in set(split.test.targets.events["item"]) if split.test.cold[item]}


@given(rows_of, st.integers(0, 3))
def test_items_held_out_are_in_no_training_no_validation_and_no_context(log: list[Any], seed: int) -> None:
    data = dataset(log)
    try:
        split = segue.split.cold_items(data, 0.5, seed)
    except SplitEmpty:
        return
    held = held_out(data, split)
    known = [split.train, split.test.context]
    known += [split.validation.targets, split.validation.context, split.validation.all] if split.validation else []
    for part in known:
        assert not set(part.events["item"]) & held


@given(rows_of, st.integers(0, 3))
def test_everybody_is_asked_for_the_last_event_of_the_log_cold_or_warm(log: list[Any], seed: int) -> None:
    data = dataset(log)
    try:
        split = segue.split.cold_items(data, 0.5, seed)
    except SplitEmpty:
        return
    last = dict(data.events.group_by("user").agg(pl.col("row").last()).iter_rows())
    assert dict(split.test.targets.events.select("user", "row").iter_rows()).items() <= last.items()
    with_context = set(split.test.context.events["user"])
    assert set(split.test.users) <= with_context


def test_a_fifth_of_the_items_is_held_out_unless_said_otherwise(data: Dataset) -> None:
    met = int((data.item_counts > 0).sum())
    split = segue.split.cold_items(data)
    assert int((data.item_counts > 0)[split.test.cold].sum()) == pytest.approx(0.2 * met, abs=1)
    assert 0 < split.test.cold[split.test.targets.events["item"].to_numpy()].mean() < 1


def test_the_seed_chooses_the_cold_items(data: Dataset) -> None:
    first, again, other = (segue.split.cold_items(data, 0.2, seed) for seed in (0, 0, 1))
    assert rows(first.test.targets) == rows(again.test.targets) != rows(other.test.targets)


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, 2.0, float("nan")])
def test_an_impossible_share_of_items_is_refused(share: float) -> None:
    with pytest.raises(SplitEmpty, match="share"):
        segue.split.cold_items(hourly(), share)


# -- leaks ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def seven() -> Dataset:
    return dataset([(1, item, item) for item in range(1, 8)])


def at(data: Dataset, *places: int) -> Dataset:
    return data.where(np.isin(np.arange(len(data)), places))


@pytest.mark.parametrize(
    ("train", "context", "targets"),
    [((0, 1, 6), (0, 1, 2), (6,)), ((0, 1), (0, 1, 6), (6,)), ((0, 1), (0, 1, 5), (4,))],
    ids=["target in training", "target in context", "target before context"],
)
def test_a_leaking_split_is_refused_wherever_it_is_made(
    seven: Dataset, train: tuple[int, ...], context: tuple[int, ...], targets: tuple[int, ...]
) -> None:
    leaking = Holdout(at(seven, *context), at(seven, *targets))
    sound = Holdout(at(seven, 0, 1), at(seven, 3))
    assert leaks(at(seven, *train), None, leaking)  # the check of the tests above sees it too
    with pytest.raises(SplitLeak, match="user 1"):
        Split(at(seven, *train), None, leaking, "mine")
    with pytest.raises(SplitLeak):
        Split(at(seven, *train), leaking, sound, "mine")


def test_targets_of_validation_must_not_be_targets_of_test(seven: Dataset) -> None:
    holdout = Holdout(at(seven, 0, 1), at(seven, 5))
    with pytest.raises(SplitLeak, match="validation targets are test targets"):
        Split(at(seven, 0, 1), holdout, holdout, "mine")


def test_what_is_known_after_validation_must_not_hold_test_targets(seven: Dataset) -> None:
    validation = Holdout(at(seven, 0, 1), at(seven, 2), until=at(seven, 0, 1, 2, 5))
    test = Holdout(at(seven, 0, 1, 2), at(seven, 5))
    assert leaks(at(seven, 0, 1), validation, test)
    with pytest.raises(SplitLeak, match="known after validation"):
        Split(at(seven, 0, 1), validation, test, "mine")


def test_a_time_split_makes_the_whole_window_known_when_it_is_over() -> None:
    split = segue.split.by_time(hourly(), targets="first")
    assert split.validation is not None
    assert rows(split.validation.all) == rows(split.test.context)


def test_a_time_split_must_not_train_past_its_window() -> None:
    data = dataset([(1, 1, 1), (1, 2, 5), (2, 3, 2), (2, 4, 9)])
    holdout = Holdout(at(data, 0, 2), at(data, 1))
    train = at(data, 0, 2, 3)
    assert Split(train, None, holdout, "leave-last-out").kind == "leave-last-out"
    with pytest.raises(SplitLeak, match="training reaches past"):
        Split(train, None, holdout, "by-time")


def test_a_split_without_training_or_targets_is_refused(seven: Dataset) -> None:
    with pytest.raises(SplitEmpty, match="train on"):
        Split(at(seven), None, Holdout(at(seven, 0), at(seven, 1)), "mine")
    with pytest.raises(SplitEmpty, match="ask about"):
        Split(at(seven, 0), None, Holdout(at(seven, 0), at(seven)), "mine")


# -- made elsewhere ------------------------------------------------------------------------------------------------


def part(*events: tuple[Any, Any, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(events), schema=["user_id", "item_id", "timestamp"], orient="row")


def test_frames_split_elsewhere_are_taken_as_they_are() -> None:
    train, validation, test = (
        part(("a", "x", 1), ("b", "y", 1)),
        part(("a", "y", 2)),
        part(("a", "z", 3), ("b", "z", 3)),
    )
    split = segue.split.from_frames(train, test, validation)
    assert split.validation is not None
    assert [len(d) for d in (split.train, split.validation.targets, split.test.context, split.test.targets)] == [
        2,
        1,
        3,
        2,
    ]
    assert "z" in split.train.item_vocabulary.ids
    assert set(split.test.targets.events.columns) == {"user", "item", "timestamp", "row"}


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        (part(("a", "x", 1), ("a", "y", 2)), None, part(("a", "y", 2))),
        (part(("a", "x", 1)), part(("a", "y", 2)), part(("a", "y", 2))),
        (part(("a", "x", 1)), part(("a", "x", 1)), part(("a", "y", 2))),
        (part(("a", "x", 5)), None, part(("a", "y", 2))),
        (part(("a", "x", 1)), part(("a", "z", 5)), part(("a", "y", 2))),
    ],
    ids=[
        "test in training",
        "test in validation",
        "validation in training",
        "older than training",
        "older than validation",
    ],
)
def test_frames_that_leak_are_refused(train: pl.DataFrame, validation: Any, test: pl.DataFrame) -> None:
    with pytest.raises(SplitLeak):
        segue.split.from_frames(train, test, validation)


def test_a_test_frame_without_usable_events_is_refused() -> None:
    train = part(("a", "x", 1), ("a", "y", 2))
    for test in (train.clear(), part(("a", None, 3)).cast({"item_id": pl.String})):
        with pytest.raises(SplitEmpty):
            segue.split.from_frames(train, test)


def test_frames_that_do_not_go_together_are_refused_by_name() -> None:
    train = part(("a", "x", dt.datetime(2020, 1, 1)))
    with pytest.raises(FrameNotReadable, match="do not go together"):
        segue.split.from_frames(train, part(("a", "y", [5])))


def test_uuids_and_the_kind_of_frame_survive_a_split_made_elsewhere() -> None:
    ids = [uuid.UUID(int=n) for n in range(4)]
    train = pd.DataFrame({"user_id": ["a", "a"], "item_id": ids[:2], "timestamp": [1, 2]})
    test = pd.DataFrame({"user_id": ["a"], "item_id": ids[2:3], "timestamp": [3]})
    split = segue.split.from_frames(train, test)
    assert split.train.frame_kind == "pandas"
    assert split.train.item_vocabulary.is_uuid
    assert split.test.targets.item_vocabulary.encode([ids[2]]).tolist() == split.test.targets.events["item"].to_list()


def test_a_column_of_any_name_survives_a_split_made_elsewhere() -> None:
    train, test = (
        part(("a", "x", 1)).with_columns(part=pl.lit("left")),
        part(("a", "y", 2)).with_columns(part=pl.lit("right")),
    )
    assert segue.split.from_frames(train, test).test.targets.events["part"].to_list() == ["right"]


def shop(rows: list[tuple[str, str, str]]) -> Dataset:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "action"], orient="row")
    return Dataset.from_frames(frame.with_columns(timestamp=SECOND + pl.int_range(pl.len())))


def items(data: Dataset, user: str) -> list[str]:
    code = data.user_vocabulary.encode([user])[0]
    return data.item_vocabulary.decode(data.histories.row(int(code))).to_list()


def test_the_last_events_of_one_kind_are_held_out_with_everything_before_them() -> None:
    ways = ["view", "buy", "view", "buy", "view", "buy", "view"]
    rows = [("a", str(place), way) for place, way in enumerate(ways)]
    rows += [("b", "0", "view"), ("b", "1", "view"), ("c", "0", "buy"), ("c", "1", "view"), ("d", "2", "view")]
    rows += [("d", "3", "buy"), ("d", "4", "view")]
    made = segue.split.leave_last_out(shop(rows), "buy")
    assert made.validation is not None
    assert (items(made.train, "a"), items(made.validation.targets, "a")) == (["0", "1", "2"], ["3"])
    assert (items(made.test.context, "a"), items(made.test.targets, "a")) == (["0", "1", "2", "3", "4"], ["5"])
    assert items(made.validation.all, "a") == ["0", "1", "2", "3", "4"]
    assert items(made.train, "b") == ["0", "1"]
    assert items(made.train, "c") == ["0", "1"]  # nothing comes before what c bought
    assert (items(made.train, "d"), items(made.test.targets, "d")) == (["2"], ["3"])


def test_a_kind_that_cannot_be_held_out_is_refused() -> None:
    data = shop([("a", "1", "view"), ("a", "2", "view"), ("b", "1", "buy")])
    with pytest.raises(ActionUnknown, match="Did you mean 'buy'"):
        segue.split.leave_last_out(data, "by")
    with pytest.raises(SplitEmpty, match="'buy'"):
        segue.split.leave_last_out(data, "buy")


def test_a_holdout_about_a_kind_keeps_what_is_known_and_those_targets_alone() -> None:
    data = shop([("a", "1", "view"), ("a", "2", "buy"), ("b", "1", "view"), ("b", "2", "view")])
    test = segue.split.leave_last_out(data).test
    about = test.about("buy")
    assert len(about.users) == 1
    assert about.context is test.context
    assert len(about.all) == len(data)
    assert len(test.about("nothing").users) == 0


def parts(split: Split) -> tuple[int, int, int]:
    assert split.validation is not None
    return len(split.train), len(split.validation.targets), len(split.test.targets)


HUNDRED = pl.DataFrame(
    {
        "user_id": ["a", "b"] * 50,
        "item_id": [f"i{number % 20}" for number in range(100)],
        "timestamp": range(SECOND, SECOND + 6_000, 60),
    }
)


def test_shares_of_the_log_are_exact_numbers_of_events() -> None:
    data = Dataset.from_frames(HUNDRED)
    assert parts(segue.split.by_time(data, test=0.3, validation=0.25)) == (45, 25, 30)
    for test in range(1, 60):
        split = segue.split.by_time(data, test=test / 100, validation=0.35)
        assert parts(split) == (65 - test, 35, test)
    exact = parts(segue.split.by_time(data, test=0.1, validation=0.1))
    assert parts(segue.split.by_time(data, test=np.float32(0.1), validation=np.float32(0.1))) == exact


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.0, True, float("nan"), 0.95])
def test_a_share_that_leaves_nothing_is_refused(share: Any) -> None:
    with pytest.raises(SplitEmpty):
        segue.split.by_time(Dataset.from_frames(HUNDRED), test=share)


@pytest.mark.parametrize(
    "cut",
    [
        "2024-03-01",
        dt.date(2024, 3, 1),
        dt.datetime(2024, 3, 1),
        dt.datetime(2024, 3, 1, 8, tzinfo=dt.UTC),
        np.datetime64("2024-03-01"),
        np.datetime64("2024-03-01T00:00:00", "ns"),
        pd.Timestamp("2024-03-01"),
        pd.Timestamp("2024-03-01", tz="America/Los_Angeles"),
        1_709_280_000,
        np.int64(1_709_280_000),
        1_709_280_000_000,
    ],
    ids=lambda cut: f"{type(cut).__name__}-{cut}",
)
def test_a_cut_without_a_zone_is_in_the_zone_of_the_log(cut: Any) -> None:
    hours = [dt.datetime(2024, 2, 1) + dt.timedelta(hours=hour) for hour in range(24 * 35)]
    frame = pl.DataFrame(
        {
            "user_id": [f"u{hour % 7}" for hour in range(len(hours))],
            "item_id": [f"i{hour % 11}" for hour in range(len(hours))],
            "timestamp": hours,
        }
    )
    data = Dataset.from_frames(frame, time_zone="America/Los_Angeles")
    split = segue.split.by_time(data, validation=0.1, test=cut)
    first = split.test.targets.events["timestamp"].min()
    assert first == dt.datetime(2024, 3, 1, 8, tzinfo=dt.UTC).timestamp() * 1e6


def test_a_cut_of_a_log_of_an_order_is_a_number_of_that_order() -> None:
    data = Dataset.from_frames(HUNDRED.with_columns(timestamp=pl.int_range(100)))
    assert parts(segue.split.by_time(data, validation=60, test=np.int64(80))) == (60, 20, 20)
    with pytest.raises(SplitEmpty, match="no moment of this log"):
        segue.split.by_time(data, test="2024-03-01")


def of_user(data: Dataset, user: str) -> list[int]:
    code = data.user_vocabulary.encode([user])[0]
    return data.events.filter(pl.col("user") == code)["timestamp"].to_list()


def lengths(sizes: dict[str, int]) -> Dataset:
    rows = [(user, f"i{number % 9}", number + 1) for user, size in sizes.items() for number in range(size)]
    return Dataset.from_frames(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))


@pytest.mark.parametrize(
    ("split", "expected"),
    [
        (lambda data: segue.split.last_n(data, np.int64(2)), {"a": (6, 2, 2), "b": (1, 1, 2)}),
        (lambda data: segue.split.user_share(data, 0.3, 0.2), {"a": (5, 2, 3), "b": (2, 0, 2)}),
        (lambda data: segue.split.user_share(data, 0.1, 0), {"a": (9, 0, 1), "b": (3, 0, 1)}),
    ],
    ids=["last-n", "user-share", "no-validation"],
)
def test_newest_events_of_each_user_are_held_out(split: Any, expected: dict[str, tuple[int, int, int]]) -> None:
    made = split(lengths({"a": 10, "b": 4, "c": 2, "d": 1}))
    for user, sizes in {**expected, "c": (1, 0, 1), "d": (1, 0, 0)}.items():
        validation = [] if made.validation is None else of_user(made.validation.targets, user)
        found = (of_user(made.train, user), validation, of_user(made.test.targets, user))
        assert tuple(map(len, found)) == sizes, user
        assert [stamp for part in found for stamp in part] == list(range(1, sum(sizes) + 1))


def test_shares_of_each_user_are_exact() -> None:
    made = segue.split.user_share(lengths({f"u{size}": size for size in range(10, 110, 10)}), 0.3, 0.2)
    for size in range(10, 110, 10):
        assert len(of_user(made.test.targets, f"u{size}")) == size * 3 // 10
        assert made.validation is not None
        assert len(of_user(made.validation.targets, f"u{size}")) == size * 2 // 10


def test_the_last_one_of_each_user_is_leave_last_out(data: Dataset) -> None:
    left, right = segue.split.last_n(data), segue.split.leave_last_out(data)
    for one, other in ((left.train, right.train), (left.test.targets, right.test.targets)):
        assert one.events.equals(other.events)


@pytest.mark.parametrize("n", [0, -1, 1.5, True, "2"])
def test_a_number_of_events_that_is_none_is_refused(data: Dataset, n: Any) -> None:
    with pytest.raises(SplitEmpty, match="whole number"):
        segue.split.last_n(data, n)


@pytest.mark.parametrize("shares", [(0, 0.1), (1, 0), (0.6, 0.4), (-0.1, 0.2), (float("nan"), 0.1)])
def test_shares_of_a_user_that_leave_nothing_are_refused(data: Dataset, shares: tuple[float, float]) -> None:
    with pytest.raises(SplitEmpty, match="shares"):
        segue.split.user_share(data, *shares)


def test_a_share_of_cold_items_may_be_a_number_of_numpy(data: segue.Dataset) -> None:
    expected = segue.split.cold_items(data, share=0.25)
    for share in (np.float32(0.25), np.float64(0.25)):
        assert segue.split.cold_items(data, share=share).test.targets.events.equals(expected.test.targets.events)
