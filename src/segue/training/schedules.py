"""The learning rate over the steps of a training: a linear warm-up, then constant, cosine or linear."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal

Schedule = Literal["constant", "cosine", "linear"]


def learning_rate_factor(schedule: Schedule, warmup: int, steps: int) -> Callable[[int], float]:
    """Step number (from 0) to a factor on the learning rate.

    Args:
        warmup: steps over which the rate rises linearly.
        steps: after which a decay has arrived at 0; those of all epochs of the plan, also where the training ends
            earlier, so that a refit goes down the curve that the search went down.
    """

    def factor(step: int) -> float:
        rising = min(1.0, (step + 1) / (warmup + 1))
        if schedule == "constant" or step < warmup:
            return rising
        done = min(1.0, (step - warmup) / max(1, steps - warmup))
        return 0.5 * (1 + math.cos(math.pi * done)) if schedule == "cosine" else 1 - done

    return factor
