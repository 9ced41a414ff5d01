from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue import artefacts
from segue.errors import ArtefactCorrupt, ConfigUnknown, ConfigValue, DistilRefused, MembersDiffer, ResumeRefused
from segue.recommenders.ensemble import Ensemble
from segue.testing import RecommenderContract
from tests.training.runs import FULL, Killed, kill_at

TINY: dict[str, Any] = {**FULL, "max_length": 20, "time": [], "behaviour": []}
MEMBER_PARTS = ("weights", "plan", "log", "features", "feature_values", "item_features")
CHEAP = ["EASE", "FirstOrder"]
ASKED = ["u1", "u2", "u3", "u4"]


class TestEnsembleByScore(RecommenderContract):
    recommender = staticmethod(lambda: segue.Ensemble(["FirstOrder", {"recommender": "EASE", "regularisation": 10}]))


class TestEnsembleByRank(RecommenderContract):
    recommender = staticmethod(lambda: segue.Ensemble(["ItemNeighbours", "Popular"], average="rank", weights=[2, 1]))


class Loud(segue.EASE):
    """The same order on another scale."""

    def _score_block(self, histories: Any) -> np.ndarray:
        return 1_000 * super()._score_block(histories) + 50


def lists(model: segue.Recommender, k: int = 20) -> list[Any]:
    return model.recommend(ASKED, k=k)["item_id"].to_list()


def fitted(split: segue.Split, members: list[Any], **settings: Any) -> Ensemble:
    return segue.Ensemble(members, **settings).fit(split.train, split.validation, progress=False)


# -- averaging -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("average", ["score", "rank"])
def test_an_ensemble_of_one_lists_what_its_member_lists(split: segue.Split, average: str) -> None:
    alone = segue.FirstOrder().fit(split.train, split.validation)
    assert lists(fitted(split, ["FirstOrder"], average=average)) == lists(alone)


@pytest.mark.parametrize("average", ["score", "rank"])
def test_the_scale_of_a_member_does_not_matter(split: segue.Split, average: str) -> None:
    plain = fitted(split, ["FirstOrder", "EASE"], average=average)
    assert lists(fitted(split, ["FirstOrder", "Loud"], average=average)) == lists(plain)


def test_an_average_of_scores_is_that_of_z_scores(split: segue.Split) -> None:
    model = fitted(split, CHEAP, weights=[3, 1])
    items = split.train.item_vocabulary.ids.to_list()

    def z(member: segue.Recommender) -> np.ndarray:
        scores = member.score(["u1"], items=items)["score"].to_numpy()
        return (scores - scores.mean()) / scores.std()

    expected = 0.75 * z(model.members[0]) + 0.25 * z(model.members[1])
    np.testing.assert_allclose(model.score(["u1"], items=items)["score"], expected, atol=1e-4)


def test_an_average_of_ranks_is_that_of_reciprocal_ranks(split: segue.Split) -> None:
    model = fitted(split, CHEAP, average="rank")
    everything = len(split.train.item_vocabulary)
    ranks = []
    for member in model.members:
        listed = member.recommend(["u1"], k=everything, exclude_seen=False)
        ranks.append(dict(zip(listed["item_id"], listed["rank"], strict=True)))
    items = list(ranks[0])
    expected = [0.5 / (60 + ranks[0][item]) + 0.5 / (60 + ranks[1][item]) for item in items]
    np.testing.assert_allclose(model.score(["u1"], items=items)["score"], expected, rtol=1e-5)


def test_weights_say_who_is_heard(split: segue.Split) -> None:
    first, second = (segue.EASE().fit(split.train, split.validation), segue.FirstOrder().fit(split.train))
    assert lists(fitted(split, CHEAP, weights=[1, 0])) == lists(first)
    assert lists(fitted(split, CHEAP, weights=[0, 5])) != lists(first) != lists(second)
    written = fitted(split, ["EASE", {"recommender": "FirstOrder", "weight": 0.25}])
    assert written.config == fitted(split, CHEAP, weights=[1, 0.25]).config


