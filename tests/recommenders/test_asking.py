from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import segue
from segue.cautions import ColdUsers, RequestBeforeHistory, UnknownItemsInHistory
from segue.data.histories import UNKNOWN_TIME, Histories
from segue.errors import ActionUnknown, ColumnMissing, HistoryMalformed, MomentUnreadable


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


# -- moments and actions -------------------------------------------------------------------------------------------


class Recorder(segue.Popular):
    """Remembers the histories it was asked about, those that are empty left out."""

    seen: Histories

    def _score_block(self, histories: Histories) -> np.ndarray:
        self.seen = histories
        return super()._score_block(histories)


BEGIN = dt.datetime(2021, 5, 1, 12, 0)


def shop(zone: str | None = None) -> Recorder:
    """``a`` has events at 12:00, 13:00 and 13:00 again, ``b`` at 14:00."""
    frame = pl.DataFrame(
        {
            "user_id": ["a", "a", "a", "b"],
            "item_id": ["x", "y", "z", "x"],
            "timestamp": [BEGIN + dt.timedelta(hours=hours) for hours in (0, 1, 1, 2)],
            "action": ["view", "view", "buy", "view"],
        }
    )
    model = Recorder().fit(segue.Dataset.from_frames(frame, time_zone=zone))
    model.exclude_seen = False
    return model


def items_seen(model: Recorder) -> list[list[str]]:
    return [model.item_vocabulary.decode(model.seen.row(row)).to_list() for row in range(len(model.seen))]


def micro(moment: dt.datetime) -> int:
    return (moment - dt.datetime(1970, 1, 1)) // dt.timedelta(microseconds=1)


