"""What item text adds: ids alone, and text beside ids by the same encoder, leave-last-out on Industrial, three seeds.

Each fit is a result of its own (``item-text-NAME-seedN``). ``shop`` reads text by a model pretrained on the behaviour
of the training events (``segue pretrain``).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import segue
from benchmarks import pretraining
from benchmarks.quality import load
from benchmarks.results_file import measured

LOG = "industrial_and_scientific"
SEEDS = (0, 1, 2)
SAME: dict[str, Any] = {"embedding_size": 128, "features": []}
TEXT: dict[str, Any] = {"text": "minilm", "text_max_tokens": 32}


def one(data: Path, seed: int, settings: dict[str, Any]) -> dict[str, Any]:
    split = segue.split.leave_last_out(load(LOG, data))
    if settings.get("text") == "shop":
        pretraining.pretrained("behaviour", split)
        settings = {**settings, "text": str(pretraining.folder("behaviour"))}
    began = time.perf_counter()
    model = segue.SequenceRecommender(seed=seed, **SAME, **settings).fit(split.train, split.validation)
    report = segue.evaluate(model, split.test)
    training = model.report["training"]
    return {
        "seed": seed,
        "seconds": round(time.perf_counter() - began, 1),
        "epochs": training["epochs"],
        "best_validation": training["best_validation"],
        "metrics": {name: report[name] for name in ("ndcg@10", "hit_rate@10")},
        "interval": report.interval("ndcg@10"),
    }


KINDS: dict[str, dict[str, Any]] = {"ids": {"text": None}, "text": TEXT, "shop": {**TEXT, "text": "shop"}}


def run(data: Path, again: bool = False) -> None:
    found: dict[str, list[float]] = {}
    for name, settings in KINDS.items():
        for seed in SEEDS:

            def measure(seed: int = seed, settings: dict[str, Any] = settings) -> dict[str, Any]:
                return one(data, seed, settings)

            result = measured(f"item-text-{name}-seed{seed}", measure, again)
            found.setdefault(name, []).append(result["metrics"]["ndcg@10"])
    ids = sum(found["ids"])
    for name, values in found.items():
        told = ", ".join(f"{value:.4f}" for value in values)
        print(f"{name}: NDCG@10 {sum(values) / len(values):.4f} ({told}), {sum(values) / ids:.2f} x ids alone")
