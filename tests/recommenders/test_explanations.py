"""Reasons that are the reason: events whose absence lowers a score, and parts that sum to it."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import numpy as np
import pytest

import segue
from segue.data.histories import Histories
from segue.recommenders.explanations import ONLINE, Reason, _contributions, event_reasons, reasons
from segue.recommenders.pattern_prior import PatternPrior
from segue.training.prior import PriorWeights
from segue.training.trend import TrendWeights, half_lives_of
from tests.training.runs import SMALL

KINDS: dict[str, Any] = {
    "ease": lambda: segue.EASE(),
    "neighbours": lambda: segue.ItemNeighbours(),
    "habits": lambda: segue.PatternRecommender(),
    "ensemble": lambda: segue.Ensemble(["EASE", "ItemNeighbours"], weights=[1, 3]),
    "ensemble by rank": lambda: segue.Ensemble(["EASE", "ItemNeighbours"], average="rank"),
    "hybrid by rank": lambda: segue.Hybrid(["EASE", "ItemNeighbours"], blend="rank"),
    "hybrid by score": lambda: segue.Hybrid(["PatternRecommender", "ItemNeighbours"], blend="score"),
    "hybrid by regression": lambda: segue.Hybrid(["ItemNeighbours", "EASE"], candidates=10),
    "hybrid by trees": lambda: segue.Hybrid(["ItemNeighbours", "Popular"], blend="lambdamart", candidates=10),
    "sequence": lambda: segue.SequenceRecommender(**SMALL, pattern_prior=True),
}
FIXED = {"popular": segue.Popular, "recent": segue.RecentlyPopular}


@pytest.fixture(scope="module")
def model_of(split: segue.Split) -> Any:
    @cache
    def fitted(kind: str) -> segue.Recommender:
        made = KINDS[kind]() if kind in KINDS else FIXED[kind]()
        return made.fit(split.train, split.validation, progress=False)  # type: ignore[no-any-return]

    return fitted


def one(model: segue.Recommender, user: int, last: int = 8) -> Histories:
    return model.histories.take(np.array([user]), last=last)


def falls(model: segue.Recommender, named: Any) -> tuple[list[float], list[float]]:
    """By how much scores fall without the event that a reason names, and without others of the same history."""
    with_reason, without = [], []
    for user in range(1, 40):
        history = one(model, user)
        if len(np.unique(history.items)) < 4:
            continue
        codes = model.recommend_codes(history, 3, exclude_seen=True, progress=False)[0][0]
        whole = model.score_codes(history)[0]
        rows = {
            int(item): model.score_codes(history.keep(history.items != item))[0] for item in np.unique(history.items)
        }
        for code, each in zip(codes.tolist(), named(model, history, codes), strict=True):
            events = [reason for reason in each if reason.because is not None]
            if not events:
                continue
            because = int(model.item_vocabulary.encode([events[0].because])[0])
            falling = {item: float(whole[code] - scores[code]) for item, scores in rows.items()}
            with_reason.append(falling.pop(because))
            without.append(float(np.mean(list(falling.values()))))
    return with_reason, without


def faithful(model: segue.Recommender, named: Any) -> bool:
    """Whether the events named count for more than the others, in nine of ten lists."""
    named_falls, other_falls = (np.array(each) for each in falls(model, named))
    assert len(named_falls) > 20
    return bool((named_falls > other_falls).mean() > 0.9 and named_falls.mean() > other_falls.mean())


def by_reasons(model: segue.Recommender, history: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
    return reasons(model, history, codes)


def newest(model: segue.Recommender, history: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
    """A broken twin: names the oldest event, whatever the model."""
    return [(Reason("x", model.item_vocabulary.decode(history.items[:1])[0]),)] * len(codes)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.startswith("hybrid by tre")])
def test_without_the_event_that_is_named_the_score_falls_by_more_than_without_another(kind: str, model_of: Any) -> None:
    assert faithful(model_of(kind), by_reasons)


def test_reasons_that_name_any_event_are_found_out(model_of: Any) -> None:
    assert not faithful(model_of("ease"), newest)


def gap(model: segue.Recommender, correction: np.ndarray | None = None) -> float:
    """The largest difference between the sum of an item's contributions and its score less the mean score."""
    gaps = []
    for user in range(1, 12):
        history = one(model, user)
        codes = np.arange(1, len(model.item_vocabulary) + 1, 7)
        scores = model.score_codes(history)[0].astype(np.float64)
        told = scores[codes] - scores[1:].mean() + (0 if correction is None else correction[codes])
        scale = max(1.0, float(np.abs(scores[1:]).max()))
        split = _contributions(model._score_parts(history), codes, correction)
        gaps += [abs(sum(p for _, p in each) - float(value)) / scale for value, each in zip(told, split, strict=True)]
    return max(gaps)


