from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import polars as pl
import pytest

import segue
from segue import artefacts
from segue.errors import ArtefactCorrupt, ConfigUnknown, ConfigValue, ExtraMissing, MembersDiffer
from segue.ranking.candidates import candidates
from segue.recommenders.hybrid_blend import LearntBlend
from segue.recommenders.stages import in_two_stages
from segue.testing import RecommenderContract
from tests.training.runs import SMALL

CHEAP = ["PatternRecommender", "FirstOrder"]
ASKED = ["u1", "u2", "u3", "u4"]


class TestHybridByRank(RecommenderContract):
    recommender = staticmethod(lambda: segue.Hybrid(["FirstOrder", "ItemNeighbours"], blend="rank"))


class TestHybridByRegression(RecommenderContract):
    recommender = staticmethod(lambda: segue.Hybrid(["FirstOrder", "ItemNeighbours"], candidates=6))


class TestHybridByTrees(RecommenderContract):
    recommender = staticmethod(lambda: segue.Hybrid(["FirstOrder", "Popular"], blend="lambdamart"))


class Noise(segue.EASE):
    """Scores that mean nothing."""

    def _score_block(self, histories: Any) -> np.ndarray:
        rng = np.random.default_rng(len(histories))
        return rng.random((len(histories), len(self.item_vocabulary) + 1)).astype(np.float32)


class Watched(segue.Popular):
    """Remembers what it was fitted with."""

    seen: ClassVar[list[tuple[int, bool]]] = []

    def _fit(self, data: segue.Dataset, validation: Any, run: Any) -> None:
        Watched.seen.append((len(data), validation is not None))
        super()._fit(data, validation, run)


class Praising(segue.FirstOrder):
    """Puts everything that was seen first, then says what its parent says."""

    def _score_block(self, histories: Any) -> np.ndarray:
        scores = super()._score_block(histories)
        scores[histories.rows(), histories.items] += 10
        return scores


def fitted(split: segue.Split, members: list[Any], **settings: Any) -> segue.Hybrid:
    return segue.Hybrid(members, **settings).fit(split.train, split.validation, progress=False)


def lists(model: segue.Recommender, k: int = 20) -> list[Any]:
    return model.recommend(ASKED, k=k)["item_id"].to_list()


def quality(model: segue.Recommender, split: segue.Split) -> float:
    return segue.evaluate(model, split.test, progress=False)["ndcg@10"]


# -- rules -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("blend", "average"), [("rank", "rank"), ("score", "score")])
def test_a_rule_blends_as_an_ensemble_averages(split: segue.Split, blend: str, average: str) -> None:
    ensemble = segue.Ensemble(CHEAP, average=average).fit(split.train, split.validation, progress=False)
    assert lists(fitted(split, CHEAP, blend=blend)) == lists(ensemble)


def test_fitted_members_make_a_fitted_hybrid_where_nothing_is_to_be_learnt(split: segue.Split) -> None:
    members = [segue.FirstOrder().fit(split.train), segue.EASE().fit(split.train)]
    assert lists(segue.Hybrid(members, blend="score")) == lists(segue.Ensemble(members))
    other = segue.FirstOrder().fit(split.test.context)
    with pytest.raises(MembersDiffer):
        segue.Hybrid([members[0], other], blend="rank")


# -- what is learnt --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("blend", ["logistic", "lambdamart"])
def test_a_learnt_blend_ignores_members_that_mean_nothing(split: segue.Split, blend: str) -> None:
    members = ["FirstOrder", "Noise", "Noise", "Noise"]
    model = fitted(split, members, blend=blend)
    weights = model.report["blend"]["weights"]
    assert max(weights, key=lambda name: weights[name]).startswith("0: FirstOrder")
    assert quality(model, split) > quality(fitted(split, members, blend="score"), split) + 0.1


