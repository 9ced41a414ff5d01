"""What a log or a question may bring that is wrong or odd: the sequence model answers all of it, or says why not."""

from __future__ import annotations

import datetime as dt
import warnings
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.cautions import RequestBeforeHistory
from segue.errors import ActionUnknown, MomentUnreadable, TimeZoneUnknown

SECOND = 1_600_000_000
SMALL: dict[str, Any] = {"embedding_size": 8, "blocks": 1, "epochs": 1, "heads": 1, "max_length": 6, "refit": False}


def log(moments: Any = None, users: int = 12, events: int = 8) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    count = users * events
    stamps = SECOND + np.tile(np.arange(events), users) * 3_600 if moments is None else moments
    return pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(users), events),
            "item_id": rng.integers(0, 15, count),
            "timestamp": stamps,
            "action": rng.choice(["view", "purchase"], count),
            "value": rng.normal(3, 1, count).astype(np.float32),
        }
    )


def fitted(frame: pl.DataFrame, zone: str | None = None, **settings: Any) -> segue.SequenceRecommender:
    data = segue.Dataset.from_frames(frame, time_zone=zone)
    return segue.SequenceRecommender(**{**SMALL, **settings}).fit(data, progress=False, threads=1)


def answers(model: segue.SequenceRecommender, **asked: Any) -> pl.DataFrame:
    """Lists of three for users 1 and 2, all of them sound."""
    found = model.recommend([1, 2], k=3, exclude_seen=False, **asked)
    assert found.height == 6 * (len(asked["action"]) if "action" in asked else 1)
    assert np.isfinite(found["score"].to_numpy()).all()
    return found


@pytest.fixture(scope="module")
def model() -> segue.SequenceRecommender:
    return fitted(log())


def test_all_events_in_one_second_are_learnt_by_their_order() -> None:
    one = fitted(log(moments=np.full(96, SECOND)))
    assert one.plan.time == []
    answers(one, at=SECOND + 5)


def test_gaps_of_years_and_events_of_the_first_and_the_newest_day() -> None:
    years = np.tile([1, 2, 3_600, 86_400 * 400, 10**9, 10**9 + 1, SECOND, SECOND + 1], 12)
    answers(fitted(log(moments=years)), at="2099-12-31T23:59:59")


def test_a_clock_that_jumps_back_leaves_events_in_the_order_of_time() -> None:
    back = SECOND + np.tile([0, 10, 20, 5, 6, 7, 30, 1], 12)
    model = fitted(log(moments=back))
    stamps = model.histories.timestamps
    assert stamps is not None
    assert (np.diff(stamps[model.histories.offsets[1] : model.histories.offsets[2]]) >= 0).all()
    answers(model)


def test_times_of_mixed_zones_are_one_time() -> None:
    texts = [f"2020-09-13T{place % 8 + 4:02}:00:00{('+02:00', 'Z', '-05:00')[place % 3]}" for place in range(96)]
    mixed = fitted(log(moments=pl.Series(texts)))
    utc = fitted(log(moments=pl.Series(texts).str.to_datetime("%+", time_zone="UTC")))
    assert answers(mixed).equals(answers(utc))


def test_times_without_a_zone_are_in_the_zone_that_is_given() -> None:
    naive = pl.Series([dt.datetime(2020, 3, 1 + place % 8, 12) for place in range(96)])
    rome = fitted(log(moments=naive), "Europe/Rome")
    zoned = fitted(log(moments=naive.dt.replace_time_zone("Europe/Rome")))
    assert (rome.time_zone, zoned.time_zone) == ("Europe/Rome", "Europe/Rome")
    noon, utc = dt.datetime(2020, 5, 1, 12), dt.datetime(2020, 5, 1, 10, tzinfo=dt.UTC)
    assert answers(rome, at=noon).equals(answers(zoned, at=utc))
    with pytest.raises(TimeZoneUnknown, match="Europe/Rome"):
        fitted(log(moments=naive), "Europe/Rom")


def test_a_request_before_the_first_event_is_answered_with_a_warning(model: segue.SequenceRecommender) -> None:
    with pytest.warns(RequestBeforeHistory, match="2 of 2"):
        found = answers(model, at="2001-01-01")
    popular = np.argsort(-model.item_counts[1:], kind="stable")[:1] + 1
    assert found["item_id"][0] == model.item_vocabulary.decode(popular)[0]


