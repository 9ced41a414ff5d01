from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.data.histories import UNKNOWN_TIME, Histories
from segue.training.trend import LEVELS, Trend, TrendFeatures, TrendWeights, half_lives_of

ITEMS = 6
DAY = 86_400_000_000
ALL = np.arange(1, ITEMS + 1)


def log_of(stamps: np.ndarray, items: np.ndarray) -> Histories:
    return Histories(np.array([0, 0, len(items)]), items, timestamps=stamps)


def features_of(stamps: np.ndarray, items: np.ndarray, half_lives: np.ndarray | None = None) -> TrendFeatures:
    return TrendFeatures(log_of(stamps, items), ITEMS, half_lives_of(stamps) if half_lives is None else half_lives)


@pytest.fixture(scope="module")
def features() -> TrendFeatures:
    """Item 1 was popular in the first half of a hundred days, item 2 in the second; item 6 never."""
    days = np.arange(100)
    return features_of(days * DAY, np.where(days % 10 == 9, 3 + days % 3, np.where(days < 50, 1, 2)))


def asked(at: list[int] | None, lengths: list[int]) -> Histories:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Histories(offsets, np.ones(offsets[-1], dtype=np.int64), at=None if at is None else np.array(at))


def weights_of(features: TrendFeatures, **parts: np.ndarray | None) -> TrendWeights:
    columns = np.linspace(0.5, 1.5, len(features.names))
    given = {"beside": columns, "alone": -columns, **parts}
    return TrendWeights(features.half_lives, np.array([0.5, -0.1]), (1.0, 50), **given)


events = st.lists(st.tuples(st.integers(0, 4_000), st.integers(1, ITEMS)), min_size=2, max_size=30)


@settings(max_examples=60)
@given(events, st.integers(-10, 4_100), events)
def test_events_at_or_after_the_moment_never_change_a_feature(
    log: list[tuple[int, int]], moment: int, others: list[tuple[int, int]]
) -> None:
    stamps, items = np.array(log).T
    later, theirs = np.array(others).T
    moment = min(moment, int(stamps.max()))
    half_lives = 1_000 / 4.0 ** np.arange(LEVELS)
    fewer = features_of(stamps, items, half_lives)
    more = features_of(np.append(stamps, later + moment), np.append(items, theirs), half_lives)
    at = fewer.moments(np.array([moment]), 1)
    np.testing.assert_array_equal(at, more.moments(np.array([moment]), 1))
    np.testing.assert_array_equal(fewer.at(at, ALL), more.at(at, ALL))
    assert np.isfinite(fewer.at(at, ALL)).all()


def test_features_that_round_the_moment_up_are_caught(features: TrendFeatures) -> None:
    moment = np.array([50 * DAY])
    leaky = features.at(moment + int(features.half_lives[-1]), ALL)  # the broken twin sees the event of the moment
    assert not np.array_equal(leaky[0, 1], features.at(features.moments(moment, 1), ALL)[0, 1])


def test_shares_rise_with_what_is_popular_of_late(features: TrendFeatures) -> None:
    names = features.names
    end = features.at(features.moments(None, 1), ALL)[0]
    middle = features.at(features.moments(np.array([50 * DAY]), 1), ALL)[0]
    assert end[0, 0] == pytest.approx(end[1, 0], abs=0.1), "as many events in all"
    assert end[1, 2] > 0.2 > 0 > end[0, 2], names[2]
    assert middle[0, 0] > middle[1, 0]
    assert middle[:, -1].tolist() == [0, 1, 0, 0, 0, 1], "items without an event before the moment"
    assert end[1, -2] < end[0, -2], "the newer item is younger"


def test_moments_are_rounded_down_by_a_quarter_of_the_shortest_half_life(features: TrendFeatures) -> None:
    at = np.random.default_rng(0).integers(0, 99 * DAY, 500)
    told = features.moments(at, 500)
    assert ((told <= at) & (at - told <= features.half_lives[-1] / 4)).all()


