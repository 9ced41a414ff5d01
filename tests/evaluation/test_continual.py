"""Continual learning measured: tasks in time, nothing held out is ever trained on."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import SplitEmpty
from segue.evaluation.continual import continual, tasks
from tests.training.runs import FULL


@pytest.fixture(scope="module")
def log() -> segue.Dataset:
    """A hundred people, each there for a day or two; what follows what changes half way."""
    rng = np.random.default_rng(0)
    rows: list[tuple[Any, ...]] = []
    for user in range(100):
        item, begin = int(rng.integers(20)), 1_600_000_000 + 3_600 * user
        for place in range(6):
            rows.append((user, item, begin + 60 * place))
            item = (item + (1 if user < 50 else 7)) % 20
    return segue.Dataset.from_frames(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))


def test_slices_follow_each_other_and_hold_their_tests_out(log: segue.Dataset) -> None:
    parts = tasks(log, 4)
    learnt = [set(part.learnt.events["row"]) for part in parts]
    held = [set(part.test.targets.events["row"]) for part in parts]
    assert sum(map(len, learnt)) + sum(map(len, held)) == len(set.union(*learnt, *held)) == len(log)
    for before, after in itertools.pairwise(parts):
        assert before.learnt.events["timestamp"].max() <= after.learnt.events["timestamp"].min()  # type: ignore[operator]
    for number, part in enumerate(parts):
        assert set(part.test.context.events["row"]) == set.union(*learnt[: number + 1])
    assert not set.union(*learnt) & set.union(*held)


def test_a_slice_with_nobody_to_ask_is_refused() -> None:
    single = pl.DataFrame({"user_id": range(9), "item_id": [1] * 9, "timestamp": range(9)})
    with pytest.raises(SplitEmpty, match="slice 1"):
        tasks(segue.Dataset.from_frames(single), 3)


def test_the_table_tells_old_from_new_for_every_way(log: segue.Dataset) -> None:
    ways = {"alone": {"forgetting": "none", "replay": 0.0, "epochs": 6, "learning_rate": 0.02}, "both": {"epochs": 6}}
    settings = {**FULL, "text": None, "time": [], "epochs": 6, "learning_rate": 0.01}
    table = continual(log, 3, settings, ways, progress=False)
    assert table["way"].to_list() == ["nothing", "alone", "both", "from scratch"] * 2
    assert table["slice"].to_list() == [2] * 4 + [3] * 4
    last = {row["way"]: row for row in table.filter(pl.col("slice") == 3).iter_rows(named=True)}
    assert last["alone"]["new"] > last["nothing"]["new"] + 0.1, "what changed is learnt"
    assert last["nothing"]["seconds"] < 0.1 < last["from scratch"]["seconds"]
    first = {row["way"]: row for row in table.filter(pl.col("slice") == 2).iter_rows(named=True)}
    assert last["nothing"]["old"] == pytest.approx((first["nothing"]["old"] + first["nothing"]["new"]) / 2), (
        "it stays what it was"
    )
