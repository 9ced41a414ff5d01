"""A shop whose customers stay with a colour, and small models that read the titles of its goods."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

import segue
from tests.training.runs import FULL

COLOURS, THINGS = ("red", "blue", "green"), ("tea", "pot", "cup", "saw")


def shop() -> segue.Dataset:
    """Everybody stays with a colour; items 0 to 29 are red, blue, green, red, ... and say so."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        mine = 3 * rng.permutation(10)[:6] + user % 3
        rows += [(f"u{user}", int(item), 1_600_000_000 + 60 * (20 * user + n)) for n, item in enumerate(mine)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    titles = [f"{COLOURS[number % 3]} {THINGS[number // 3 % 4]}" for number in range(30)]
    items = pl.DataFrame({"item_id": range(30), "title": titles, "price": [float(n % 7) for n in range(30)]})
    return segue.Dataset.from_frames(events, items)


def reader(language: str, **settings: Any) -> segue.SequenceRecommender:
    chosen = {**FULL, "text": language, "features": [], "epochs": 30, "batch_tokens": 512, "learning_rate": 0.01}
    chosen |= settings
    return segue.SequenceRecommender(**{"text_whiten": False} | chosen if chosen["text"] else chosen)
