from __future__ import annotations

import pytest

from segue.training.schedules import learning_rate_factor


def rates(schedule: str, warmup: int, steps: int) -> list[float]:
    factor = learning_rate_factor(schedule, warmup, steps)  # type: ignore[arg-type]
    return [factor(step) for step in range(steps)]


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_every_schedule_rises_linearly_first(schedule: str) -> None:
    assert rates(schedule, 4, 20)[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_constant_stays() -> None:
    assert set(rates("constant", 4, 20)[4:]) == {1.0}


def test_linear_falls_by_the_same_every_step_towards_the_end() -> None:
    assert rates("linear", 2, 12)[2:] == pytest.approx([1 - step / 10 for step in range(10)])


def test_cosine_is_slow_at_both_ends_and_halfway_in_the_middle() -> None:
    falling = rates("cosine", 0, 100)
    assert falling[50] == pytest.approx(0.5)
    assert falling[0] - falling[5] < 0.01 > falling[95] - falling[99]
    assert falling == sorted(falling, reverse=True)


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_a_decay_has_arrived_after_the_last_step_and_goes_no_further(schedule: str) -> None:
    factor = learning_rate_factor(schedule, 3, 10)  # type: ignore[arg-type]
    assert factor(9) > 0
    assert factor(10) == factor(500) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "linear"])
def test_a_training_shorter_than_its_warm_up_only_rises(schedule: str) -> None:
    rising = rates(schedule, 100, 10)
    assert rising == pytest.approx([(step + 1) / 101 for step in range(10)])
