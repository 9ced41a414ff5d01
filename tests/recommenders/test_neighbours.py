from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import segue
from segue.data.histories import Histories
from segue.recommenders import neighbours
from segue.recommenders.neighbours import recency_matrix, seen_matrix
from segue.testing import RecommenderContract


class TestItemNeighbours(RecommenderContract):
    recommender = staticmethod(lambda: segue.ItemNeighbours())


class TestItemNeighboursFew(RecommenderContract):
    recommender = staticmethod(lambda: segue.ItemNeighbours(neighbours=2, last=1, shrink=0))


class TestItemNeighboursTfidf(RecommenderContract):
    recommender = staticmethod(lambda: segue.ItemNeighbours(weighting="tfidf"))


class TestItemNeighboursBm25(RecommenderContract):
    recommender = staticmethod(lambda: segue.ItemNeighbours(weighting="bm25", bm25_k1=2.0))


@pytest.mark.filterwarnings("ignore:Method expects CSR input")
@pytest.mark.parametrize("weighting", ["tfidf", "bm25"])
def test_weights_and_neighbours_are_those_of_implicit(data: segue.Dataset, weighting: str) -> None:
    peers = pytest.importorskip("implicit.nearest_neighbours")
    size = len(data.item_vocabulary) + 1
    counts = neighbours.count_matrix(data.histories, size)[1:, 1:]
    ours = neighbours.tfidf_weight(counts.T) if weighting == "tfidf" else neighbours.bm25_weight(counts.T, 2.0, 0.6)
    peer = peers.tfidf_weight(counts.T) if weighting == "tfidf" else peers.bm25_weight(counts.T, 2.0, 0.6)
    np.testing.assert_allclose(ours.toarray(), peer.toarray(), rtol=1e-6)
    settings = {"bm25_k1": 2.0, "bm25_b": 0.6} if weighting == "bm25" else {"shrink": 0.0}
    model = segue.ItemNeighbours(weighting=weighting, neighbours=size, last=1, **settings).fit(data)
    learner = peers.TFIDFRecommender(K=size) if weighting == "tfidf" else peers.BM25Recommender(K=size, K1=2.0, B=0.6)
    learner.fit(counts, show_progress=False)
    similar = learner.similarity.toarray()
    np.fill_diagonal(similar, 0)
    np.testing.assert_allclose(model._similar.toarray()[1:, 1:], similar, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("settings", [{"weighting": "bm25", "shrink": 5.0}, {"bm25_b": 0.5}])
def test_a_setting_without_effect_is_refused(settings: dict[str, object]) -> None:
    with pytest.raises(segue.errors.ConfigValue, match="has no effect"):
        segue.ItemNeighbours(**settings)


def slow_cosines(data: segue.Dataset, shrink: float) -> np.ndarray:
    """The definition, pair by pair."""
    users = [set(data.histories.row(user).tolist()) for user in range(len(data.histories))]
    size = len(data.item_vocabulary) + 1
    cosines = np.zeros((size, size))
    for left in range(1, size):
        for right in range(1, size):
            both = sum(left in had and right in had for had in users)
            norms = np.sqrt(sum(left in had for had in users) * sum(right in had for had in users))
            if left != right and both:
                cosines[left, right] = both / (norms + shrink)
    return cosines


@pytest.mark.parametrize("shrink", [0.0, 10.0])
@pytest.mark.parametrize("block", [7, 1_000])
def test_scores_are_sums_of_cosines(
    data: segue.Dataset, shrink: float, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "_BLOCK", block)
    model = segue.ItemNeighbours(shrink=shrink, decay=0.5, last=2, neighbours=1_000).fit(data, progress=False)
    cosines = slow_cosines(data, shrink)
    items = data.item_vocabulary.ids.to_list()
    old, middle, new = data.item_vocabulary.encode(["i3", "i4", "i5"])
    answer = model.score(histories=[["i3", "i4", "i5"]], items=items)["score"].to_numpy()
    np.testing.assert_allclose(answer, (cosines[new] + 0.5 * cosines[middle])[1:], rtol=1e-5, atol=1e-7)
    assert not np.allclose(answer, (cosines[new] + 0.5 * cosines[middle] + 0.25 * cosines[old])[1:])


def test_only_the_nearest_neighbours_are_kept(data: segue.Dataset) -> None:
    cosines = slow_cosines(data, 10.0)
    model = segue.ItemNeighbours(neighbours=3).fit(data, progress=False)
    items = data.item_vocabulary.ids.to_list()
    for place, item in enumerate(data.item_vocabulary.ids.head(10), start=1):
        scores = model.score(histories=[[item]], items=items)["score"].to_numpy()
        assert (scores > 0).sum() <= 3
        best = np.sort(cosines[place])[::-1][:3]
        np.testing.assert_allclose(np.sort(scores)[::-1][:3], best, rtol=1e-5)


def test_similar_items_are_the_items_with_the_highest_cosine(data: segue.Dataset) -> None:
    cosines = slow_cosines(data, 10.0)
    model = segue.ItemNeighbours().fit(data, progress=False)
    answer = model.similar_items(["i7"], k=5)
    best = np.sort(cosines[data.item_vocabulary.encode(["i7"])[0]])[::-1][:5]
    np.testing.assert_allclose(answer["score"].to_numpy(), best, rtol=1e-5)


def test_how_often_a_user_came_back_does_not_count() -> None:
    rows = [("u1", "a"), ("u1", "b"), ("u1", "a"), ("u1", "a"), ("u2", "a"), ("u2", "b")]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").with_row_index("timestamp")
    model = segue.ItemNeighbours(shrink=0).fit(segue.Dataset.from_frames(frame), progress=False)
    assert model.score(histories=[["a"]], items=["b"])["score"].item() == pytest.approx(1.0)


def test_the_seen_matrix_marks_each_item_once() -> None:
    histories = Histories(np.array([0, 0, 3, 4]), np.array([2, 2, 1, 3]))
    assert seen_matrix(histories, 4).toarray().tolist() == [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]]


def test_the_recency_matrix_weights_the_newest_most_and_adds_repeats_up() -> None:
    histories = Histories(np.array([0, 4]), np.array([3, 2, 1, 2]))
    assert recency_matrix(histories, 3, 0.5, 4).toarray().tolist() == [[0, 0.5, 1.25, 0]]
