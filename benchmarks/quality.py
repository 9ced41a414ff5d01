"""Quality with default settings (where ``SETTINGS`` has no others): leave-last-out, full ranking, several seeds.

Catalogues are read with their attributes. Results with ``-ids`` in their name were measured with ids alone, those with
``-search`` without a refit on the validation events.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import segue
from benchmarks.results_file import WORK, measured
from segue.datasets.catalogue import READY

BASELINES = ("Popular", "RecentlyPopular", "FirstOrder", "ItemNeighbours", "EASE")
SETTINGS: dict[str, dict[str, Any]] = {"ml-1m": {"embedding_size": 128, "heads": 4, "precision": "bf16"}}
METRICS = ("ndcg@10", "hit_rate@10", "ndcg@5", "hit_rate@5", "coverage@10")


def load(name: str, data: Path) -> segue.Dataset:
    if name in READY:
        return READY[name]()
    return segue.Dataset.from_files(data / name / "events.parquet", data / name / "items.parquet")


def one_seed(name: str, data: Path, seed: int, **settings: Any) -> dict[str, Any]:
    split = segue.split.leave_last_out(load(name, data))
    began = time.perf_counter()
    checkpoint = WORK / f"{name}-{seed}"
    model = segue.SequenceRecommender(seed=seed, **settings)
    try:
        model.fit(split.train, split.validation, checkpoint=checkpoint, resume=True)
    except segue.errors.ResumeRefused:  # the settings have changed since it was interrupted
        model.fit(split.train, split.validation, checkpoint=checkpoint)
    seconds = time.perf_counter() - began
    report = segue.evaluate(model, split.test)
    silent = segue.evaluate(model, split.test, tell_moment=False)
    training = model.report["training"]
    return {
        "log": name,
        "seed": seed,
        "settings": settings,
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "epochs": training["epochs"],
        "epochs_run": len(training["curve"]),
        "best_validation": training["best_validation"],
        "exclude_seen": report.protocol["exclude_seen"],
        "metrics": {metric: report[metric] for metric in METRICS},
        "interval": report.interval("ndcg@10"),
        "moment_not_told": {metric: silent[metric] for metric in METRICS[:2]},
        "trend": model.report.get("trend"),
        "features": model.report["features"],
        "plan": training["plan"],
    }


def baselines(name: str, data: Path) -> dict[str, Any]:
    split = segue.split.leave_last_out(load(name, data))
    found: dict[str, Any] = {"log": name}
    for each in BASELINES:
        began = time.perf_counter()
        model = getattr(segue, each)().fit(split.train, split.validation)
        report = segue.evaluate(model, split.test)
        found[each] = {metric: report[metric] for metric in METRICS} | {
            "seconds": round(time.perf_counter() - began, 1)
        }
    return found


def run(name: str, data: Path, seeds: tuple[int, ...]) -> None:
    measured(f"baselines-{name}", lambda: baselines(name, data))
    values = [
        measured(f"quality-{name}-seed{seed}", lambda seed=seed: one_seed(name, data, seed, **SETTINGS.get(name, {})))
        for seed in seeds
    ]
    if name in READY:  # with a clock and peers that are not refitted: the same search, without its refit
        for seed in seeds:
            settings = {**SETTINGS.get(name, {}), "refit": False}
            measured(f"quality-{name}-search-seed{seed}", partial(one_seed, name, data, seed, **settings))
    for metric in ("ndcg@10", "hit_rate@10"):
        each = np.array([value["metrics"][metric] for value in values])
        print(
            f"{name} {metric}: mean {each.mean():.4f} over {len(each)} seeds, from {each.min():.4f} to {each.max():.4f}"
        )