def test_scores_are_fused_in_pieces_without_a_difference(split: segue.Split, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fitted(split, CHEAP, average="rank")
    whole = model.recommend(ASKED, k=20)
    monkeypatch.setattr("segue.recommenders.ensemble._SCORES", 1)
    assert model.recommend(ASKED, k=20).equals(whole)


# -- members ---------------------------------------------------------------------------------------------------


def test_members_are_written_as_reads_best() -> None:
    flat = segue.Ensemble([{"encoder": "hstu", "seed": 1}, {"recommender": "EASE", "regularisation": 10}, "Popular"])
    settings = [
        {"recommender": "SequenceRecommender", "settings": {"encoder": "hstu", "seed": 1}, "weight": 1},
        {"recommender": "EASE", "settings": {"regularisation": 10}, "weight": 1},
        {"recommender": "Popular", "settings": {}, "weight": 1},
    ]
    assert flat.config.model_dump()["members"] == settings
    assert segue.Ensemble(settings).config == flat.config
    objects = [segue.SequenceRecommender(encoder="hstu", seed=1), segue.EASE(regularisation=10), segue.Popular()]
    assert segue.Ensemble(objects).config == flat.config


def test_seeds_of_one_class_are_said_in_one_line() -> None:
    model = segue.Ensemble.of(seeds=[3, 5], encoder="hstu", average="rank")
    assert [member.settings for member in model.config.members] == [{"encoder": "hstu", "seed": s} for s in (3, 5)]
    assert model.config.average == "rank"
    assert segue.Ensemble().config == segue.Ensemble.of().config, "three seeds are the default"


def test_the_seed_of_an_ensemble_moves_the_seeds_of_its_members() -> None:
    model = segue.Ensemble([{"seed": 1}, "EASE"], seed=10)
    assert model.config.members[0].build(model.config.seed).config.seed == 11
    assert model.config.members[1].build(model.config.seed).config == segue.EASE().config


def test_fitted_members_make_a_fitted_ensemble_and_stay_as_they_are(split: segue.Split, tmp_path: Path) -> None:
    members = [segue.EASE().fit(split.train, split.validation), segue.FirstOrder().fit(split.train, split.validation)]
    model = segue.Ensemble(members)
    assert lists(model) == lists(fitted(split, CHEAP))
    model.save(tmp_path / "model")
    assert lists(segue.load(tmp_path / "model")) == lists(model)
    model.fit(split.train, progress=False)
    assert model.members[0] is not members[0]
    assert members[0].histories is split.validation.all.histories


def test_fitted_members_of_other_logs_are_refused(split: segue.Split, log: pl.DataFrame) -> None:
    one = segue.EASE().fit(split.train, split.validation)
    with pytest.raises(MembersDiffer, match="histories differ"):
        segue.Ensemble([one, segue.Popular().fit(split.train)])
    other = segue.Dataset.from_frames(log.filter(pl.col("item_id") != "i3"))
    with pytest.raises(MembersDiffer, match="42 and 39 items"):
        segue.Ensemble([one, segue.Popular().fit(other)])


@pytest.mark.parametrize(
    ("members", "error", "words"),
    [
        ([], ConfigValue, "members"),
        (["EASEE"], ConfigUnknown, "Did you mean 'EASE'"),
        ([{"recommender": "EASE", "regularization": 1}], ConfigUnknown, "Did you mean 'regularisation'"),
        ([{"recommender": "EASE", "regularisation": -1}], ConfigValue, "regularisation"),
        (["Ensemble"], ConfigValue, "list its members instead"),
        ([{"weight": -1}], ConfigValue, "greater than or equal to 0"),
        ([{"weight": 0}, {"weight": 0}], ConfigValue, "every weight is 0"),
        ([7], ConfigValue, "members"),
        ("EASE", ConfigValue, "members"),
        ([{"recommender": 7}], ConfigValue, "members"),
        ([{"settings": 7}], ConfigValue, "members"),
    ],
    ids=str,
)
def test_members_that_cannot_be_are_refused(members: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        segue.Ensemble(members)


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [1, -1], [0, 0], [1, float("nan")]], ids=str)
def test_weights_that_mean_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(ConfigValue, match="'weights' of Ensemble"):
        segue.Ensemble(CHEAP, weights=weights)


