"""An exported model that searches by an index lists what exact search does, or says how much it misses."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

import segue
from segue import artefacts
from segue.cli.main import app
from segue.data.histories import Histories
from segue.deploy import export as exporting
from segue.deploy.comparing import Questions, searched
from segue.deploy.export import ExportConfig, export, exported
from segue.deploy.parts import in_fp32
from segue.deploy.refresh import export_as
from segue.errors import ArtefactCorrupt, ExtraMissing, IndexBroken, SearchMisses, SearchNotTaken
from segue.ranking.item_index import ItemIndex
from segue.recommenders.exported import ExportedRecommender
from segue.serving.answers.answers import Answers
from segue.serving.answers.questions import Filters, Question
from segue.training.trend import TrendWeights
from tests.serving.fakes import FakeModels, FakeServed

ITEMS, USERS, KINDS = 600, 400, 12


def log() -> segue.Dataset:
    """People who keep to one kind of items; a catalogue with prices, and one item that nothing is known of."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, KINDS, (USERS, 1))
    items = (kind + KINDS * rng.integers(0, ITEMS // KINDS, (USERS, 8))).ravel()
    events = {"user_id": np.repeat(np.arange(USERS), 8), "item_id": items}
    events["timestamp"] = 1_600_000_000 + rng.permutation(len(items)) * 600
    catalogue = {"item_id": np.arange(ITEMS), "kind": [f"kind {n % KINDS}" for n in range(ITEMS)]}
    return segue.Dataset.from_frames(
        pl.DataFrame(events), pl.DataFrame({**catalogue, "price": np.arange(ITEMS, dtype=np.float64)})
    )


@pytest.fixture(scope="module")
def split() -> segue.Split:
    return segue.split.leave_last_out(log())


@pytest.fixture(scope="module")
def trained(split: segue.Split) -> segue.SequenceRecommender:
    model = segue.SequenceRecommender(embedding_size=16, blocks=1, epochs=4, features=["kind"])
    return model.fit(split.train, progress=False)


@pytest.fixture(scope="module")
def exact(trained: segue.SequenceRecommender) -> ExportedRecommender:
    return in_fp32(trained)


@pytest.fixture
def near(exact: ExportedRecommender) -> ExportedRecommender:
    return copy.copy(exact).searching(80)


@pytest.fixture(scope="module")
def saved(trained: segue.SequenceRecommender, split: segue.Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "shop"
    trained.save(place, test=split.test)
    return place


@pytest.fixture(scope="module")
def questions(trained: segue.SequenceRecommender, split: segue.Split) -> Questions:
    return Questions.of(trained, split.test, 100)


def rows_of(questions: Questions, count: int = 30) -> Iterator[Histories]:
    return (questions.histories.take(np.array([row])) for row in range(count))


def listed(model: ExportedRecommender, history: Histories, k: int = 10, **options: Any) -> list[int]:
    codes: np.ndarray = model.recommend_codes(history, k, exclude_seen=True, progress=False, **options)[0][0]
    return codes.tolist()


def shuffled(model: ExportedRecommender) -> ExportedRecommender:
    """The broken twin: every vector of its index stands under the key of another item."""
    twin = copy.copy(model)
    mixed = model.vectors.vectors.copy()
    mixed[1:] = np.random.default_rng(0).permutation(mixed[1:])
    twin.index = ItemIndex.over(mixed)
    return twin


# -- what is listed ------------------------------------------------------------------------------------------------


def test_the_lists_and_their_scores_are_those_of_exact_search(
    exact: ExportedRecommender, near: ExportedRecommender, questions: Questions
) -> None:
    near = near.searching(300)
    for one in rows_of(questions):
        wanted = exact.recommend_codes(one, 10, exclude_seen=True, progress=False)
        found = near.recommend_codes(one, 10, exclude_seen=True, progress=False)
        assert np.array_equal(found[0], wanted[0])
        np.testing.assert_allclose(found[1], wanted[1], rtol=1e-4, atol=1e-5)


def test_all_but_the_candidates_are_minus_infinity_where_scores_need_not_be_exact(
    exact: ExportedRecommender, near: ExportedRecommender, questions: Questions
) -> None:
    one = next(rows_of(questions))
    scores, wanted = near.score_codes(one, exact=False), exact.score_codes(one)
    there = np.isfinite(scores[0])
    assert there.sum() == near.config.candidates
    np.testing.assert_allclose(scores[0, there], wanted[0, there], rtol=1e-4, atol=1e-5)
    assert np.array_equal(near.score_codes(one), wanted), "scores are exact unless something else is asked for"


def test_the_trend_is_in_the_scores(
    near: ExportedRecommender, exact: ExportedRecommender, questions: Questions
) -> None:
    halves = np.array([1e12, 2.5e11])
    weights = TrendWeights(halves, np.array([0.5, 0.0]), (1.0, 50), np.array([0.3, 0.1, 0.1, 0, 0]), None)
    near, exact = copy.copy(near), copy.copy(exact)
    for one in (near, exact):
        one.trend = one._trend_of(weights)
    near.config = near.config.model_copy(update={"candidates": ITEMS})
    for one in rows_of(questions):
        assert listed(near, one) == listed(exact, one)
    # With a scale of 0 minus infinity would become no number at all.
    silent = replace(weights, scale=np.zeros(2))
    near.trend = near._trend_of(silent)
    near.config = near.config.model_copy(update={"candidates": 20})
    assert not np.isnan(near.score_codes(next(rows_of(questions)), exact=False)).any()


def test_many_rows_and_empty_histories_are_answered_exactly(
    exact: ExportedRecommender, near: ExportedRecommender, questions: Questions
) -> None:
    twin = shuffled(near)
    asked: dict[str, Any] = {"exclude_seen": True, "progress": False}
    many = questions.histories
    assert np.array_equal(twin.recommend_codes(many, 10, **asked)[0], exact.recommend_codes(many, 10, **asked)[0])
    nobody = Histories(np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.int64))
    assert listed(twin, nobody) == listed(exact, nobody)
    one = next(rows_of(questions))
    assert listed(twin, one) != listed(exact, one), "one row does ask the index, or nothing was shown here"


def test_a_list_that_comes_out_short_is_asked_for_exactly(
    exact: ExportedRecommender, near: ExportedRecommender, questions: Questions
) -> None:
    one = next(rows_of(questions))
    assert listed(near, one, k=300) == listed(exact, one, k=300)
    worst = np.zeros(len(exact.item_vocabulary) + 1, dtype=bool)
    worst[exact.score_codes(one)[0].argsort()[:50]] = True
    assert listed(near, one, among=worst) == listed(exact, one, among=worst)


@pytest.mark.parametrize(
    "question",
    [
        {"k": 10},
        {"k": 200},
        {"filters": Filters(price_min=590)},
        {"filters": Filters(price_max=-1)},
        {"k": 5, "diversity": 0.3},
        {"k": 40, "diversity": 0.3},
    ],
)
def test_the_service_answers_as_with_exact_search(
    exact: ExportedRecommender, near: ExportedRecommender, question: dict[str, Any]
) -> None:
    near.config = near.config.model_copy(update={"candidates": 150})
    asked = Question(items=[1, 13, 25], **question)
    found, wanted = (Answers(FakeModels([FakeServed("one", each)])) for each in (near, exact))
    lists = [[each.item_id for each in one.recommend(asked).items] for one in (found, wanted)]
    assert lists[0] == lists[1]
    lists = [[each.item_id for each in one.generate(asked, 4).items] for one in (found, wanted)]
    assert lists[0] == lists[1]


def test_the_service_asks_the_index_only_where_its_candidates_are_enough(
    near: ExportedRecommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[bool] = []
    real = ExportedRecommender.score_codes

    def noted(self: Any, histories: Histories, exact: bool = True) -> np.ndarray:
        asked.append(exact)
        return real(self, histories, exact)

    monkeypatch.setattr(ExportedRecommender, "score_codes", noted)

    class Explorer:
        def explore(self, served: Any, scores: np.ndarray, ranked: Any, name: str) -> Any:
            assert np.isfinite(scores).sum() > near.config.candidates
            return ranked

    models = FakeModels([FakeServed("one", near)])
    Answers(models).recommend(Question(items=[1, 13]))
    assert asked == [False]
    Answers(models).recommend(Question(items=[1, 13], filters=Filters(price_min=595)))
    assert asked[1:] == [False, True]
    Answers(models, explorer=Explorer()).recommend(Question(items=[1, 13]))
    assert asked[3:] == [True]


def test_threads_that_ask_at_once_are_answered_as_one(near: ExportedRecommender, questions: Questions) -> None:
    rows = list(rows_of(questions)) * 10
    wanted = [listed(near, each) for each in rows]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda each: listed(near, each), rows)) == wanted


# -- new items -----------------------------------------------------------------------------------------------------


def test_new_and_changed_items_join_the_index(near: ExportedRecommender, tmp_path: Path) -> None:
    before = near.index
    assert before is not None
    rows = {"item_id": [9_000, 1], "kind": ["kind 1", "kind 2"], "price": [1.0, 1.0]}
    near.add_items(pl.DataFrame(rows))
    codes = near.item_vocabulary.encode(rows["item_id"])
    assert near.index is not None
    assert len(near.index) == len(before) + 1
    for code, vector in zip(codes, near.item_table[codes], strict=True):
        assert code in near.index.nearest(vector[None], len(near.index))
        assert near.index._index.get(int(code)).astype(np.float32) == pytest.approx(vector, abs=1e-2)
    near.save(tmp_path / "grown")
    again = segue.load(tmp_path / "grown")
    assert again.recommend(histories=[[1, 9_000]], k=20).equals(near.recommend(histories=[[1, 9_000]], k=20))


def test_what_nothing_is_known_of_is_not_in_the_index() -> None:
    vectors = np.eye(5, dtype=np.float32)
    vectors[3] = 0
    index = ItemIndex.over(vectors)
    assert len(index) == 3
    assert sorted(index.nearest(np.ones((1, 5), dtype=np.float32), 5)[0]) == [0, 0, 1, 2, 4]
    assert len(index.grown(np.zeros_like(vectors), np.array([1, 2]))) == 1
    assert ItemIndex.over(np.zeros((3, 4), dtype=np.float32)).nearest(np.ones((2, 4), np.float32), 2).sum() == 0


# -- recall --------------------------------------------------------------------------------------------------------


def test_recall_is_what_the_lists_say(near: ExportedRecommender, questions: Questions) -> None:
    assert searched(near.searching(300), questions).recall == 1.0
    near.config = near.config.model_copy(update={"candidates": 12})
    wanted = [len({*listed(near, one, exact=True)} & {*listed(near, one)}) / 10 for one in rows_of(questions, 100)]
    asked = near.exclude_seen
    near.exclude_seen = True
    assert searched(near, questions).recall == pytest.approx(np.mean(wanted))
    near.exclude_seen = asked


def test_shuffled_keys_are_refused_and_nothing_is_written(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ExportedRecommender.searching
    monkeypatch.setattr(ExportedRecommender, "searching", lambda self, count: shuffled(real(self, count)))
    config = ExportConfig(search="approximate", candidates=80)
    with pytest.raises(SearchMisses, match=r"finds 0\.\d+ of the 10 best, at least 0\.95"):
        export(saved, tmp_path / "small", config)
    assert not (tmp_path / "small").exists()


def test_auto_searches_approximately_from_a_size_on_and_where_that_misses_little(
    trained: segue.SequenceRecommender, questions: Questions, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ExportConfig(search="auto", candidates=80)
    small = exported(trained, questions, config)
    assert small.search is None
    assert not small.model.approximate
    monkeypatch.setattr(exporting, "AUTO_ITEMS", ITEMS // 2)
    large = exported(trained, questions, config)
    assert large.search is not None
    assert large.search.used
    assert large.model.approximate
    assert large.model.report["export"]["search"]["recall"] == large.search.recall
    real = ExportedRecommender.searching
    monkeypatch.setattr(ExportedRecommender, "searching", lambda self, count: shuffled(real(self, count)))
    missed = exported(trained, questions, config)
    assert missed.search is not None
    assert not missed.search.used
    assert not missed.model.approximate


def test_what_weighs_all_items_against_each_other_cannot_search(split: segue.Split, questions: Questions) -> None:
    neural = segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=1)
    both = segue.Ensemble([neural, segue.Popular()]).fit(split.train, progress=False)
    with pytest.raises(SearchNotTaken, match="Ensemble"):
        exported(both, questions, ExportConfig(search="approximate"))
    assert exported(both, questions, ExportConfig(search="auto")).search is None


def test_the_verb_prints_the_recall_and_an_update_searches_so_too(saved: Path, tmp_path: Path) -> None:
    options = ["--search", "approximate", "--candidates", "80", "--precision", "int8", "--most-loss", "0.5"]
    out = tmp_path / "small"
    told = CliRunner().invoke(app, ["export", str(saved), "--out", str(out), *options], catch_exceptions=False)
    assert told.exit_code == 0
    for word in ("with an index", "recall at 10"):
        assert word in told.stdout
    model = segue.load(out)
    assert isinstance(model, ExportedRecommender)
    assert model.approximate
    assert model.config.precision == "int8"
    export_as(saved, tmp_path / "again", out)
    assert segue.load(tmp_path / "again").config == model.config


# -- on disk -------------------------------------------------------------------------------------------------------


def test_a_damaged_index_is_refused_by_name(near: ExportedRecommender, tmp_path: Path) -> None:
    near.save(tmp_path / "near")
    (file,) = (tmp_path / "near").glob("items-index.*.usearch")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArtefactCorrupt, match="items-index"):
        segue.load(tmp_path / "near")
    file.unlink()
    with pytest.raises(ArtefactCorrupt, match="missing"):
        segue.load(tmp_path / "near")


@pytest.mark.parametrize("content", [b"", b"no index" * 20, None])
def test_bytes_that_are_no_index_are_refused_by_name(
    near: ExportedRecommender, tmp_path: Path, content: bytes | None
) -> None:
    assert near.index is not None
    sound = near.index.content
    with artefacts.writing(tmp_path / "near", "ExportedRecommender") as artefact:
        artefact.index("items-index", sound[: len(sound) // 2] if content is None else content)
    read = artefacts.read(tmp_path / "near").index("items-index")
    with pytest.raises(IndexBroken):
        ItemIndex.restored(read, near.item_table)


def test_an_index_of_other_items_is_refused(near: ExportedRecommender) -> None:
    assert near.index is not None
    content = near.index.content
    assert len(ItemIndex.restored(content, near.item_table)) == len(near.index)
    for other in (near.item_table[:-1], near.item_table[:, 1:]):
        with pytest.raises(IndexBroken, match="other items"):
            ItemIndex.restored(content, other)


def test_a_copy_by_pickle_finds_the_same(near: ExportedRecommender) -> None:
    assert near.index is not None
    states = near.item_table[1:4]
    copied = pickle.loads(pickle.dumps(near.index))  # noqa: S301 - made here
    assert np.array_equal(copied.nearest(states, 10), near.index.nearest(states, 10))


def test_without_usearch_an_error_says_what_to_install(
    near: ExportedRecommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    near.save(tmp_path / "near")
    for name in ("usearch", "usearch.index"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraMissing, match="usearch"):
        segue.load(tmp_path / "near")


WITHOUT = """
import sys
from importlib.machinery import PathFinder
absent = {"torch", "transformers", "peft", "lightning"}
there = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name.split(".")[0] in absent else there(name, *rest)
import polars as pl, segue
model = segue.load(sys.argv[1])
assert model.approximate
model.add_items(pl.DataFrame({"item_id": [9_000], "kind": ["kind 1"], "price": [1.0]}))
assert model.recommend(histories=[[1, 13]], k=5, at="now").height == 5
assert model.recommend(histories=[[1, 13]], k=500).height == 500
assert not absent & set(sys.modules)
"""


def test_nothing_of_torch_is_needed(near: ExportedRecommender, tmp_path: Path) -> None:
    near.save(tmp_path / "near")
    told = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "near")], capture_output=True, text=True, timeout=60
    )
    assert told.returncode == 0, told.stderr