def test_every_signal_stands_in_the_report_with_its_weight(split: segue.Split) -> None:
    blend = fitted(split, CHEAP).report["blend"]
    assert blend["blend"] == "logistic"
    assert blend["lists"] > 10
    expected = {f"{member}: {signal}" for member in ("0: PatternRecommender", "1: FirstOrder") for signal in (
        "score", "reciprocal_rank", "listed", "score x history length")}  # fmt: skip
    assert set(blend["weights"]) == expected | {"popularity"}


def test_items_that_no_member_lists_stand_below_all_candidates_in_their_own_order(split: segue.Split) -> None:
    model = fitted(split, CHEAP, candidates=2)
    one = model.histories.take(np.array([1]))
    found, scores = model._gathered(model.members, one, model.item_counts), model._score_block(one)[0]
    assert 2 <= len(found.items) <= 4
    others = np.setdiff1d(np.arange(1, len(scores)), found.items)
    assert scores[others].max() < scores[found.items].min()
    np.testing.assert_array_equal(np.argsort(scores[others]), np.argsort(found.rest[0][others]))


def test_members_learn_from_the_validation_only_after_the_blend_is_learnt(split: segue.Split) -> None:
    Watched.seen = []
    fitted(split, ["Watched"])
    assert Watched.seen == [(len(split.train), False), (len(split.train), True)]
    Watched.seen = []
    fitted(split, ["Watched"], refit=False)
    assert Watched.seen == [(len(split.train), False)]


def test_a_sequence_model_is_trained_once_for_both_stages(split: segue.Split, monkeypatch: pytest.MonkeyPatch) -> None:
    from segue.recommenders import sequence

    calls = []
    plain = sequence.fit
    monkeypatch.setattr(sequence, "fit", lambda *given: calls.append(1) or plain(*given))
    assert split.validation is not None
    settings: dict[str, Any] = {**SMALL, "time": [], "behaviour": []}
    early, final = in_two_stages(
        segue.SequenceRecommender(**settings), split.train, split.validation, {"progress": False}
    )
    assert len(calls) == 1
    searched = segue.SequenceRecommender(**settings, refit=False)
    searched.fit(split.train, split.validation, progress=False)
    asked = split.validation.asked()
    np.testing.assert_array_equal(early._score_block(asked), searched._score_block(asked))
    assert early.item_counts.sum() == len(split.train) < final.item_counts.sum()
    assert not np.array_equal(early._score_block(asked), final._score_block(asked))


def test_a_blend_can_be_learnt_for_members_that_are_fitted_already(split: segue.Split) -> None:
    assert split.validation is not None
    first = [segue.FirstOrder().fit(split.train), segue.EASE().fit(split.train)]
    final = [each.__class__().fit(split.train, split.validation) for each in first]
    model = segue.Hybrid.of_fitted(first, final, split.validation)
    assert lists(model) == lists(fitted(split, ["FirstOrder", "EASE"]))
    with pytest.raises(ConfigValue, match="EASE, FirstOrder"):
        segue.Hybrid.of_fitted(first[::-1], final, split.validation)


def test_too_little_to_learn_from_is_answered_by_the_average(split: segue.Split) -> None:
    log = pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": list("abab"), "timestamp": [1, 2, 1, 2]})
    model = segue.Hybrid(CHEAP).fit(segue.Dataset.from_frames(log), progress=False)
    assert model.report["blend"]["blend"] == "score"
    assert len(model.recommend([1], k=2, exclude_seen=False)) == 2


# -- candidates ------------------------------------------------------------------------------------------------


def test_candidates_are_the_union_of_what_members_list() -> None:
    scores = [np.array([[0, 4, 3, 2, 1]], dtype=np.float32), np.array([[0, 1, 2, 3, 4]], dtype=np.float32)]
    nothing = np.zeros(0, dtype=np.int64)
    found = candidates(scores, 1, np.zeros(5, dtype=np.float32), np.zeros(2, dtype=np.int64), nothing)
    assert found.items.tolist() == [1, 4]
    assert found.signals[:, :, 2].tolist() == [[1, 0], [0, 1]]
    assert found.signals[0, 0, 1] == 1
    seen = candidates(scores, 1, np.zeros(5, dtype=np.float32), np.array([0, 1]), np.array([1]))
    assert seen.items.tolist() == [1, 2, 4]  # what was seen takes no place of another


