"""What each tool of docs/training.md is worth on MovieLens 100K: validation NDCG@10 and seconds per epoch.

One technique at a time on top of a small model (one block that reads items alone), a few epochs, no refit,
leave-last-out. The test events are never looked at. Results are added to ``results/toolkit.json`` one by one, and what
is there is not measured again.
"""

from __future__ import annotations

import json
import time
from statistics import median
from typing import Any

import segue
from benchmarks.results_file import RESULTS, machine

EPOCHS, SEEDS = 8, (0, 1)
SMALL: dict[str, Any] = {"blocks": 1, "time": [], "behaviour": []}
SAMPLED = {"loss": "sampled"}
TECHNIQUES: dict[str, dict[str, Any]] = {
    "plain": {},
    "augment crop": {"augment": ["crop"]},
    "augment mask": {"augment": ["mask"]},
    "augment reorder": {"augment": ["reorder"]},
    "augment reverse": {"augment": ["reverse"]},
    "augment mirror": {"augment": ["mirror"]},
    "augment substitute": {"augment": ["substitute"]},
    "augment insert": {"augment": ["insert"]},
    "adversarial fgm": {"adversarial": "fgm"},
    "contrastive dropout": {"contrastive": "dropout"},
    "contrastive supervised": {"contrastive": "supervised"},
    "contrastive augment": {"contrastive": "augment"},
    "label_smoothing 0.1": {"label_smoothing": 0.1},
    "schedule cosine": {"schedule": "cosine"},
    "schedule linear": {"schedule": "linear"},
    "sampled, mixed": SAMPLED,
    "sampled, in_batch": {**SAMPLED, "negatives_from": "in_batch"},
    "sampled, in_batch_mixed": {**SAMPLED, "negatives_from": "in_batch_mixed"},
    "sampled, hard": {**SAMPLED, "negatives_from": "hard"},
    "adversarial pgd": {"adversarial": "pgd"},
    "weight_decay 0.01": {"weight_decay": 0.01},
    "no averaging": {"average_weights": False},
    "sampled, uniform": {**SAMPLED, "negatives_from": "uniform"},
    "sampled, popular": {**SAMPLED, "negatives_from": "popular"},
}
FILE = RESULTS / "toolkit.json"


def one(split: segue.Split, settings: dict[str, Any], seed: int, epochs: int) -> dict[str, Any]:
    model = segue.SequenceRecommender(seed=seed, refit=False, epochs=epochs, patience=epochs, **SMALL, **settings)
    began = time.process_time()
    model.fit(split.train, split.validation, progress=False, device="cpu", threads=1)
    training = model.report["training"]
    return {
        "settings": settings,
        "seed": seed,
        "epochs_run": len(training["curve"]),
        "best_epoch": training["epochs"],
        "validation": round(training["best_validation"], 4),
        "seconds_per_epoch": round(median(row["seconds"] for row in training["curve"]), 2),
        "cpu_seconds_per_epoch": round((time.process_time() - began) / len(training["curve"]), 2),
    }


def measure(again: bool = False, epochs: int = EPOCHS, seeds: tuple[int, ...] = SEEDS) -> None:
    found: dict[str, Any] = {} if again or not FILE.exists() else json.loads(FILE.read_text())
    runs = found.setdefault("runs", {})
    found.update(log="ml-100k", metric="ndcg@10", epochs=epochs, small=SMALL, machine=machine())
    split = segue.split.leave_last_out(segue.datasets.movielens_100k())
    # What the seed alone changes comes first: it is what every other difference is to be read against.
    asked = [("plain", seed) for seed in seeds] + [(name, seed) for seed in seeds for name in TECHNIQUES]
    for name, seed in asked:
        key = f"{name}, seed {seed}"
        if key in runs:
            continue
        runs[key] = one(split, TECHNIQUES[name], seed, epochs)
        temporary = FILE.with_suffix(".tmp")
        temporary.write_text(json.dumps(found, indent=1) + "\n")
        temporary.replace(FILE)
        print(key, runs[key]["validation"], runs[key]["cpu_seconds_per_epoch"], flush=True)


def rows() -> list[str]:
    """The table of docs/training.md."""
    runs = json.loads(FILE.read_text())["runs"]
    lines = ["| technique | validation NDCG@10, seeds 0, 1 | CPU seconds an epoch | times plain |", "|---|---|---|---|"]
    plain = runs["plain, seed 0"]["cpu_seconds_per_epoch"]
    for name in TECHNIQUES:
        of = [runs[key] for seed in SEEDS if (key := f"{name}, seed {seed}") in runs]
        if of:
            seconds = min(run["cpu_seconds_per_epoch"] for run in of)
            values = ", ".join(f"{run['validation']:.4f}" for run in of)
            lines.append(f"| {name} | {values} | {seconds:.1f} | {seconds / plain:.1f} |")
    return lines
