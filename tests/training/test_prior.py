from __future__ import annotations

import numpy as np
from scipy import sparse

from segue.data.histories import Histories
from segue.training.held import Held
from segue.training.prior import PriorWeights, fit_prior

CATALOGUE, PEOPLE = 30, 300


def rows(items: np.ndarray) -> Histories:
    return Histories(np.arange(len(items) + 1), items)


def held_out(follows: float, seed: int = 0) -> Held:
    """People whose next item is the one after their last, for a share ``follows`` of them, and anything for others."""
    rng = np.random.default_rng(seed)
    last = rng.integers(1, CATALOGUE + 1, PEOPLE)
    after = last % CATALOGUE + 1
    targets = np.where(rng.random(PEOPLE) < follows, after, rng.integers(1, CATALOGUE + 1, PEOPLE))
    people = np.arange(1, PEOPLE + 1)
    return Held(rows(last), rows(last), rows(targets), people, CATALOGUE, False, 50)


def after_last(histories: Histories) -> sparse.csr_matrix:
    """Habits that know the ring."""
    last = histories.items[histories.offsets[1:] - 1]
    values = np.full(len(last), 0.5, dtype=np.float32)
    return sparse.csr_matrix((values, last % CATALOGUE + 1, np.arange(len(last) + 1)), shape=(len(last), CATALOGUE + 1))


def noise(histories: Histories) -> np.ndarray:
    """A model that knows nothing."""
    last = histories.items[histories.offsets[1:] - 1]
    return np.stack([np.random.default_rng(item).normal(size=CATALOGUE + 1) for item in last]).astype(np.float32)


def test_habits_that_come_true_are_used_and_raise_what_they_speak_for() -> None:
    weights, report = fit_prior(held_out(0.8), noise, after_last)
    assert weights is not None
    assert report["used"]
    assert report["ndcg@10"]["with"] > report["ndcg@10"]["without"] + 0.3
    one = rows(np.array([7]))
    scores = weights.add(noise(one), after_last(one))
    assert scores[0, 1:].argmax() + 1 == 8


def test_habits_that_mean_nothing_are_left_out() -> None:
    weights, report = fit_prior(held_out(0.0), noise, after_last)
    assert weights is None
    assert not report["used"]


def test_a_model_that_knows_better_is_not_disturbed() -> None:
    held = held_out(1.0)

    def knows(histories: Histories) -> np.ndarray:
        return 20 * np.asarray(after_last(histories).toarray())

    def misleads(histories: Histories) -> sparse.csr_matrix:
        return sparse.csr_matrix(np.roll(after_last(histories).toarray(), 3, axis=1))

    assert fit_prior(held, knows, misleads)[0] is None


def test_habits_that_say_nothing_are_reported_as_such() -> None:
    silent = lambda histories: sparse.csr_matrix((len(histories), CATALOGUE + 1))  # noqa: E731
    weights, report = fit_prior(held_out(0.8), noise, silent)
    assert weights is None
    assert "nothing" in report["because"]


def test_where_no_habit_speaks_only_the_scale_of_the_scores_changes() -> None:
    weights = PriorWeights(np.array([0.1, 0.2, 0.3]), 2.0, np.array([1.0, -0.5, 0.25]))
    said = sparse.csr_matrix(np.array([[0, 0.4, 0], [0, 0, 0]], dtype=np.float32))
    scores = np.ones((2, 3), dtype=np.float32)
    expected = 2 * np.ones((2, 3))
    expected[0, 1] += np.log1p(0.4 / weights.levels) @ weights.weights
    np.testing.assert_allclose(weights.add(scores, said), expected, rtol=1e-6)


def test_weights_survive_json() -> None:
    weights = PriorWeights(np.array([0.1, 0.2]), 1.5, np.array([0.3, -0.1]))
    again = PriorWeights.from_document(weights.document())
    assert again.document() == weights.document()
