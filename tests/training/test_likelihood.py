from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime
from scipy.special import logsumexp

from segue.training.likelihood import Choices, log_likelihood, maximise

PARAMETERS = 5


@pytest.fixture(scope="module")
def choices() -> Choices:
    """Twelve requests in four groups over nine columns; the last column only may be a target."""
    rng = np.random.default_rng(0)
    barred = np.array([[0, 1], [0, 2], [7, 3]])
    targets = np.stack([np.repeat(np.arange(12), 3), rng.choice([0, 4, 5, 6, 7, 8], 36)], axis=1)
    return Choices(
        rng.normal(size=(12, 9)).astype(np.float32),
        rng.normal(size=12),
        rng.normal(size=(4, 9, 3)).astype(np.float32),
        rng.permutation(12) % 4,
        np.array([0, 0, 0, 0, 0, 0, 1.5, 1.5, -np.inf]),
        barred,
        targets,
    )


def by_hand(choices: Choices, theta: np.ndarray) -> float:
    total = 0.0
    for request, column in choices.targets:
        scores = (theta[0] + theta[1] * choices.traits[request]) * choices.given[request]
        scores = scores + choices.features[choices.groups[request]] @ theta[2:]
        open_to = np.ones(len(scores), dtype=bool)
        open_to[choices.barred[choices.barred[:, 0] == request, 1]] = False
        total += scores[column] - logsumexp((scores + choices.offsets)[open_to])
    return float(total)


everyone = np.ones(12, dtype=bool)
theta = np.array([0.7, -0.3, 0.5, 1.1, -0.4])


def test_the_likelihood_is_that_of_the_definition(choices: Choices) -> None:
    assert log_likelihood(choices, theta, everyone)[0] == pytest.approx(by_hand(choices, theta), rel=1e-6)


def test_gradient_and_hessian_are_its_derivatives(choices: Choices) -> None:
    _, gradient, hessian = log_likelihood(choices, theta, everyone)
    slope = approx_fprime(theta, lambda at: log_likelihood(choices, at, everyone)[0], 1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-3, atol=1e-3)
    for row in range(PARAMETERS):
        bent = approx_fprime(theta, lambda at, row=row: log_likelihood(choices, at, everyone)[1][row], 1e-6)
        np.testing.assert_allclose(hessian[row], bent, rtol=1e-3, atol=1e-3)


def test_requests_left_out_do_not_count(choices: Choices) -> None:
    half = np.arange(12) < 6
    parts = [log_likelihood(choices, theta, each)[0] for each in (half, ~half)]
    assert sum(parts) == pytest.approx(log_likelihood(choices, theta, everyone)[0])
    assert log_likelihood(choices, theta, ~everyone)[0] == 0


def test_the_maximum_is_better_than_the_start_and_flat(choices: Choices) -> None:
    start, free = np.array([1.0, 0, 0, 0, 0]), np.ones(PARAMETERS, dtype=bool)
    found = maximise(choices, everyone, start, free, pull=1e-3)
    value, gradient, _ = log_likelihood(choices, found, everyone)
    assert value > log_likelihood(choices, start, everyone)[0]
    assert np.abs(gradient).max() < 0.1


def test_a_strong_pull_keeps_the_start_and_what_is_not_free_stays(choices: Choices) -> None:
    start = np.array([1.0, 0, 0, 0, 0])
    np.testing.assert_allclose(maximise(choices, everyone, start, start == 0, pull=1e9), start, atol=1e-4)
    held = maximise(choices, everyone, start, start == 0, pull=1.0)
    assert held[0] == 1
    assert (held[1:] != 0).all()


def test_the_pull_does_not_depend_on_how_a_column_is_scaled(choices: Choices) -> None:
    start, free = np.array([1.0, 0, 0, 0, 0]), np.ones(PARAMETERS, dtype=bool)
    other = replace(choices, features=choices.features * np.array([10, 1, 1], dtype=np.float32))
    found, scaled = (maximise(each, everyone, start, free, pull=5.0) for each in (choices, other))
    np.testing.assert_allclose(scaled * [1, 1, 10, 1, 1], found, rtol=1e-3, atol=1e-5)


def test_a_column_that_never_varies_stays_where_it_is(choices: Choices) -> None:
    flat = replace(choices, features=choices.features * np.array([0, 1, 1], dtype=np.float32))
    found = maximise(flat, everyone, np.array([1.0, 0, 0, 0, 0]), np.ones(PARAMETERS, dtype=bool), pull=1.0)
    assert found[2] == 0
    assert np.isfinite(found).all()