def test_later_and_unknown_moments_are_the_end_of_the_log(features: TrendFeatures) -> None:
    end = features.counts.end
    given = np.array([end, end + 1000 * DAY, UNKNOWN_TIME])
    assert features.moments(given, 3).tolist() == features.moments(None, 3).tolist() == [end] * 3
    assert features.moments(np.array([end - 1]), 1)[0] < end


def test_moments_before_the_first_event_know_nothing_and_all_is_finite(features: TrendFeatures) -> None:
    found = features.at(features.moments(np.array([-400 * DAY]), 1), ALL)[0]
    assert (found == found[0]).all()
    assert np.isfinite(found).all()


def test_gaps_of_years_are_finite() -> None:
    stamps = np.array([0, 1, 2, 20 * 365 * DAY, 40 * 365 * DAY])
    features = features_of(stamps, np.array([1, 1, 2, 3, 4]))
    assert np.isfinite(features.at(stamps + 1, ALL)).all()


def test_a_log_of_one_moment_has_no_half_lives() -> None:
    assert not len(half_lives_of(np.array([5, 5, 5])))
    assert not len(half_lives_of(np.zeros(0, dtype=np.int64)))
    assert half_lives_of(np.array([0, 64])).tolist()[:3] == [64, 16, 4]


def test_the_score_is_the_scaled_model_and_the_weighed_features(features: TrendFeatures) -> None:
    weights = weights_of(features)
    at = [20 * DAY, 80 * DAY, 20 * DAY, 10**18, UNKNOWN_TIME]
    histories = asked(at, [3, 1, 400, 3, 2])
    given = np.random.default_rng(0).normal(size=(5, ITEMS + 1)).astype(np.float32)
    found = Trend(weights, features).add(given.copy(), histories)
    moments = features.moments(np.array(at), 5)
    for row, length in enumerate(histories.lengths):
        scale = 0.5 - 0.1 * (np.log1p(min(length, 50)) - 1)
        expected = scale * given[row, 1:] + features.at(moments[row : row + 1], ALL)[0] @ weights.beside
        np.testing.assert_allclose(found[row, 1:], expected, rtol=1e-4, atol=1e-5)


def test_the_model_never_counts_against_itself(features: TrendFeatures) -> None:
    weights = weights_of(features, beside=np.zeros(len(features.names)))
    steep = TrendWeights(weights.half_lives, np.array([0.0, -5.0]), (1.0, 50), weights.beside, None)
    assert (Trend(steep, features).add(np.ones((1, ITEMS + 1), dtype=np.float32), asked(None, [40])) == 0).all()


def test_without_weights_scores_stay_and_popularity_answers(features: TrendFeatures) -> None:
    trend = Trend(weights_of(features, beside=None, alone=None), features)
    given = np.ones((2, ITEMS + 1), dtype=np.float32)
    np.testing.assert_array_equal(trend.add(given.copy(), asked(None, [1, 2])), given)
    assert trend.alone(asked(None, [0, 0])) is None


def test_those_without_a_history_get_the_trend_of_their_moment(features: TrendFeatures) -> None:
    weights = weights_of(features)
    found = Trend(weights, features).alone(asked([20 * DAY, UNKNOWN_TIME], [0, 0]))
    assert found is not None
    moments = features.moments(np.array([20 * DAY, UNKNOWN_TIME]), 2)
    np.testing.assert_allclose(found[:, 1:], features.at(moments, ALL) @ weights.alone, rtol=1e-4, atol=1e-4)


def test_weights_come_back_from_a_document(features: TrendFeatures) -> None:
    weights = weights_of(features, alone=None)
    back = TrendWeights.from_document(json.loads(json.dumps(weights.document())))
    assert back.alone is None
    assert back.lengths == weights.lengths
    for name in ("half_lives", "scale", "beside"):
        np.testing.assert_array_equal(getattr(back, name), getattr(weights, name))
