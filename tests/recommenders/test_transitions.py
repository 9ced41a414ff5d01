from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy import sparse

import segue
from segue.recommenders.transitions import sparse_arrays, sparse_matrix
from segue.testing import RecommenderContract


class TestFirstOrder(RecommenderContract):
    recommender = staticmethod(lambda: segue.FirstOrder())


class TestFirstOrderUnsmoothed(RecommenderContract):
    recommender = staticmethod(lambda: segue.FirstOrder(smoothing=0, steps=1))


@pytest.fixture(scope="module")
def walks() -> segue.Dataset:
    """Two walk a b c, one walks a c."""
    rows = [(1, "a", 1), (1, "b", 2), (1, "c", 3), (2, "a", 1), (2, "b", 2), (2, "c", 3), (3, "a", 1), (3, "c", 2)]
    return segue.Dataset.from_frames(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))


def scores(model: segue.Recommender, history: list[str]) -> dict[str, float]:
    answer = model.score(histories=[history], items=["a", "b", "c"])
    return dict(answer.select("item_id", "score").iter_rows())


def test_scores_are_shares_of_what_came_right_after(walks: segue.Dataset) -> None:
    model = segue.FirstOrder(steps=1, smoothing=0).fit(walks)
    assert scores(model, ["a"]) == pytest.approx({"a": 0, "b": 2 / 3, "c": 1 / 3})
    assert scores(model, ["b"]) == pytest.approx({"a": 0, "b": 0, "c": 1})


def test_only_the_last_event_decides(walks: segue.Dataset) -> None:
    model = segue.FirstOrder().fit(walks)
    assert scores(model, ["c", "b", "a"]) == scores(model, ["a"])


def test_a_step_further_counts_half(walks: segue.Dataset) -> None:
    model = segue.FirstOrder(steps=2, smoothing=0).fit(walks)
    # a -> b twice, a -> c once, and a -> c twice with one step between.
    assert scores(model, ["a"]) == pytest.approx({"a": 0, "b": 2 / 4, "c": (1 + 2 * 0.5) / 4})


def test_smoothing_adds_popularity(walks: segue.Dataset) -> None:
    model = segue.FirstOrder(steps=1, smoothing=2).fit(walks)
    shares = {"a": 3 / 8, "b": 2 / 8, "c": 3 / 8}
    assert scores(model, ["b"]) == pytest.approx(
        {item: ((2 if item == "c" else 0) + 2 * share) / (2 + 2) for item, share in shares.items()}
    )


def test_what_was_never_followed_by_anything_falls_back_to_popularity(walks: segue.Dataset) -> None:
    model = segue.FirstOrder().fit(walks)
    assert scores(model, ["c"]) == pytest.approx({"a": 3 / 8, "b": 2 / 8, "c": 3 / 8})


def test_no_transition_crosses_from_one_user_to_the_next() -> None:
    rows = [("u1", "a", 1), ("u1", "b", 2), ("u2", "x", 3), ("u2", "y", 4)]
    data = segue.Dataset.from_frames(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    model = segue.FirstOrder(smoothing=0).fit(data)
    answer = model.score(histories=[["b"], ["a"]], items=["x", "y"])
    assert answer["score"].to_list() == [0, 0, 0, 0]


def test_a_planted_order_is_found(data: segue.Dataset, split: segue.Split) -> None:
    def hits(name: str) -> float:
        model = getattr(segue, name)().fit(split.train, split.validation)
        return segue.evaluate(model, split.test, k=3, progress=False)["hit_rate@3"]

    assert hits("FirstOrder") > 2 * hits("Popular")


def test_a_sparse_matrix_survives_being_taken_apart() -> None:
    matrix = sparse.random_array((7, 7), density=0.3, rng=np.random.default_rng(0), format="csr")
    again = sparse_matrix(sparse_arrays(sparse.csr_matrix(matrix)), 7)
    assert (again != matrix).nnz == 0
