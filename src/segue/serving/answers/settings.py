"""Settings of the answers, and how much may be asked for at once."""

from __future__ import annotations

from pydantic import Field

from segue.config import Config
from segue.ranking.diversity import POOL
from segue.serving.answers.reading import Unsaid

K, HISTORY, BATCH, TEXT, STEPS = 1_000, 10_000, 1_000, 1_000, 100
"""The most that the interface takes; settings may lower it."""
EXPLAINED = 100
"""Items of a list that are explained at most: the first ones. A reason costs as much as several items."""


class LimitsConfig(Config):
    """How much one request may ask for or bring. What is beyond is answered with 422."""

    k: int = Field(K, ge=1, le=K)
    """Length of a list."""
    history: int = Field(HISTORY, ge=1, le=HISTORY)
    """Events of a history in the body."""
    batch: int = Field(BATCH, ge=1, le=BATCH)
    """Events, or rows of items, in one request."""
    steps: int = Field(STEPS, ge=1, le=STEPS)
    """Items generated one after the other; each costs as much as a recommendation."""
    ahead_hours: float = Field(24.0, ge=0, allow_inf_nan=False)
    """How far the moment of an event may be ahead of the service's clock, where the log has one: a user's newest
    event is their now, so one from the far future would move it for good."""


class AnswersConfig(Config):
    """How questions are answered."""

    unsaid: Unsaid = "now"
    """What a question that names no moment is about, where the log has a clock: the moment it came, or none."""
    diversity_pool: int = Field(POOL, ge=2)
    """Diversity chooses among the best 5 * k, and at least among so many."""
    log_served: bool = True
    """Whether lists are written to the store: rates, shadows and estimates are read from there."""