# -- disk and resuming -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two(split: segue.Split) -> Ensemble:
    """Two seeds, trained on the training events alone."""
    model = segue.Ensemble.of(seeds=[0, 1], **{**TINY, "refit": False})
    return model.fit(split.train, split.validation, progress=False, threads=1)


def test_members_are_saved_in_one_artefact_that_repeats_nothing(two: Ensemble, tmp_path: Path) -> None:
    two.save(tmp_path / "model")
    parts = set(artefacts.read(tmp_path / "model").manifest["files"])
    shared = {"facts", "histories", "item_ids", "user_ids", "items", "members"}
    assert parts == shared | {f"member-{n}-{part}" for n in (0, 1) for part in MEMBER_PARTS}
    again = segue.load(tmp_path / "model")
    assert again.recommend(ASKED, k=9).equals(two.recommend(ASKED, k=9))
    for mine, theirs in zip(again.members, two.members, strict=True):
        assert mine.weights_sha256() == theirs.weights_sha256()
        assert mine.report == theirs.report
        assert mine.histories is again.histories
        assert mine.recommend(ASKED, k=9).equals(theirs.recommend(ASKED, k=9))


def test_a_changed_file_of_a_member_is_refused(two: Ensemble, tmp_path: Path) -> None:
    two.save(tmp_path / "model")
    (file,) = (tmp_path / "model").glob("member-1-weights.*")
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtefactCorrupt, match="member-1-weights"):
        segue.load(tmp_path / "model")


def test_parts_that_belong_to_another_number_of_members_are_refused(two: Ensemble, tmp_path: Path) -> None:
    two.save(tmp_path / "model")
    read = artefacts.read(tmp_path / "model")
    config = {**read.manifest["config"], "members": read.manifest["config"]["members"][:1]}
    with artefacts.writing(tmp_path / "model", "Ensemble", config) as writer:
        for name, entry in read.manifest["files"].items():
            writer.parts[name] = (Path(entry["file"]).suffix[1:], (tmp_path / "model" / entry["file"]).read_bytes())
    with pytest.raises(ArtefactCorrupt, match="do not fit together"):
        segue.load(tmp_path / "model")


@pytest.mark.parametrize("step", [4, 34])
def test_a_killed_ensemble_is_resumed_to_the_same_weights(split: segue.Split, tmp_path: Path, step: int) -> None:
    def train(checkpoint: Path | None = None, resume: bool = False) -> Ensemble:
        model = segue.Ensemble.of(seeds=[0, 1], **{**TINY, "refit": False})
        run = {"checkpoint": checkpoint, "resume": resume, "checkpoint_seconds": 0.0, "threads": 1, "progress": False}
        return model.fit(split.train, split.validation, **run)

    def kill() -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, "step", step, kill)
        with pytest.raises(Killed):
            train(tmp_path / "training")
    reached = {folder.name for folder in (tmp_path / "training").iterdir()}
    assert reached == ({"member-0"} if step == 4 else {"member-0", "member-1"})
    hashes = [[m.weights_sha256() for m in each.members] for each in (train(tmp_path / "training", True), train())]
    assert hashes[0] == hashes[1]


# -- one model of many -----------------------------------------------------------------------------------------


def probabilities(model: Any, split: segue.Split) -> np.ndarray:
    """(users, items) softmax of what the model, or an ensemble as a teacher, holds of every training history."""
    if isinstance(model, Ensemble):
        mean = sum(np.log(probabilities(member, split)) for member in model.members) / len(model.members)
    else:
        items = split.train.item_vocabulary.ids.to_list()
        users = split.train.user_vocabulary.ids.to_list()
        mean = model.score(users, items=items)["score"].to_numpy().reshape(len(users), -1)
    powers = np.exp(mean - mean.max(1, keepdims=True))
    return np.asarray(powers / powers.sum(1, keepdims=True))


