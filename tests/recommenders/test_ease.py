from __future__ import annotations

import numpy as np
import pytest

import segue
from segue.testing import RecommenderContract


class TestEASE(RecommenderContract):
    recommender = staticmethod(lambda: segue.EASE())


class TestEASEOfFewItems(RecommenderContract):
    recommender = staticmethod(lambda: segue.EASE(max_items=5, regularisation=10))


def by_the_paper(data: segue.Dataset, regularisation: float) -> np.ndarray:
    """Eq. 8 of the paper in double precision: B_ij = -P_ij / P_jj off the diagonal, 0 on it."""
    users, items = len(data.histories), len(data.item_vocabulary)
    x = np.zeros((users, items))
    for user in range(users):
        x[user, data.histories.row(user) - 1] = 1
    p = np.linalg.inv(x.T @ x + regularisation * np.eye(items))
    b = -p / np.diag(p)[None, :]
    np.fill_diagonal(b, 0)
    return b


@pytest.mark.parametrize("regularisation", [1.0, 500.0])
def test_weights_are_those_of_the_closed_form(data: segue.Dataset, regularisation: float) -> None:
    b = by_the_paper(data, regularisation)
    model = segue.EASE(regularisation=regularisation).fit(data)
    items = data.item_vocabulary.ids.to_list()
    history = ["i1", "i2", "i2", "i9"]
    row = np.zeros(len(items))
    row[data.item_vocabulary.encode(["i1", "i2", "i9"]) - 1] = 1
    met = data.item_counts[1:] > 0
    answer = model.score(histories=[history], items=items)["score"].to_numpy()
    np.testing.assert_allclose(answer[met], (row @ b)[met], rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(answer[~met], 0)


def test_an_item_says_nothing_about_itself(data: segue.Dataset) -> None:
    model = segue.EASE(regularisation=1.0).fit(data)
    assert model.score(histories=[["i3"]], items=["i3"])["score"].item() == 0


def test_only_the_most_popular_items_take_part_and_the_rest_rank_by_popularity(data: segue.Dataset) -> None:
    model = segue.EASE(max_items=6).fit(data)
    items = data.item_vocabulary.ids.to_list()
    scores = model.score(histories=[items[:-2]], items=items)["score"].to_numpy()
    counts = data.item_counts[1:]
    assert (scores != 0).sum() <= 6
    assert counts[scores != 0].min() >= np.sort(counts)[::-1][5]
    outside = [item for item, score in zip(items, scores, strict=True) if score == 0]
    listed = model.recommend(histories=[[outside[0]]], k=100, exclude_seen=False)
    tied = listed.filter(listed["score"] == 0)["item_id"].to_list()
    popularity = [counts[items.index(item)] for item in tied]
    assert popularity == sorted(popularity, reverse=True)
