"""Exported models: what an answer costs, what changes, how large and how soon ready the process is, and the search."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

import segue
from benchmarks.results_file import WORK
from segue.data.histories import Histories
from segue.data.vocabulary import Vocabulary
from segue.deploy.comparing import Questions, answered, figures, searched
from segue.deploy.export import ExportConfig, export
from segue.deploy.parts import in_fp32
from segue.recommenders.exported_items import ExportedItems
from segue.recommenders.store import load_with_test

LENGTH = 50  # events of a history
CALLS = 500
_READY = """
import json, sys, time
began = time.perf_counter()
import segue
model = segue.load(sys.argv[1])
model.recommend(histories=[model.item_vocabulary.ids[:50].to_list()], k=10, at="now")
ready = time.perf_counter() - began
rows = [line.split() for line in open("/proc/self/status") if line.startswith(("VmRSS", "VmHWM"))]
print(json.dumps({"seconds": ready, **{f"{name[2:-1]}_mb".lower(): int(kb) / 1_000 for name, kb, _ in rows}}))
"""


def movielens() -> dict[str, Any]:
    """MovieLens 100K, leave-last-out: torch in fp32 and bf16, ONNX in fp32 and int8."""
    split = segue.split.leave_last_out(segue.datasets.movielens_100k())
    return _exports(WORK / "export-ml-100k", split, {})


def ten_thousand() -> dict[str, Any]:
    """A generated log of 10,000 items, as it is served: one history of 50 events at a time, after the log."""
    return _exports(WORK / "export-10k", segue.split.leave_last_out(generated()), {"epochs": 1, "loss": "sampled"})


def generated(users: int = 5_000, length: int = 60, items: int = 10_000) -> segue.Dataset:
    """People who walk along a circle of items, with a fifth of their events on what is popular."""
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.integers(0, 30, (users, length)), 1) + rng.integers(0, items, (users, 1))
    popular = rng.permutation(items)[(rng.pareto(1.2, (users, length)) * 50).astype(np.int64) % items]
    taken = np.where(rng.random((users, length)) < 0.2, popular, walks % items)
    start = 1_600_000_000 + rng.integers(0, 30_000_000, (users, 1))
    events = {"user_id": np.repeat(np.arange(users), length), "item_id": taken.ravel()}
    events["timestamp"] = (start + 3_600 * np.arange(length)).ravel()
    catalogue = {"item_id": np.arange(items), "category": [f"kind {number // 50}" for number in range(items)]}
    return segue.Dataset.from_frames(pl.DataFrame(events), pl.DataFrame(catalogue))


def _exports(place: Path, split: segue.Split, settings: dict[str, Any]) -> dict[str, Any]:
    if not (place / "manifest.json").exists():
        model = segue.SequenceRecommender(text=None, **settings).fit(split.train, split.validation, progress=False)
        model.save(place, test=split.test)
    trained, test = load_with_test(place)
    questions = Questions.of(trained, test, 1_000)
    before = answered(trained, questions)
    found = {
        "torch fp32": _form(trained, questions, before) | _size(place),
        "torch bf16": _form(trained, questions, before, torch.autocast("cpu", torch.bfloat16)),
    }
    for precision in ("fp32", "int8"):
        out = place.with_name(f"{place.name}-{precision}")
        began = time.perf_counter()
        made = export(place, out, ExportConfig.parse({"precision": precision}))
        form = {"export_seconds": time.perf_counter() - began, "int8": made.way} | _size(out) | _ready(out)
        found[f"onnx {precision}"] = _form(segue.load(out), questions, before) | form
    return {"people": len(before), "events": LENGTH, "items": len(trained.item_vocabulary), **found}


def _form(model: segue.Recommender, questions: Questions, before: np.ndarray, around: Any = None) -> dict[str, Any]:
    with around or nullcontext():
        told = figures(model, questions, before)
        return {"ndcg@10": told.ndcg, "overlap@10": told.overlap, **_one_by_one(model)}


def _one_by_one(model: segue.Recommender) -> dict[str, float]:
    """Milliseconds of ``recommend_codes`` for one history, the moment after the log."""
    known = model.histories
    people = np.flatnonzero(known.lengths >= LENGTH)[:CALLS]
    assert known.timestamps is not None
    now = np.full(1, known.timestamps.max() + 86_400_000_000)
    rows = [known.take(people[[place % len(people)]], last=LENGTH).asked(now) for place in range(CALLS)]
    taken = np.empty(CALLS)
    for _ in range(2):  # the first round warms up
        for place, row in enumerate(rows):
            began = time.perf_counter()
            model.recommend_codes(row, 10, exclude_seen=model.exclude_seen, progress=False)
            taken[place] = time.perf_counter() - began
    return {"p50_ms": 1e3 * float(np.median(taken)), "p99_ms": 1e3 * float(np.quantile(taken, 0.99))}


def _size(place: Path) -> dict[str, Any]:
    sizes = {file.name: file.stat().st_size for file in place.iterdir()}
    encoder = sum(size for name, size in sizes.items() if name.startswith(("encoder.", "weights.")))
    return {"bytes": sum(sizes.values()), "encoder_bytes": encoder}


def _ready(place: Path) -> dict[str, Any]:
    """A fresh process from its start to its first answer."""
    told = subprocess.run([sys.executable, "-c", _READY, str(place)], capture_output=True, check=True)
    return {"ready": json.loads(told.stdout)}


def search() -> dict[str, Any]:
    """Exact and approximate search among generated vectors; what an encoder costs is left out."""
    return {f"{items:,}": _searched(items) for items in (10_000, 100_000, 1_000_000)}


def _searched(items: int, people: int = 300, size: int = 64) -> dict[str, Any]:
    """Vectors in clusters of 100 on average, with norms between 0.5 and 1.5 of theirs; people took three of a cluster."""
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((items // 100, size), dtype=np.float32)
    cluster = rng.integers(0, len(centres), items)
    table = centres[cluster] + np.float32(0.5) * rng.standard_normal((items, size), dtype=np.float32)
    table *= rng.uniform(0.5, 1.5, (items, 1)).astype(np.float32)
    order = np.argsort(cluster, kind="stable")
    taken = order[(rng.integers(0, items - 3, (people, 1)) + np.arange(3)) % items] + 1
    asked = Histories(np.arange(0, 3 * people + 1, 3), taken.ravel())

    trained = segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=1, text=None)
    model = in_fp32(trained.fit(generated(50, 10, 100), progress=False))
    model.trend = model.prior = None
    model.item_vocabulary = Vocabulary(pl.Series("id", np.arange(items)))
    model.item_counts = np.zeros(items + 1, dtype=np.int64)
    model.vectors = ExportedItems(np.concatenate([np.zeros((1, size), np.float32), table]))
    model.encoder = _Sum()  # type: ignore[assignment]
    model.exclude_seen = True
    began = time.perf_counter()
    built = model.searching(1_000)
    seconds = time.perf_counter() - began
    assert built.index is not None
    questions = Questions(asked, asked, "generated")
    found = {"build_seconds": seconds, "memory_bytes": built.index._index.memory_usage}
    for candidates in (200, 1_000):
        built.config = built.config.model_copy(update={"candidates": candidates})
        found[f"best of {candidates:,}"] = asdict(searched(built, questions))
    return found


class _Sum:
    """In place of an encoder: the state is the sum of the vectors."""

    def __call__(self, vectors: np.ndarray, **_: Any) -> np.ndarray:
        return np.asarray(vectors.sum(1))


PARTS = {"export-ml-100k": movielens, "export-10k": ten_thousand, "export-search": search}
