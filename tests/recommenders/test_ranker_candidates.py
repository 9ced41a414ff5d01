"""Habits handed to a language ranker: as further candidates, and as evidence beside each."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.data.questions import of_training
from segue.recommenders import language_ranker
from segue.recommenders.ranker_candidates import above_others, joined
from segue.training.ranker_fit import RankerData
from segue.training.ranker_task import Ranker, RankerTask
from tests.recommenders.test_language_ranker import fitted, small


@pytest.fixture(scope="module")
def plain(split: segue.Split) -> Any:
    return fitted(split)


@pytest.fixture(scope="module")
def more(split: segue.Split) -> Any:
    return fitted(split, base="Popular", candidates=2, pattern_candidates=4)


@pytest.fixture(scope="module")
def told(split: segue.Split) -> Any:
    return fitted(split, evidence=True)


def test_both_are_off_by_default(plain: Any) -> None:
    assert plain.habits is None
    assert plain.ranker.evidence is None


def test_without_habits_lists_stay_as_they_are(plain: Any) -> None:
    listed = np.array([[3, 1, 0]])
    assert joined(listed, None, 5, plain.histories.take(np.array([1])), True) is listed


def test_habits_bring_what_the_base_does_not_list(more: Any) -> None:
    some = more.histories.take(np.arange(1, 20))
    codes, _ = more.habits.recommend_codes(some, 4, exclude_seen=more.exclude_seen, progress=False)
    listed = np.concatenate([codes[:, 1:2], np.full((len(codes), 1), 41)], axis=1)
    lists = joined(listed, more.habits, 4, some, more.exclude_seen)
    np.testing.assert_array_equal(lists[:, :2], listed)
    for row, codes_of_row in zip(lists, codes, strict=True):
        assert set(codes_of_row) <= set(row)
        assert len(set(row[row > 0])) == (row > 0).sum()


def test_what_habits_name_is_re_ranked_too(more: Any) -> None:
    """Above all that is not, however low the base has it."""
    some = more.histories.take(np.arange(1, 20))
    scores = more._score_block(some)
    named, _ = more.habits.recommend_codes(some, 4, exclude_seen=more.exclude_seen, progress=False)
    best = np.argsort(-scores[:, 1:], axis=1)[:, :6] + 1
    assert all(set(row[row > 0]) <= set(first) for row, first in zip(named, best, strict=True))


def test_items_that_get_new_scores_stand_above_all_others() -> None:
    scores = np.array([[0.0, 5.0, 4.0, 3.0, 2.0]], dtype=np.float32)
    found = above_others(scores, np.array([[4, 0]]), np.array([[-7.0, 99.0]], dtype=np.float32))
    assert (np.argsort(-found[0, 1:]) + 1).tolist() == [4, 1, 2, 3]


@pytest.mark.parametrize("which", ["more", "told"])
def test_a_saved_ranker_answers_alike(which: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    model = request.getfixturevalue(which)
    model.save(tmp_path / "model")
    again = segue.load(tmp_path / "model")
    assert again.recommend(["u1", "u2"], k=8).equals(model.recommend(["u1", "u2"], k=8))


@pytest.mark.parametrize("settings", [{"pattern_candidates": 3}, {"evidence": True}])
def test_new_items_join(split: segue.Split, settings: dict[str, Any]) -> None:
    model = fitted(split, tuning="frozen", examples=16, **settings)
    model.add_items(pl.DataFrame({"item_id": ["new"], "title": ["Film number 99"]}))
    assert "new" in model.score(["u1"], items=["new", "i1"])["item_id"].to_list()


def test_evidence_stands_before_the_offer_in_words(told: Any) -> None:
    ranker: Ranker = told.ranker
    some = told.histories.take(np.array([1]))
    follower = int(told.base.recommend_codes(some, 1, exclude_seen=False, progress=False)[0][0, 0])
    (text,) = ranker.offers(some, np.array([[follower]]), [ranker.template])[0]
    assert text.startswith(" People who took Film number")
    assert text.endswith(ranker.prompts.offers(np.array([[follower]]), [ranker.template])[0][0])


def test_evidence_changes_answers_and_ranks_by_the_same_contract(told: Any) -> None:
    some, items = told.histories.take(np.arange(1, 5)), np.tile(np.arange(1, 9), (4, 1))
    without = replace(told.ranker, evidence=None).answer(some, items)
    assert np.abs(told.ranker.answer(some, items) - without).max() > 0


def test_evidence_is_counted_on_training_events_until_the_weights_are_learnt(
    split: segue.Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = []
    honest = language_ranker.PairEvidence.counted
    monkeypatch.setattr(
        language_ranker.PairEvidence,
        "counted",
        classmethod(lambda cls, histories, size: counted.append(len(histories.items)) or honest(histories, size)),
    )
    fitted(split, evidence=True, tuning="frozen", examples=16)
    assert counted == [len(split.train), len(split.validation.all)]


def test_a_training_question_does_not_read_what_its_own_person_did(told: Any, split: segue.Split) -> None:
    questions = of_training(split.train, "next", 0, 8)
    given = RankerData(questions, split.train.item_counts, known=split.train.histories)
    seen = _evidence_read(told.ranker, given)
    assert seen is not None
    np.testing.assert_array_equal(seen.lengths, split.train.histories.lengths[questions.users[:4]])


def test_noise_and_templates_leave_evidence_alone(split: segue.Split) -> None:
    fitted(split, evidence=True, augment=["words", "templates"], examples=16)


def _evidence_read(ranker: Ranker, given: RankerData) -> Any:
    """The histories that one training step leaves out."""
    read: list[Any] = []

    class Watched(Ranker):
        def offers(self, contexts: Any, items: Any, templates: Any, noise: Any = None, own: Any = None) -> Any:
            read.append(own)
            return super().offers(contexts, items, templates, noise, own)

    watched = Watched(**{name: getattr(ranker, name) for name in Ranker.__dataclass_fields__})
    plan = segue.LanguageRanker(**small(evidence=True)).config
    task = RankerTask(watched, plan, given.questions, given.item_counts, known=given.known)
    rows = np.arange(4)
    task._packed(given.questions.take(rows), given.questions.items[rows, None], np.random.default_rng(0))
    return read[0]
