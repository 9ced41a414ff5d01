"""A log in which one item leads to the next on a ring, and everybody comes back all the time."""

from __future__ import annotations

import numpy as np
import polars as pl

DAY = 86_400
ITEMS = 40


def ring(users: int = 120, events: int = 10, seed: int = 0, step: int = 1) -> pl.DataFrame:
    """``user_id``, ``item_id`` (text), ``timestamp`` (seconds): a visit a day; four of five take the next item."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        item = int(rng.integers(ITEMS))
        for day in range(events):
            rows.append((f"u{user}", f"i{item}", 1_600_000_000 + day * DAY + int(rng.integers(DAY // 2))))
            item = (item + step) % ITEMS if rng.random() < 0.8 else int(rng.integers(ITEMS))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").sort("timestamp")


def as_stored(events: pl.DataFrame) -> pl.DataFrame:
    """As a store gives events: ids as text, microseconds, numbers, actions and values that may be absent."""
    return events.with_columns(
        pl.col("user_id", "item_id").cast(pl.String),
        pl.col("timestamp") * 1_000_000,
        action=pl.lit(None, dtype=pl.String),
        value=pl.lit(None, dtype=pl.Float64),
        seq=pl.int_range(1, pl.len() + 1),
    )


def misleading(users: int = 400, events: int = 6) -> pl.DataFrame:
    """Other people who go round the ring the other way, as many of them as it takes to be believed."""
    return ring(users, events, seed=9, step=-1).with_columns(
        user_id=pl.lit("x") + pl.col("user_id"), timestamp=pl.col("timestamp") + DAY // 2
    )
