"""Drift: stable where nothing moves, moved where it does, cold told apart; memory as large as the windows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.serving.watching.drift import Drift, DriftConfig, Popularity, Ring, psi

from .makers import answer, event, served

COUNTS = {f"i{n}": 1000 // (n + 1) for n in range(200)} | {"new": 0}


def drift(*models: Any, **config: int) -> Drift:
    return Drift(DriftConfig(**{"answers": 100, "events": 1000, "least": 50} | config), lambda: models)


def test_psi_is_the_formula_and_nought_where_nothing_moved() -> None:
    expected = np.array([0.2, 0.3, 0.5])
    assert psi(expected, expected * 1e9) == pytest.approx(0, abs=1e-9)
    # By hand: 0.1 * ln(0.3 / 0.2) + 0.1 * ln(0.4 / 0.3) - 0.2 * ln(0.3 / 0.5)
    assert psi(expected, np.array([0.3, 0.4, 0.3]) * 1e9) == pytest.approx(0.171483, abs=1e-5)


@given(st.lists(st.integers(0, 1000), min_size=2, max_size=10))
def test_psi_is_never_below_nought_and_always_finite(counts: list[int]) -> None:
    assert 0 <= psi(np.full(len(counts), 1 / len(counts)), np.array(counts)) < 100


@given(st.lists(st.integers(0, 100), min_size=1, max_size=300))
def test_buckets_hold_the_items_by_popularity_and_share_what_they_hold(counts: list[int]) -> None:
    popularity = Popularity(np.array([0, *counts]))
    bucket = popularity.bucket[1:]
    assert np.array_equal(bucket == 0, np.array(counts) == 0)
    if not any(counts):
        return
    assert popularity.shares.sum() == pytest.approx(1)
    assert (popularity.shares > 0).all()
    assert len(popularity.shares) == bucket.max() <= 10
    seen = np.array(counts)[np.argsort(bucket, kind="stable")][(bucket == 0).sum() :]
    edges = np.sort(bucket[bucket > 0])
    assert all(seen[edges == b].min() >= seen[edges == b + 1].max() for b in range(1, edges.max()))
    largest = max(counts) / sum(counts)
    assert popularity.shares.max() <= 0.1 + largest + 1e-9


@given(st.integers(1, 20), st.lists(st.lists(st.integers(0, 100), max_size=30)))
def test_a_ring_keeps_the_newest(size: int, batches: list[list[int]]) -> None:
    ring = Ring(size, np.int64)
    for batch in batches:
        ring.add(np.array(batch, np.int64))
    everything = [value for batch in batches for value in batch]
    assert sorted(ring.values) == sorted(everything[-size:])
    assert ring.full == (len(everything) >= size)


def sample(weights: dict[str, int], n: int) -> list[str]:
    shares = np.array([*weights.values()], float)
    return [str(item) for item in np.random.default_rng(0).choice([*weights], n, p=shares / shares.sum())]


def test_events_like_training_are_stable_and_turned_ones_have_moved() -> None:
    of = drift(served("a", COUNTS, ["u"]))
    of.took([event(None, item) for item in sample(COUNTS, 1000)])
    assert of.popularity_psi()["a", "events"] < 0.1
    assert of.cold_items() == {("a", "events"): 0.0}
    turned = dict(zip(COUNTS, reversed([*COUNTS.values()]), strict=True)) | {"i0": 0, "new": 0}
    of.took([event(None, item) for item in sample(turned, 1000)])
    assert of.popularity_psi()["a", "events"] > 0.25


def test_cold_items_and_users_of_events_are_told() -> None:
    of = drift(served("a", COUNTS, ["u"]), served("b", {"new": 5}, ["other"]))
    unknown = of.took([event(None, item) for item in ["i0"] * 60 + ["new"] * 20 + ["nobody's"] * 20])
    assert unknown == 20
    assert of.cold_items() == {("a", "events"): 0.4, ("b", "events"): 0.8}
    assert of.cold_users() == {("a", "events"): 0.0, ("b", "events"): 1.0}


def test_answers_are_told_by_their_model() -> None:
    of = drift(served("a", COUNTS, ["u1"]), served("b", COUNTS, ["u1"]))
    for n in range(100):
        of.answered(answer("a", ["i0", "new"], user_id=["u1", "u2", None, "u2"][n % 4]))
    of.digest()
    assert of.cold_users()["a", "answers"] == pytest.approx(2 / 3, abs=0.01)
    assert of.cold_items() == {("a", "recommended"): 0.5}
    assert ("a", "recommended") in of.popularity_psi()
    assert not any(model == "b" for model, *_ in of.cold_users())


def test_scores_are_compared_with_the_first_of_the_same_model() -> None:
    of = drift(served("a", COUNTS, ["u1"]), answers=500)
    rng = np.random.default_rng(0)

    def answers(mean: float) -> None:
        for score in rng.normal(mean, 1, 500):
            of.answered(answer("a", ["i0"], score=float(score)))
        of.digest()

    answers(0)
    answers(0)
    assert of.score_psi()["a",] < 0.25
    answers(2)
    assert of.score_psi()["a",] > 1
    told = of.scores()
    assert told["a", "recent", "mean"] - told["a", "reference", "mean"] == pytest.approx(2, abs=0.5)
    assert told["a", "recent", "q10"] < told["a", "recent", "q50"] < told["a", "recent", "q90"]


def test_scores_that_are_all_the_same_are_no_trouble() -> None:
    of = drift(served("a", COUNTS, []))
    for _ in range(200):
        of.answered(answer("a", ["i0"], score=1.0))
        of.digest()
    assert of.score_psi()["a",] == pytest.approx(0, abs=0.01)
    for score in (0.5, 1.5):
        for _ in range(200):
            of.answered(answer("a", ["i0"], score=score))
        of.digest()
        assert of.score_psi()["a",] > 1


def test_few_tell_nothing() -> None:
    of = drift(served("a", COUNTS, ["u"]))
    of.took([event(None, "i0")] * 49)
    of.answered(answer("a", ["i0"]))
    of.digest()
    assert of.popularity_psi() == of.cold_items() == of.cold_users() == of.scores() == of.score_psi() == {}


def test_windows_of_models_that_left_are_dropped_and_new_items_are_met() -> None:
    models = [served("a", COUNTS, ["u"])]
    of = Drift(DriftConfig(least=1), lambda: models)
    of.took([event(None, "later")] * 2)
    assert of.cold_items()["a", "events"] == 1
    models[:] = [served("a", COUNTS | {"later": 0}, ["u"]), served("b", {"later": 1}, ["u"])]
    assert of.took([event(None, "later")] * 2) == 0
    assert of.cold_items() == {("a", "events"): 1.0, ("b", "events"): 0.0}
    models.pop()
    of.took([event(None, "i0")])
    assert {model for model, _ in of.cold_items()} == {"a"}


def test_without_a_model_nothing_is_told() -> None:
    of = drift()
    of.answered(answer("a", []))
    assert of.took([event(None, "x")]) == 0
    of.digest()
    assert of.scores() == {}


def test_memory_stays_as_large_as_the_windows() -> None:
    of = drift(served("a", COUNTS, ["u1"]))
    for _ in range(1000):
        of.answered(answer("a", ["i0"]))
    assert len(of._answers) == 100
    of.took([event(None, "i0")] * 5000)
    assert len(of._models["a"].events.values) == 1000
