"""Pretrained on one log, asked about another: MovieLens 1M to 100K, and one department of a shop to another.

Zero-shot methods see the target's catalogue and, of each person asked, the history at the moment of the request. What
else each of them sees stands beside its figures. The departments are cut out of Industrial and Scientific by k-means
over the vectors of the items' text, since it is the only log with titles here whose catalogue can be divided.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.cluster.vq import kmeans2

import segue
from benchmarks.cold import TEXT, outward
from benchmarks.quality import load
from benchmarks.results_file import WORK

FEW = 64


def movies(data: Path) -> dict[str, Any]:
    """The source learns with nearly all ids hidden, since none of them comes along; chosen on the target's validation."""
    settings = {**TEXT, "epochs": 8, "refit": False, "max_length": 100, "precision": "bf16", "id_dropout": 0.99}
    return crossed("ml-1m", load("ml-1m", data), segue.datasets.movielens_100k(), settings)


def departments(data: Path) -> dict[str, Any]:
    whole = load("industrial_and_scientific", data)
    labels = clusters(whole, 2)
    largest = int(np.bincount(labels[1:]).argmax())
    parts = [department(whole, (labels == largest) & (np.arange(len(labels)) > 0))]
    parts.append(department(whole, (labels != largest) & (np.arange(len(labels)) > 0)))
    found = crossed("department", parts[0], parts[1], TEXT)
    return found | {"items": [len(part.item_vocabulary) for part in parts], "events": [len(part) for part in parts]}


def clusters(data: segue.Dataset, count: int) -> np.ndarray:
    """(catalogue + 1,) which cluster each item's text is in; -1 for padding."""
    vectors = segue.TextNeighbours(**TEXT).fit(data, progress=False)._vectors[1:].astype(np.float64)
    _, labels = kmeans2(vectors, count, minit="++", seed=0)
    return np.concatenate([[-1], labels])


def department(data: segue.Dataset, items: np.ndarray) -> segue.Dataset:
    """The events on some items and their rows of the catalogue, as a log of its own."""
    inside = data.where(pl.Series(items[data.events["item"].to_numpy()]))
    names = data.item_vocabulary.decode(np.flatnonzero(items))
    assert data.items is not None
    return segue.Dataset.from_frames(outward(inside), data.items.filter(pl.col("item_id").is_in(names.implode())))


def crossed(name: str, source: segue.Dataset, target: segue.Dataset, settings: dict[str, Any]) -> dict[str, Any]:
    place = WORK / f"pretrained-{name}"
    if (place / "manifest.json").exists():
        model = segue.load(place)
    else:
        began = time.perf_counter()
        split = segue.split.leave_last_out(source)
        model = segue.SequenceRecommender(**settings).fit(split.train, split.validation, progress=False)
        model.report["seconds"] = round(time.perf_counter() - began, 1)
        model.save(place)
    assert isinstance(model, segue.SequenceRecommender)
    split = segue.split.leave_last_out(target)
    context = split.test.context
    few = split.train.where(pl.col("user").is_in(some(split, FEW)))
    zero = model.transfer(context, progress=False)
    histories_alone = model.transfer(context.where(pl.lit(False)), progress=False)
    histories_alone.trend = None
    found: dict[str, Any] = {"source": name, "source_events": len(source), "target_events": len(target)}
    found |= {"seconds_of_pretraining": model.report.get("seconds")}

    def tell(label: str, sees: str, asked: segue.Recommender) -> None:
        report = segue.evaluate(asked, split.test, progress=False)
        found[label] = {"ndcg@10": report["ndcg@10"], "interval": report.interval("ndcg@10"), "sees": sees}
        print(label, found[label], flush=True)

    everything = "all events of the target before the test"
    tell("zero-shot", "catalogue and the history asked about, no other event", histories_alone)
    if zero.trend is not None:
        tell("zero-shot with counts", f"{everything}, as counts per item; nothing is trained on them", zero)
    tell("popular", everything, segue.Popular().fit(context))
    tell("text neighbours", "catalogue and the history asked about", segue.TextNeighbours(**TEXT).fit(context))
    own = {name: value for name, value in settings.items() if name in TEXT}
    scratch = segue.SequenceRecommender(**own).fit(few, progress=False)
    tell(f"from scratch on {FEW} users", f"events of {FEW} people, and the history asked about", scratch)
    begun = segue.SequenceRecommender(**own).fit(few, init_from=model, progress=False)
    tell(f"pretrained, then {FEW} users", f"events of {FEW} people, and the history asked about", begun)
    return found


def some(split: segue.Split, count: int) -> list[int]:
    """People with something to learn from, drawn by chance."""
    lengths = split.train.histories.lengths
    return np.random.default_rng(0).choice(np.flatnonzero(lengths > 1), count, replace=False).tolist()