def test_a_student_agrees_with_its_teachers_more_than_one_trained_alone(split: segue.Split, tmp_path: Path) -> None:
    settings = {**TINY, "epochs": 12, "learning_rate": 0.02, "dropout": 0.1}
    run = {"progress": False, "threads": 1}
    two = segue.Ensemble.of(seeds=[0, 1], **settings).fit(split.train, **run)
    student = two.distil(split.train, alpha=0.9, temperature=1.0, candidates=40, **settings, seed=5, **run)
    alone = segue.SequenceRecommender(**settings, seed=5).fit(split.train, **run)
    taught, own = (
        np.abs(probabilities(each, split) - probabilities(two, split)).sum(1).mean() for each in (student, alone)
    )
    assert taught < 0.85 * own
    told = student.report["distilled"]
    assert (told["alpha"], told["temperature"], told["candidates"]) == (0.9, 1.0, 40)
    assert [each["weights_sha256"] for each in told["from"]] == [each.weights_sha256() for each in two.members]
    student.save(tmp_path / "student")
    again = segue.load(tmp_path / "student")
    assert type(again) is segue.SequenceRecommender
    assert again.report == student.report
    assert again.recommend(ASKED).equals(student.recommend(ASKED))
    again.fit(split.train, **run)
    assert "distilled" not in again.report
    assert again.weights_sha256() == alone.weights_sha256(), "a student that is trained again has no teachers"


def test_a_killed_distillation_is_resumed_to_the_same_weights_and_by_the_same_teachers(
    two: Ensemble, split: segue.Split, tmp_path: Path
) -> None:
    def distil(checkpoint: Path | None = None, resume: bool = False, **options: Any) -> segue.SequenceRecommender:
        run = {"checkpoint": checkpoint, "resume": resume, "checkpoint_seconds": 0.0, "threads": 1, "progress": False}
        return two.distil(split.train, split.validation, **TINY, **options, **run)

    def kill() -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        kill_at(patch, "stepped", 7, kill)
        with pytest.raises(Killed):
            distil(tmp_path / "training")
    with pytest.raises(ResumeRefused, match="other data"):
        distil(tmp_path / "training", True, alpha=0.7)
    assert distil(tmp_path / "training", True).weights_sha256() == distil().weights_sha256()


def test_what_cannot_teach_is_refused(two: Ensemble, split: segue.Split, log: pl.DataFrame) -> None:
    with pytest.raises(DistilRefused, match="EASE, FirstOrder scores whole histories"):
        fitted(split, CHEAP).distil(split.train)
    with pytest.raises(DistilRefused, match="reads 21 events, a member 20"):
        two.distil(split.train, **{**TINY, "max_length": 21}, progress=False)
    other = segue.Dataset.from_frames(log.filter(pl.col("item_id") != "i3"))
    with pytest.raises(MembersDiffer, match="42 and 39 items"):
        two.distil(other, **TINY)
    for wrong in ({"alpha": 1}, {"alpha": 0}, {"temperature": 0}, {"candidates": 0}):
        with pytest.raises(ConfigValue, match="of distil"):
            two.distil(split.train, **wrong)
    with pytest.raises(ConfigUnknown, match="Did you mean 'epochs'"):
        two.distil(split.train, epoch=3)


def test_a_student_reads_what_its_teachers_read(split: segue.Split) -> None:
    model = segue.Ensemble.of(seeds=[0], **{**TINY, "epochs": 1, "time": ["gaps"], "behaviour": ["actions"]})
    model.fit(split.train, progress=False)
    with pytest.raises(DistilRefused, match="reads actions, time and the student does not"):
        model.distil(split.train, **{**TINY, "epochs": 1}, progress=False)