# -- mistakes and disk -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Ensemble", "Hybrid"])
def test_several_are_no_member_of_others(name: str) -> None:
    with pytest.raises(ConfigValue, match="list its members instead"):
        segue.Hybrid([name])
    with pytest.raises(ConfigUnknown, match="FirstOrder"):
        segue.Hybrid(["FirstOrderr"])


def test_trees_without_their_package_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(ExtraMissing, match=r"segue\[boosting\]"):
        segue.Hybrid(["FirstOrder"], blend="lambdamart")


@pytest.mark.parametrize(("blend", "part"), [("logistic", "linear"), ("lambdamart", "linear"), ("lambdamart", "trees")])
def test_a_blend_of_other_members_is_refused(split: segue.Split, tmp_path: Path, blend: str, part: str) -> None:
    one, two = fitted(split, ["FirstOrder"], blend=blend), fitted(split, CHEAP, blend=blend)
    assert one._learnt is not None
    assert two._learnt is not None
    document = {**two._learnt.document(), part: one._learnt.document()[part]}
    for value in (document, {**document, part: "tree\nnonsense"}):
        with artefacts.writing(tmp_path / "model", "Hybrid", two.config.model_dump()) as artefact:
            from segue.recommenders import keeping

            keeping.write(two, artefact, None)
            two._save(artefact)
            artefact.document("blend", value)
        with pytest.raises(ArtefactCorrupt):
            segue.load(tmp_path / "model")


def test_new_items_join_and_stand_last(split: segue.Split) -> None:
    model = fitted(split, CHEAP)
    before = lists(model, 5)
    model.add_items(pl.DataFrame({"item_id": ["brand new"]}))
    assert lists(model, 5) == before


def test_items_that_are_left_out_teach_a_blend_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    walks = [(int(rng.integers(40)) + np.cumsum(rng.choice([1, 2, 3], 8, p=[0.6, 0.2, 0.2]))) % 40 for _ in range(150)]
    rows = [(f"u{user}", f"i{item}", n) for user, walk in enumerate(walks) for n, item in enumerate(walk)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    split = segue.split.leave_last_out(segue.Dataset.from_frames(events))
    assert segue.FirstOrder().fit(split.train).exclude_seen
    shown: list[int] = []
    observe = LearntBlend.observe

    def spy(self: LearntBlend, found: Any, wanted: np.ndarray, counts: np.ndarray, lengths: np.ndarray) -> None:
        asked = split.validation.context.histories.take(split.validation.users)  # type: ignore[union-attr]
        assert len(asked) == len(wanted)  # one block, in order
        shown.append(sum(int(item) in asked.row(row) for row, item in zip(found.rows, found.items, strict=True)))
        observe(self, found, wanted, counts, lengths)

    monkeypatch.setattr(LearntBlend, "observe", spy)
    fitted(split, ["Praising", "Noise"])
    monkeypatch.setattr("segue.ranking.candidates.Candidates.without", lambda self, offsets, items: self)
    fitted(split, ["Praising", "Noise"])
    assert shown[0] == 0
    assert shown[1] > 0  # without that step every list holds what cannot come true


def test_members_of_another_log_are_refused_though_their_codes_would_fit(split: segue.Split) -> None:
    users = ["x", "x", "y", "y"] * 3
    other = pl.DataFrame({"user_id": users, "item_id": [f"o{n % 5}" for n in range(12)], "timestamp": range(12)})
    made = segue.split.leave_last_out(segue.Dataset.from_frames(other))
    here, there = segue.FirstOrder().fit(split.train), segue.FirstOrder().fit(made.train)
    assert split.validation is not None
    with pytest.raises(MembersDiffer):
        segue.Hybrid.of_fitted([here], [there], split.validation)
    with pytest.raises(MembersDiffer):
        segue.Hybrid.of_fitted([there], [there], split.validation)
