"""Cold items: a fifth of the catalogue held out of training, ranked among all items and among cold ones.

With their text in the catalogue from the start, and with the items added to the trained model by ``add_items``.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import segue
from benchmarks.quality import load
from benchmarks.results_file import measured

TEXT = {"text": "minilm", "text_max_tokens": 32}
SAME: dict[str, Any] = {"embedding_size": 128, "features": []}
SEEDS = (0, 1, 2)  # which items are cold: a few popular ones decide much of a single draw


def cold_items(data: Path, log: str = "industrial_and_scientific", seed: int = 0) -> dict[str, Any]:
    split = segue.split.cold_items(load(log, data), share=0.2, seed=seed)
    neighbours = segue.TextNeighbours(**TEXT).fit(split.train, split.validation, progress=False)
    found: dict[str, Any] = {"log": log, "seed": seed, "cold_items": int(split.test.cold.sum())}
    found["text_neighbours"] = slices(neighbours, split.test)
    ways: dict[str, dict[str, Any]] = {"ids": {"text": None}, "text": TEXT}
    for name, settings in ways.items():
        began = time.perf_counter()
        model = segue.SequenceRecommender(seed=seed, **SAME, **settings).fit(
            split.train, split.validation, progress=False
        )
        found[name] = slices(model, split.test) | {"seconds": round(time.perf_counter() - began, 1)}
        print(name, found[name], flush=True)
    if not seed:  # once: it trains another model
        found["text_added_later"] = added_later(split, seed)
    cold = {name: found[name]["cold targets among all items"] for name in ("text", "text_added_later") if name in found}
    base = found["text_neighbours"]["cold targets among all items"]
    found["times_text_neighbours"] = {name: value / base for name, value in cold.items()}
    found["warm_beside_ids"] = found["text"]["warm targets"] / found["ids"]["warm targets"] - 1
    return found


def run(data: Path, again: bool = False) -> None:
    """One result per draw of the cold items."""
    for seed in SEEDS:

        def measure(seed: int = seed) -> dict[str, Any]:
            return cold_items(data, seed=seed)

        measured(f"cold-items-seed{seed}", measure, again)


def slices(model: segue.Recommender, test: segue.Holdout) -> dict[str, Any]:
    report = segue.evaluate(model, test, progress=False)
    parts = {row["part"]: row["ndcg@10"] for row in report.slices if row["slice"] == "cold items"}
    return {"ndcg@10": report["ndcg@10"], **parts}


def added_later(split: segue.Split, seed: int) -> dict[str, Any]:
    """The cold items are in no catalogue while the model is trained; then they are added."""
    items, words = split.train.items, split.train.item_vocabulary
    assert items is not None
    assert split.validation is not None
    cold = words.decode(np.flatnonzero(split.test.cold)).implode()
    warm = segue.Dataset.from_frames(outward(split.validation.all), items.filter(~pl.col("item_id").is_in(cold)))
    inner = segue.split.leave_last_out(warm)
    later = segue.Holdout(inner.test.context, inner.test.targets)
    model = segue.SequenceRecommender(seed=seed, **SAME, **TEXT).fit(later.context, later, progress=False)
    began = time.perf_counter()
    model.add_items(items.filter(pl.col("item_id").is_in(cold)))
    seconds = time.perf_counter() - began
    return slices(model, in_words_of(model, split.test)) | {"seconds_to_add": round(seconds, 1)}


def outward(data: segue.Dataset) -> pl.DataFrame:
    """The events of a data set with external ids."""
    events = data.events
    return events.select(
        data.user_vocabulary.decode(events["user"].to_numpy()).alias("user_id"),
        data.item_vocabulary.decode(events["item"].to_numpy()).alias("item_id"),
        pl.exclude("user", "item", "row"),
    )


def in_words_of(model: segue.Recommender, test: segue.Holdout) -> segue.Holdout:
    """A test in the codes of a recommender that knows its items by others."""

    def part(data: segue.Dataset) -> segue.Dataset:
        codes = model.item_vocabulary.encode(data.item_vocabulary.decode(data.events["item"].to_numpy()))
        events = data.events.with_columns(pl.Series("item", codes, dtype=pl.UInt32))
        return replace(data, events=events, item_vocabulary=model.item_vocabulary, items=model.items)

    return segue.Holdout(part(test.context), part(test.targets))
