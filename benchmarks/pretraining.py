"""What domain pretraining is worth: nearest text neighbours of the last item, with a model as it came and after each task.

Leave-last-out, full ranking, the test targets of every user; the tasks have seen the training events alone. Each task is a
result of its own, so that an interrupted run goes on with the next. The models stay in ``work/``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch

import segue
from benchmarks.quality import load
from benchmarks.results_file import WORK, measured
from segue.language.pretraining import pretrain

LOG = "industrial_and_scientific"
METRICS = ("ndcg@10", "hit_rate@10")
TASKS: dict[str, dict[str, Any]] = {
    "behaviour": {"tasks": ["behaviour"]},
    "contrast": {"tasks": ["contrast"], "epochs": 1},
    "masked": {"tasks": ["masked"], "epochs": 1},
    "masked-behaviour": {"tasks": ["masked", "behaviour"]},
}


def folder(name: str) -> Path:
    return WORK / f"minilm-{name}"


def neighbours(split: segue.Split, model: str, **settings: Any) -> dict[str, Any]:
    fitted = segue.TextNeighbours(text=model, **settings).fit(split.train, split.validation)
    report = segue.evaluate(fitted, split.test)
    figures = {metric: report[metric] for metric in METRICS}
    return {**figures, "interval": report.interval("ndcg@10"), "exclude_seen": report.protocol["exclude_seen"]}


def raw(data: Path) -> dict[str, Any]:
    split = segue.split.leave_last_out(load(LOG, data))
    found = {"last 1": neighbours(split, "minilm"), "last 3": neighbours(split, "minilm", last=3)}
    for name in ("Popular", "FirstOrder", "ItemNeighbours"):
        report = segue.evaluate(getattr(segue, name)().fit(split.train, split.validation), split.test)
        found[name] = {metric: report[metric] for metric in METRICS}
    return found


def one(name: str, data: Path) -> dict[str, Any]:
    split = segue.split.leave_last_out(load(LOG, data))
    began = time.perf_counter()
    learnt = pretrain(split.train, "minilm", folder(name), **TASKS[name])
    seconds = time.perf_counter() - began
    model = str(folder(name))
    return {
        "settings": learnt.document["settings"],
        "seconds": round(seconds, 1),
        "threads": torch.get_num_threads(),
        "held_out": learnt.document["held_out"],
        "curve": learnt.document["curve"],
        "last 1": neighbours(split, model),
        "last 3": neighbours(split, model, last=3),
    }


def run(data: Path, again: bool = False, tasks: tuple[str, ...] = tuple(TASKS)) -> None:
    if not (data / LOG).exists():
        return
    results = {"raw": measured("pretraining-raw", lambda: raw(data), again)}
    for name in tasks:
        results[name] = measured(f"pretraining-{name}", lambda name=name: one(name, data), again)
    for name, result in results.items():
        print(f"{name}: NDCG@10 {result['last 1']['ndcg@10']:.4f}, of the last three {result['last 3']['ndcg@10']:.4f}")