@pytest.mark.parametrize(
    "at",
    [
        BEGIN + dt.timedelta(minutes=30),
        "2021-05-01T12:30:00",
        "2021-05-01 12:30",
        np.datetime64("2021-05-01T12:30:00"),
        pd.Timestamp("2021-05-01 12:30"),
        1_619_872_200,
        dt.datetime(2021, 5, 1, 14, 30, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    ],
    ids=lambda at: type(at).__name__,
)
def test_a_moment_is_read_from_whatever_can_be_a_time_and_hides_what_came_after(at: Any) -> None:
    model = shop()
    model.recommend(["a"], k=2, at=at)
    assert items_seen(model) == [["x"]]
    assert model.seen.at is not None
    assert model.seen.at.tolist() == [micro(BEGIN + dt.timedelta(minutes=30))]


def test_a_naive_moment_is_in_the_time_zone_of_the_log() -> None:
    model = shop("Europe/Rome")
    model.recommend(["a"], at="2021-05-01T12:30:00")
    assert model.seen.at is not None
    assert model.seen.at.tolist() == [micro(BEGIN - dt.timedelta(minutes=90))]
    model.recommend(["a"], at="2021-05-01T12:30:00Z")
    assert model.seen.at.tolist() == [micro(BEGIN + dt.timedelta(minutes=30))]


def test_what_happened_at_the_very_moment_stays() -> None:
    model = shop()
    model.recommend(["a"], at=BEGIN + dt.timedelta(hours=1))
    assert items_seen(model) == [["x", "y", "z"]]


def test_each_may_ask_about_a_moment_of_their_own_or_about_none() -> None:
    model = shop()
    model.recommend(["b", "a"], at=[None, BEGIN])
    assert items_seen(model) == [["x"], ["x"]]
    assert model.seen.at is not None
    assert model.seen.at.tolist() == [UNKNOWN_TIME, micro(BEGIN)]


def test_now_is_the_moment_of_the_call() -> None:
    model = shop()
    before = dt.datetime.now(dt.UTC).replace(tzinfo=None)
    model.recommend(["a"], at="now")
    assert model.seen.at is not None
    assert micro(before) <= model.seen.at[0] <= micro(before) + 60_000_000


def test_a_moment_before_the_first_event_is_warned_of_and_answered_as_an_empty_history() -> None:
    model = shop()
    with pytest.warns(RequestBeforeHistory, match="1 of 2") as warned:
        early = model.recommend(["b", "a"], k=3, at=BEGIN + dt.timedelta(hours=1))
    assert warned[0].filename == __file__
    nothing = model.recommend(histories=[[]], k=3)
    assert early.filter(pl.col("user_id") == "b")["item_id"].to_list() == nothing["item_id"].to_list()


def test_a_log_whose_timestamps_are_an_order_is_asked_about_a_place_in_it() -> None:
    model = Recorder().fit(numbered())
    model.recommend([1, 2], k=1, at=3)
    assert sorted(items_seen(model)) == [[10, 20], [20]]
    for at in ("2021-05-01", BEGIN, True, "now"):
        with pytest.raises(MomentUnreadable, match="an order, not a time") as refused:
            model.recommend([1], at=at)
        assert refused.value.code == "R008"


@pytest.mark.parametrize("at", ["noon", "", object(), 3, float("nan"), ["2021-05-01"] * 3, {"a": 1, "b": 2, "c": 3}])
def test_what_is_no_moment_is_refused(at: Any) -> None:
    with pytest.raises(MomentUnreadable):
        shop().recommend(["a", "b"], at=at)


def test_scores_take_a_moment_and_an_action_too() -> None:
    model = shop()
    answer = model.score(["a"], items=["x", "y"], at=BEGIN, action=["buy", "view"])
    assert items_seen(model) == [["x"], ["x"]]
    assert answer["action"].to_list() == ["buy", "buy", "view", "view"]


def test_an_action_asked_for_stands_in_the_answer_and_several_give_a_list_each() -> None:
    model = shop()
    one = model.recommend(["a", "b"], k=2, action="buy")
    assert one.columns == ["user_id", "item_id", "score", "action", "rank"]
    assert one["action"].unique().to_list() == ["buy"]
    assert model.seen.wanted is not None
    assert model.seen.wanted.tolist() == [model.action_names.index("buy") + 1] * 2
    both = model.recommend(["a", "b"], k=2, action=["view", "buy"])
    lists = both.group_by("action", "user_id", maintain_order=True).agg("rank").rows()
    # What a user did in just that way counts as seen: a bought x and viewed nothing, and x, y and z are all there is.
    assert [(kind, user) for kind, user, _ in lists] == [
        (kind, user) for kind in ("view", "buy") for user in ("a", "b")
    ]


def test_an_action_that_the_log_lacks_is_refused_with_the_nearest_name(data: segue.Dataset) -> None:
    with pytest.raises(ActionUnknown, match="Did you mean 'buy'") as refused:
        shop().recommend(["a"], action="buyy")
    assert refused.value.code == "R009"
    without = segue.Popular().fit(numbered())
    with pytest.raises(ActionUnknown, match="it has none"):
        without.recommend([1], action="buy")


def test_a_frame_brings_moments_actions_and_values() -> None:
    model = shop()
    frame = {
        "user_id": ["new"] * 3,
        "item_id": ["y", "x", "z"],
        "timestamp": [BEGIN, BEGIN - dt.timedelta(hours=1), None],
        "action": ["buy", "returned", None],
        "value": [3, None, 5],
    }
    model.recommend(histories=pl.DataFrame(frame))
    seen = model.seen
    assert items_seen(model) == [["z", "x", "y"]]
    assert seen.timestamps is not None
    assert seen.timestamps.tolist() == [UNKNOWN_TIME, micro(BEGIN - dt.timedelta(hours=1)), micro(BEGIN)]
    assert seen.actions is not None
    assert seen.actions.tolist() == [0, 0, model.action_names.index("buy") + 1]
    np.testing.assert_array_equal(seen.values, [5, np.nan, 3])
    model.recommend(histories=pl.DataFrame(frame).drop("timestamp"))
    np.testing.assert_array_equal(model.seen.values, [3, np.nan, 5])


def test_a_frame_whose_timestamps_are_an_order_tells_a_log_with_time_the_order_alone() -> None:
    model = shop()
    model.recommend(
        histories=pl.DataFrame({"user_id": ["n", "n"], "item_id": ["x", "y"], "timestamp": [2, 1]}), at=BEGIN
    )
    assert items_seen(model) == [["y", "x"]]
    assert model.seen.timestamps is None


def test_events_that_came_twice_count_once_in_a_history(data: segue.Dataset) -> None:
    model = segue.PatternRecommender().fit(data, progress=False)
    times = 1_600_000_000
    events = pl.DataFrame(
        {"user_id": ["n"] * 4, "item_id": ["i1", "i2", "i1", "i3"], "timestamp": [times, times, times + 60, times + 90]}
    )
    once = model.recommend(histories=events, k=4, progress=False)
    assert model.recommend(histories=pl.concat([events, events]), k=4, progress=False).equals(once)
    assert model.recommend(histories=pl.concat([events, events]).to_pandas(), k=4, progress=False).equals(
        once.to_pandas()
    )
