"""What domain pretraining is worth: nearest text neighbours of the last item, with a model as it came and after each task.

Leave-last-out, full ranking, the test targets of every user; the tasks have seen the training events alone. Each task is a
result of its own, so that an interrupted run goes on with the next; the models stay in ``work/`` and are not made again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch

import segue
from benchmarks.quality import load
from benchmarks.results_file import WORK, measured
from segue.language.keep import ORIGIN
from segue.language.pretraining import PretrainingConfig, pretrain

LOG = "industrial_and_scientific"
METRICS = ("ndcg@10", "hit_rate@10")
TASKS: dict[str, dict[str, Any]] = {
    "behaviour": {"tasks": ["behaviour"]},
    "behaviour-even": {"tasks": ["behaviour"], "log_q": 0.0},
    "contrast": {"tasks": ["contrast"], "epochs": 1},
    "masked": {"tasks": ["masked"], "epochs": 3},
}


def folder(name: str) -> Path:
    return WORK / f"minilm-{name}"


def neighbours(split: segue.Split, model: str, **settings: Any) -> dict[str, Any]:
    fitted = segue.TextNeighbours(text=model, text_max_tokens=32, **settings).fit(split.train, split.validation)
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


def pretrained(name: str, split: segue.Split) -> dict[str, Any]:
    """What ``segue.json`` says of the model of a task; it is made where it is not there."""
    settings = PretrainingConfig(**TASKS[name]).model_dump()
    if (folder(name) / ORIGIN).exists():
        told = dict(json.loads((folder(name) / ORIGIN).read_text()))
        if told["settings"] == settings:
            return told
    return pretrain(split.train, "minilm", folder(name), **settings).document


def one(name: str, data: Path) -> dict[str, Any]:
    split = segue.split.leave_last_out(load(LOG, data))
    told = pretrained(name, split)
    model = str(folder(name))
    return {
        **{key: told[key] for key in ("settings", "seconds", "held_out", "curve")},
        "threads": torch.get_num_threads(),
        "last 1": neighbours(split, model),
        "last 3": neighbours(split, model, last=3),
    }


def sequence(name: str, data: Path) -> dict[str, Any]:
    """The sequence model that reads with it, one seed; ``""`` with the model as it came."""
    split = segue.split.leave_last_out(load(LOG, data))
    began = time.perf_counter()
    model = segue.SequenceRecommender(text=str(folder(name)) if name else "minilm", features=[])
    model.fit(split.train, split.validation)
    seconds = time.perf_counter() - began
    report = segue.evaluate(model, split.test)
    return {
        "seconds": round(seconds, 1),
        "best_validation": model.report["training"]["best_validation"],
        **{metric: report[metric] for metric in METRICS},
        "interval": report.interval("ndcg@10"),
    }


def run(data: Path, again: bool = False, tasks: tuple[str, ...] = tuple(TASKS)) -> None:
    if not (data / LOG).exists():
        return
    results = {"raw": measured("pretraining-raw", lambda: raw(data), again)}
    for name in tasks:
        results[name] = measured(f"pretraining-{name}", lambda name=name: one(name, data), again)
    for name in ("", "behaviour"):
        measured(f"pretraining-sequence-{name or 'raw'}", lambda name=name: sequence(name, data), again)
    for name, result in results.items():
        print(f"{name}: NDCG@10 {result['last 1']['ndcg@10']:.4f}, of the last three {result['last 3']['ndcg@10']:.4f}")
