"""Logs whose labels depend on the order of two items that everybody has."""

from __future__ import annotations

import numpy as np
import polars as pl

FIRST, DAY = 1_600_000_000, 86_400


def ordered_log(users: int = 160, seed: int = 0) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events, and labels: ``yes`` where ``a`` comes before ``b``. Everybody has both once, among noise."""
    rng = np.random.default_rng(seed)
    rows, labels = [], []
    for user in range(users):
        items = [f"x{number}" for number in rng.integers(0, 12, rng.integers(4, 12))]
        yes = bool(rng.random() < 0.5)
        early, late = sorted(rng.choice(len(items) + 1, 2, replace=False))
        first, second = ("a", "b") if yes else ("b", "a")
        items.insert(early, first)
        items.insert(late + 1, second)
        for day, item in enumerate(items):
            rows.append((f"u{user}", item, FIRST + day * DAY + int(rng.integers(0, 3_600)), "view"))
        labels.append((f"u{user}", "yes" if yes else "no"))
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "action"], orient="row")
    return events, pl.DataFrame(labels, schema=["user_id", "label"], orient="row")


def shop_log(users: int = 80, seed: int = 0) -> pl.DataFrame:
    """100 days; who views the printer and then ink in the first 60 buys in the last 30, half of the others leave."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        days = np.sort(rng.uniform(1, 60, 5))
        buyer = user % 2 == 0
        items = ["paper", "printer", "pen", "ink", "paper"] if buyer else ["paper", "ink", "pen", "printer", "paper"]
        rows += [(f"u{user}", item, FIRST + int(day * DAY), "view") for item, day in zip(items, days, strict=True)]
        if buyer:
            rows.append((f"u{user}", "ink", FIRST + int(rng.uniform(71, 99) * DAY), "purchase"))
        elif user % 4 == 1:
            rows.append((f"u{user}", "pen", FIRST + int(rng.uniform(71, 99) * DAY), "view"))
    rows.append(("last", "pen", FIRST + 100 * DAY, "view"))
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "action"], orient="row")
