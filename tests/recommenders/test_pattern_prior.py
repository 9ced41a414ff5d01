"""The prior of habits beside a sequence model: what it changes, what it leaves alone, and how it is kept."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.data.histories import Histories
from tests.conftest import make_log
from tests.training.runs import FULL


def fitted(split: segue.Split, **settings: Any) -> Any:
    chosen = {**FULL, "time": [], "epochs": 1, **settings}
    return segue.SequenceRecommender(**chosen).fit(split.train, split.validation, threads=1, progress=False)


@pytest.fixture(scope="module")
def ring() -> segue.Split:
    """Everybody goes on around a ring, which one epoch of training does not find out and habits do."""
    return segue.split.leave_last_out(segue.Dataset.from_frames(make_log(seed=1, users=120)))


@pytest.fixture(scope="module")
def model(ring: segue.Split) -> Any:
    return fitted(ring, pattern_prior=True)


def of(model: Any, **parts: Any) -> Any:
    other = copy.copy(model)
    for name, part in parts.items():
        setattr(other, name, part)
    return other


def test_it_is_off_by_default_and_changes_nothing_of_the_training(ring: segue.Split, model: Any) -> None:
    plain = fitted(ring)
    assert plain.prior is None
    assert "prior" not in plain.report
    assert plain.weights_sha256() == model.weights_sha256()
    asked = ring.test.asked()
    np.testing.assert_array_equal(plain._score_block(asked), model._plain_scores(asked))


def test_habits_are_weighed_in_where_they_rank_the_validation_events_better(ring: segue.Split, model: Any) -> None:
    assert model.report["prior"]["used"]
    without = segue.evaluate(of(model, prior=None), ring.test, progress=False)
    assert segue.evaluate(model, ring.test, progress=False)["ndcg@10"] > without["ndcg@10"] + 0.1


def test_similar_items_are_the_models_alone(model: Any) -> None:
    assert model.similar_items(["i3"]).equals(of(model, prior=None).similar_items(["i3"]))


def test_habits_are_counted_anew_with_the_validation_events(ring: segue.Split, model: Any) -> None:
    counted = model.prior.habits._evidence.forward
    fresh = segue.PatternRecommender(**model.prior.habits.weights.document()).fit(ring.validation.all, progress=False)
    np.testing.assert_array_equal(counted.support, fresh._evidence.forward.support)


def test_the_weights_are_learnt_with_the_training_events_alone(
    ring: segue.Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prior that had seen the validation events would know the answers that teach its weight."""
    seen = []
    fit = segue.PatternRecommender.fit
    monkeypatch.setattr(
        segue.PatternRecommender, "fit", lambda self, *given, **run: seen.append(given) or fit(self, *given, **run)
    )
    fitted(ring, pattern_prior=True)
    assert seen == [(ring.train,)]


def test_a_saved_model_answers_alike(model: Any, tmp_path: Path) -> None:
    model.save(tmp_path / "model")
    loaded: Any = segue.load(tmp_path / "model")
    assert loaded.prior is not None
    assert loaded.recommend(["u1", "u2"], k=5).equals(model.recommend(["u1", "u2"], k=5))


def test_new_items_join_and_no_habit_speaks_for_them(ring: segue.Split) -> None:
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(40)], "title": [f"Film {n % 4}" for n in range(40)]})
    data = segue.Dataset.from_frames(make_log(seed=1, users=120), items)
    split = segue.split.leave_last_out(data)
    model = fitted(split, pattern_prior=True, features=["title"])
    before = model.score(["u1"], items=["i1", "i2"])
    model.add_items(pl.DataFrame({"item_id": ["new"], "title": ["Film 1"]}))
    assert model.score(["u1"], items=["i1", "i2"])["score"].to_list() == pytest.approx(before["score"].to_list())
    some = model.histories.take(np.arange(1, 4))
    assert not model.prior.habits.said(some)[:, len(model.item_vocabulary)].nnz


def test_transfer_leaves_it_behind(ring: segue.Split) -> None:
    items = pl.DataFrame({"item_id": [f"i{n}" for n in range(40)], "kind": [f"k{n % 4}" for n in range(40)]})
    data = segue.Dataset.from_frames(make_log(seed=1, users=120), items)
    split = segue.split.leave_last_out(data)
    model = fitted(split, pattern_prior=True, features=["kind"])
    assert model.prior is not None
    assert model.transfer(data, progress=False).prior is None


def test_an_update_counts_the_new_events(ring: segue.Split, model: Any) -> None:
    grown = copy.copy(model)
    before = int(grown.prior.habits._evidence.forward.of.sum())
    events = pl.DataFrame(
        {"user_id": ["new"] * 3, "item_id": ["i1", "i2", "i3"], "timestamp": [1_700_000_000 + n for n in range(3)]}
    )
    grown.update(events, epochs=1, progress=False)
    assert int(grown.prior.habits._evidence.forward.of.sum()) > before
    assert int(model.prior.habits._evidence.forward.of.sum()) == before


def test_those_without_a_history_are_answered_as_before(model: Any) -> None:
    nobody = Histories(np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.int64))
    np.testing.assert_array_equal(model._score_empty(nobody), of(model, prior=None)._score_empty(nobody))
