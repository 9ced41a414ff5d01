"""A generated shop of 10,000 items that the service is measured on: its log, its catalogue, and a model of it.

People stay in a category for a while, go on to its next item more often than not, and otherwise take what is popular. No
text is read: the service's answers cost the same with it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl

import segue
from benchmarks.results_file import WORK

ITEMS, CATEGORIES, USERS, EVENTS = 10_000, 100, 8_000, 50


def log(seed: int = 0) -> pl.DataFrame:
    """400,000 events of a year."""
    rng = np.random.default_rng(seed)
    inside = ITEMS // CATEGORIES
    category, place = rng.integers(0, CATEGORIES, USERS), rng.integers(0, inside, USERS)
    popular = 1 / np.arange(1, ITEMS + 1)
    any_item = rng.permutation(ITEMS)
    taken = np.empty((USERS, EVENTS), dtype=np.int64)
    for event in range(EVENTS):  # over places in a history, all users at once
        leaves = rng.random(USERS) < 0.1
        category = np.where(leaves, rng.integers(0, CATEGORIES, USERS), category)
        place = (place + rng.choice([1, 1, 1, 2, 5], USERS)) % inside
        strays = rng.random(USERS) < 0.15
        drawn = any_item[rng.choice(ITEMS, USERS, p=popular / popular.sum())]
        taken[:, event] = np.where(strays, drawn, category * inside + place)
    gaps = rng.exponential(4 * 86_400, (USERS, EVENTS)).astype(np.int64) + 1
    stamps = 1_700_000_000 + rng.integers(0, 30 * 86_400, (USERS, 1)) + gaps.cumsum(1)
    action = np.where(rng.random((USERS, EVENTS)) < 0.1, "purchase", "view")
    users = np.repeat(np.arange(USERS), EVENTS)
    return pl.DataFrame(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in taken.ravel()],
            "timestamp": stamps.ravel(),
            "action": action.ravel(),
        }
    ).sort("timestamp", maintain_order=True)


def catalogue(seed: int = 0) -> pl.DataFrame:
    """Titles, a category, a price and whether it is in stock."""
    rng = np.random.default_rng(seed)
    numbers = np.arange(ITEMS)
    return pl.DataFrame(
        {
            "item_id": [f"i{number}" for number in numbers],
            "title": [f"Item {number}, of kind {number // (ITEMS // CATEGORIES)}" for number in numbers],
            "categories": [[f"kind {number // (ITEMS // CATEGORIES)}"] for number in numbers],
            "price": np.round(np.exp(rng.normal(3, 1, ITEMS)), 2),
            "in_stock": rng.random(ITEMS) < 0.9,
        }
    )


def model() -> Path:
    """A transformer trained on the log, made once."""
    path = WORK / "shop"
    if not (path / "manifest.json").exists():
        data = segue.Dataset.from_frames(log(), catalogue())
        split = segue.split.leave_last_out(data)
        trained = segue.SequenceRecommender(text=None, embedding_size=64, max_length=50, epochs=6)
        trained.fit(split.train, validation=split.validation, progress=False)
        trained.save(path, test=split.test)
    return path


def histories(count: int = 200, length: int = 50, seed: int = 1) -> list[list[str]]:
    """Of people who are not in the log the model was trained on."""
    some = log(seed).group_by("user_id", maintain_order=True).agg(pl.col("item_id")).head(count)["item_id"]
    return [items[-length:] for items in some.to_list()]
