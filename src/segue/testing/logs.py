"""The logs and histories that the contract asks with: small, made from a seed, in every kind of frame and id."""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest

from segue.data.dataset import Dataset
from segue.data.frames import FrameKind, from_polars

USERS, ITEMS = 40, 25
GENERATED, VERY_LONG = 2_000, 10_000  # generated histories, and events of the longest


def make_log(seed: int = 0, users: int = USERS, items: int = ITEMS) -> pl.DataFrame:
    """A log with the ids ``u0``, ``u1``, ... and ``item 0``, ``item 1``, ...; nobody meets an item twice.

    Users walk along the items from somewhere, with a jump now and then.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(users):
        walk = (int(rng.integers(items)) + np.arange(rng.integers(3, 10))) % items
        jumps = rng.random(len(walk)) < 0.2
        walk[jumps] = rng.integers(0, items, int(jumps.sum()))
        rows += [(f"u{user}", f"item {item}") for item in dict.fromkeys(walk.tolist())]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id"], orient="row")
    return frame.with_columns(pl.Series("timestamp", 1_600_000_000 + 3_600 * np.arange(len(rows))))


def with_behaviour() -> pl.DataFrame:
    """The log with what was done (``view``, ``buy``) and a value that some events lack."""
    rng = np.random.default_rng(1)
    log = make_log()
    actions = rng.choice(["view", "view", "buy"], len(log)).tolist()
    values = [float(value) if value else None for value in rng.integers(0, 6, len(log))]
    return log.with_columns(pl.Series("action", actions), pl.Series("value", values))


def fashion_log(seed: int = 0, users: int = 150, items: int = 40, weeks: int = 20, moving: bool = True) -> pl.DataFrame:
    """A log of ten events a user, in which what people take tells nothing about what they take next.

    Every week has five favourites of its own, which take four events of five; with ``moving=False`` all weeks share
    them, and all-time popularity is all there is to know.
    """
    rng = np.random.default_rng(seed)
    days = rng.uniform(0, 7 * weeks, 10 * users)
    favourites = np.stack([rng.permutation(items)[:5] for _ in range(weeks)])
    week = (days // 7).astype(int) if moving else np.zeros(len(days), dtype=int)
    liked = favourites[week, rng.integers(0, 5, len(days))]
    taken = np.where(rng.random(len(days)) < 0.8, liked, rng.integers(0, items, len(days)))
    names = {"user_id": rng.permutation(len(days)) % users, "item_id": taken}
    stamps = 1_600_000_000 + (days * 86_400).astype(np.int64)
    return pl.DataFrame({**names, "timestamp": stamps}).sort("timestamp")


@cache
def small_data() -> Dataset:
    """The log as a data set whose catalogue has an item that nobody met."""
    log = make_log()
    items = pl.DataFrame({"item_id": [*log["item_id"].unique().sort(), "item nobody met"]})
    return Dataset.from_frames(log, items)


def as_kind(frame: pl.DataFrame, kind: FrameKind) -> Any:
    """The frame as pandas, polars or Arrow; skips the test where that is not installed."""
    if kind != "polars":
        pytest.importorskip({"pandas": "pandas", "arrow": "pyarrow"}[kind])
    return from_polars(frame, kind)


def with_ids(kind: str) -> tuple[list[Any], list[Any], Dataset]:
    """User ids (the last is of nobody in the log) and item ids of a type by their number, and the log with them."""
    log = make_log()
    names: dict[str, list[Any]] = {}
    numbers = {"user_id": range(USERS + 1), "item_id": range(ITEMS)}
    for column, count in numbers.items():
        if kind == "integers":
            names[column] = [7_000_000_000 - number for number in count]
        elif kind == "uuids":
            names[column] = [uuid.UUID(int=(1 << 64) + number) for number in count]
        else:
            names[column] = [f"{'ué🙂'[number % 3]}/{number}" for number in count]
    places = {column: log[column].str.extract(r"(\d+)").cast(pl.Int64).to_list() for column in names}
    columns = {column: [names[column][place] for place in places[column]] for column in names}
    if kind == "uuids":  # only pandas has a column of UUIDs
        frame: Any = pytest.importorskip("pandas").DataFrame({**columns, "timestamp": log["timestamp"].to_list()})
    else:
        frame = log.with_columns(pl.Series(column, values) for column, values in columns.items())
    return names["user_id"], names["item_id"], Dataset.from_frames(frame)


def catalogue() -> list[Any]:
    """Every item of the small catalogue."""
    return small_data().item_vocabulary.ids.to_list()


def history(user: str) -> list[Any]:
    """What a user of the log met, oldest first."""
    return make_log().filter(pl.col("user_id") == user)["item_id"].to_list()


def generated() -> list[list[str]]:
    """Histories of all kinds from a seed: empty, unknown, ordinary, repeated, and very long."""
    rng = np.random.default_rng(0)
    names = np.array([*catalogue(), "unknown", "", "item", "ité🙂"])
    histories: list[list[str]] = []
    for number in range(GENERATED):
        length = VERY_LONG if number % 400 == 7 else int(rng.integers(0, 40)) if number % 5 else 0
        few = rng.choice(names, size=int(rng.integers(1, len(names))), replace=False)
        histories.append(rng.choice(few, size=length).tolist())
    return histories
