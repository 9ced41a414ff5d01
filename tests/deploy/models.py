"""Small trained models of every kind, for what is made of them."""

from __future__ import annotations

from functools import cache
from typing import Any

import polars as pl

import segue
from segue.testing.logs import with_behaviour

KINDS = pl.DataFrame({"item_id": [f"item {n}" for n in range(27)], "brand": [f"brand {n % 4}" for n in range(27)]})


@cache
def split() -> segue.Split:
    """Events with actions and values, and a catalogue with brands."""
    return segue.split.leave_last_out(segue.Dataset.from_frames(with_behaviour(), KINDS))


@cache
def trained(encoder: str = "transformer", **settings: Any) -> segue.SequenceRecommender:
    """One that reads all that a log can say; nobody may change it."""
    chosen = {"embedding_size": 8, "blocks": 2, "epochs": 2, "max_length": 8, "encoder": encoder, **settings}
    return segue.SequenceRecommender(**chosen).fit(split().train, split().validation, progress=False)