@pytest.mark.parametrize("kind", [*(kind for kind in KINDS if kind not in ("ease", "neighbours")), *FIXED])
def test_contributions_sum_to_the_score_above_the_mean_of_the_catalogue(kind: str, model_of: Any) -> None:
    assert gap(model_of(kind)) < 1e-4


def test_the_trend_and_habits_beside_a_sequence_model_are_parts_of_its_score(model_of: Any) -> None:
    model = copy.copy(model_of("sequence"))
    stamps = model.histories.timestamps
    weights = TrendWeights(half_lives_of(stamps), np.array([0.7, 0.1]), (1.0, 20), np.linspace(0.1, 1, 9), None)
    model.trend = model._trend_of(weights)
    priors = PriorWeights(np.array([0.01, 0.1, 0.5]), 0.8, np.array([0.5, 0.2, 0.1]))
    model.prior = PatternPrior(model_of("habits"), priors)
    assert gap(model) < 1e-4
    told = reasons(model, one(model, 1), np.array([1]))[0][-1]
    assert [name for name, _ in told.contributions] == ["sequence model", "habits", "recent popularity and age"]


def test_an_online_correction_is_named_with_what_it_adds(model_of: Any) -> None:
    model = model_of("ensemble")
    correction = np.zeros(len(model.item_vocabulary) + 1, dtype=np.float32)
    correction[3] = 0.25
    assert gap(model, correction) < 1e-4
    third, fourth = reasons(model, one(model, 1), np.array([3, 4]), correction)
    assert dict(third[-1].contributions)[ONLINE] == 0.25
    assert "online correction +0.25" in third[-1].text
    assert dict(fourth[-1].contributions)[ONLINE] == 0
    plain = reasons(model_of("ease"), one(model, 1), np.array([3]), correction)[0]
    assert plain[-1].contributions[-1] == (ONLINE, 0.25)


def test_members_are_named_with_their_share(model_of: Any) -> None:
    model = model_of("ensemble")
    history = one(model, 1)
    code = model.recommend_codes(history, 1, exclude_seen=True, progress=False)[0][0]
    told = reasons(model, history, code)[0][-1]
    assert [name for name, _ in told.contributions] == ["member 1: EASE", "member 2: ItemNeighbours"]
    assert "member 2: ItemNeighbours +" in told.text


def test_only_a_model_that_ranks_by_recent_events_says_popular_of_late(model_of: Any) -> None:
    nobody = Histories(np.array([0, 0]), np.zeros(0, dtype=np.int64))
    texts = {kind: reasons(model_of(kind), nobody, np.array([1]))[0][0].text for kind in ("ease", "ensemble", *FIXED)}
    assert texts.pop("recent") == "no known event of who asks: ranked by what is popular of late"
    assert set(texts.values()) == {"no known event of who asks: ranked by popularity of all time"}


def test_recent_popularity_ranks_for_those_without_a_history_too(model_of: Any) -> None:
    model = model_of("recent")
    listed = [
        model.recommend(histories=[history], k=5, exclude_seen=False)["item_id"].to_list() for history in ([], ["i1"])
    ]
    assert listed[0] == listed[1]


def test_scores_that_no_history_changes_name_no_event(model_of: Any) -> None:
    for kind in FIXED:
        model = model_of(kind)
        for last in (1, 5):
            told = reasons(model, one(model, 1, last), np.array([1, 2]))
            assert [[reason.kind for reason in each] for each in told] == [["parts"]] * 2
            assert event_reasons(model, one(model, 1, last), np.array([1])) == [()]


@pytest.mark.parametrize("kind", ["ease", "ensemble", "popular"])
def test_explain_gives_the_reasons_of_recommendations_as_a_frame(kind: str, model_of: Any) -> None:
    model = model_of(kind)
    frame = model.explain(["u1", "u2"], k=3)
    listed = model.recommend(["u1", "u2"], k=3)
    assert set(zip(frame["user_id"], frame["item_id"], strict=True)) == set(
        zip(listed["user_id"], listed["item_id"], strict=True)
    )
    history = model.histories.take(model.user_vocabulary.encode(["u1"]))
    first = reasons(model, history, model.item_vocabulary.encode(listed["item_id"][:1]))[0]
    assert frame["text"][0] == first[0].text
    assert frame["because"][0] == first[0].because
    assert model.explain(histories=[["i1", "i2"]], items=["i5"])["item_id"].unique().to_list() == ["i5"]
