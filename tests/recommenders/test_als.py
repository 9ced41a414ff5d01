from __future__ import annotations

import sys

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import ExtraMissing
from segue.recommenders.neighbours import seen_matrix
from segue.testing import RecommenderContract


class TestALS(RecommenderContract):
    recommender = staticmethod(lambda: segue.ALS(embedding_size=8, epochs=3))

    @pytest.fixture(autouse=True)
    def _needs_implicit(self) -> None:
        pytest.importorskip("implicit")


def test_without_implicit_the_error_says_what_to_install(data: segue.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("implicit", "implicit.cpu", "implicit.cpu.als"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ExtraMissing, match=r"pip install 'segue\[als\]'"):
        segue.ALS().fit(data)


def test_a_history_is_folded_in_by_the_closed_form(data: segue.Dataset) -> None:
    pytest.importorskip("implicit")
    model = segue.ALS(embedding_size=4, epochs=2, alpha=3.0, regularisation=0.1).fit(data)
    factors = model._factors.astype(np.float64)
    history = data.item_vocabulary.encode(["i1", "i2"])
    # Least squares over the whole catalogue: confidence alpha and preference 1 on the history, 1 and 0 elsewhere.
    confidence = np.ones(len(factors))
    confidence[history] = 3.0
    preference = np.zeros(len(factors))
    preference[history] = 1
    left = (factors * confidence[:, None]).T @ factors + 0.1 * np.eye(4)
    user = np.linalg.solve(left, factors.T @ (confidence * preference))
    items = data.item_vocabulary.ids.to_list()
    answer = model.score(histories=[["i1", "i2"]], items=items)["score"].to_numpy()
    np.testing.assert_allclose(answer, factors[1:] @ user, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 20.0])
def test_users_are_folded_in_with_the_confidence_that_the_library_trains_with(alpha: float) -> None:
    als = pytest.importorskip("implicit.cpu.als")
    rng = np.random.default_rng(0)
    rows = [(f"u{user:03d}", f"i{item:02d}") for user in range(120) for item in rng.choice(40, 8, replace=False)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row").with_row_index("timestamp", 1)
    data = segue.Dataset.from_frames(log)
    model = segue.ALS(embedding_size=8, epochs=10, alpha=alpha).fit(data)
    learner = als.AlternatingLeastSquares(
        8, regularization=0.05, alpha=alpha, iterations=10, random_state=0, num_threads=1
    )
    seen = seen_matrix(data.histories, 41)[1:]
    learner.fit(seen, show_progress=False)
    users = np.arange(120)
    theirs, _ = learner.recommend(users, seen, N=5, recalculate_user=True)
    ours, _ = model.recommend_codes(data.histories.take(users + 1), 5, exclude_seen=True)
    assert [set(row) for row in ours] == [set(row) for row in theirs]


def test_another_seed_gives_other_factors(data: segue.Dataset) -> None:
    pytest.importorskip("implicit")
    scores = [
        segue.ALS(embedding_size=4, epochs=2, seed=seed).fit(data).score(["u1"], items=["i1", "i2"])["score"].to_list()
        for seed in (0, 0, 1)
    ]
    assert scores[0] == scores[1] != scores[2]