def test_a_request_at_the_moment_of_an_event_reads_that_event(model: segue.SequenceRecommender) -> None:
    assert not answers(model, at=SECOND + 7 * 3_600).equals(answers(model, at=SECOND + 7 * 3_600 - 1))


@pytest.mark.parametrize("moment", ["teatime", 3 + 4j, float("nan"), [1, 2, 3], "", True, dt.time(12)], ids=str)
def test_a_moment_that_cannot_be_read_is_refused(model: segue.SequenceRecommender, moment: Any) -> None:
    with pytest.raises(MomentUnreadable):
        answers(model, at=moment)


def test_moments_of_a_column_are_those_of_a_list(model: segue.SequenceRecommender) -> None:
    moments = [dt.datetime(2020, 9, 14, 3), None]
    assert answers(model, at=pl.Series(moments)).equals(answers(model, at=moments))
    assert answers(model, at=pl.Series(["2020-09-14 03:00", None])).equals(answers(model, at=moments))
    with pytest.raises(MomentUnreadable, match="teatime"):
        answers(model, at=pl.Series(["2020-09-14", "teatime"]))


def test_an_order_is_asked_about_with_numbers_also_as_text() -> None:
    order = fitted(log(moments=np.tile(np.arange(8), 12)))
    assert order.clock == "order"
    assert answers(order, at=4).equals(answers(order, at="4"))
    for moment in ("2020-01-01", float("inf"), 1e30):
        with pytest.raises(MomentUnreadable):
            answers(order, at=moment)


def test_unknown_actions_are_refused_when_asked_for_and_unknown_when_given(model: segue.SequenceRecommender) -> None:
    with pytest.raises(ActionUnknown, match="Did you mean 'view'"):
        answers(model, action=["vieww"])
    rows = {"user_id": ["n"] * 2, "item_id": [1, 2], "timestamp": [SECOND, SECOND + 1]}
    strange = pl.DataFrame(rows | {"action": ["stare", None]})
    bare = model.recommend(histories=pl.DataFrame(rows), k=3)
    assert model.recommend(histories=strange, k=3).equals(bare)


@pytest.mark.parametrize("value", [1e30, -1e30, float("inf"), float("-inf"), float("nan"), None, "much"], ids=str)
def test_values_out_of_range_are_answered(model: segue.SequenceRecommender, value: Any) -> None:
    rows = {"user_id": ["n"], "item_id": [1], "timestamp": [SECOND], "value": [value]}
    found = model.recommend(histories=pl.DataFrame(rows), k=3)
    assert np.isfinite(found["score"].to_numpy()).all()


def test_values_beyond_the_log_count_as_its_largest(model: segue.SequenceRecommender) -> None:
    def asked(value: float) -> pl.DataFrame:
        rows = {"user_id": ["n"], "item_id": [1], "timestamp": [SECOND], "value": [value]}
        return model.recommend(histories=pl.DataFrame(rows), k=3)

    assert asked(1e30).equals(asked(1_000.0))


def test_a_log_with_unusable_values_and_actions_is_learnt() -> None:
    frame = log().with_columns(
        value=pl.when(pl.int_range(pl.len()) % 3 == 0).then(float("inf")).otherwise(pl.col("value")),
        action=pl.when(pl.int_range(pl.len()) % 5 > 0).then("action"),
    )
    answers(fitted(frame))


@pytest.mark.parametrize("how", ["newest", "representatives"])
def test_one_user_of_ten_thousand_events_is_learnt_and_answered(how: str) -> None:
    many = log(users=1, events=10_000).with_columns(user_id=pl.lit(1), item_id=pl.int_range(pl.len()) % 500)
    both = pl.concat([many, log(users=3).with_columns(item_id=pl.col("item_id").cast(pl.Int64), user_id=pl.lit(2))])
    model = fitted(both, max_length=50, long_history=how, loss="sampled", embedding_size=4)
    answers(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert model.recommend(histories=[list(range(500)) * 20], k=3).height == 3
