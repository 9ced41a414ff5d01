"""Speed and memory: training beside RecTools, batch recommendation, preparation of a large log, import."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import segue
from benchmarks.results_file import WORK

PEERS = Path(__file__).parent / "peers"


def import_time() -> dict[str, Any]:
    """Median of seven fresh processes."""
    code = "import time; t = time.perf_counter(); import segue; print(time.perf_counter() - t); import sys; assert 'torch' not in sys.modules"
    times = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(7)
    ]
    return {"seconds": float(np.median(times)), "torch_loaded": False}


def preparation(events: int = 10_000_000) -> dict[str, Any]:
    """A generated log of text ids from a Parquet file to histories and a split."""
    WORK.mkdir(exist_ok=True)
    file = WORK / f"log-{events}.parquet"
    if not file.exists():
        rng = np.random.default_rng(0)
        users, items = rng.integers(0, events // 50, events), (rng.pareto(1.2, events) * 200).astype(np.int64) % 100_000
        stamps = rng.integers(1_600_000_000, 1_700_000_000, events)
        pl.DataFrame({"user_id": users, "item_id": items, "timestamp": stamps}).with_columns(
            pl.format("u{}", "user_id").alias("user_id"), pl.format("item-{}", "item_id").alias("item_id")
        ).write_parquet(file)
    return _fresh(f"benchmarks.speed:_prepare:{file}")


def _prepare(file: str) -> dict[str, Any]:
    began = time.perf_counter()
    data = segue.Dataset.from_files(file)
    ready = time.perf_counter()
    split = segue.split.leave_last_out(data)
    histories = len(split.train.histories.items)
    return {
        "events": len(data),
        "dataset_seconds": ready - began,
        "with_split_seconds": time.perf_counter() - began,
        "train": histories,
    }


def batch_recommendation(histories: int = 100_000, items: int = 10_000) -> dict[str, Any]:
    """Top-10 of a default model (d = 64, 2 blocks) for histories of 5 to 100 events."""
    return _fresh(f"benchmarks.speed:_recommend:{histories},{items}")


def _recommend(sizes: str) -> dict[str, Any]:
    from segue.data.histories import Histories

    count, items = map(int, sizes.split(","))
    rng = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user_id": np.repeat(np.arange(items // 5), 10),
            "item_id": rng.permutation(np.arange(items * 2) % items),
            "timestamp": np.tile(np.arange(10), items // 5),
        }
    )
    data = segue.Dataset.from_frames(log)
    model = segue.SequenceRecommender(epochs=1, blocks=2, max_length=100, loss="sampled", refit=False).fit(
        data, progress=False
    )
    lengths = rng.integers(5, 101, count)
    asked = Histories(np.concatenate([[0], np.cumsum(lengths)]), rng.integers(1, items + 1, lengths.sum()))
    model.recommend_codes(asked.take(np.arange(100)), 10, exclude_seen=True)
    began = time.perf_counter()
    codes, _ = model.recommend_codes(asked, 10, exclude_seen=True)
    seconds = time.perf_counter() - began
    assert (codes > 0).all()
    return {
        "histories": count,
        "items": items,
        "mean_length": float(lengths.mean()),
        "seconds": seconds,
        "users_per_second": count / seconds,
    }


def training(peers_python: str | None) -> dict[str, Any]:
    """Seconds of an epoch on MovieLens 100K, d = 64, 2 blocks, 200 events, beside RecTools in the same run."""
    split = segue.split.leave_last_out(segue.datasets.movielens_100k())
    WORK.mkdir(exist_ok=True)
    train = WORK / "ml-100k-train.parquet"
    events = split.train.events
    events.select(
        split.train.user_vocabulary.decode(events["user"].to_numpy()).alias("user_id"),
        split.train.item_vocabulary.decode(events["item"].to_numpy()).alias("item_id"),
        "timestamp",
    ).write_parquet(train)
    lengths = split.train.histories.lengths
    learnt = {
        "segue": int(np.maximum(lengths - 1, 0).sum()),
        "rectools": int(np.minimum(np.maximum(lengths - 1, 0), 200).sum()),
    }
    found: dict[str, Any] = {"events_per_epoch": learnt}
    for block in ("ligr", "plain"):
        settings = {"block": block, "blocks": 2, "embedding_size": 64, "max_length": 200, "epochs": 4, "refit": False}
        settings |= {"time": [], "behaviour": [], "features": []}  # what the peer reads
        model = segue.SequenceRecommender(**settings).fit(split.train, progress=False)
        seconds = float(np.median([row["seconds"] for row in model.report["training"]["curve"][1:]]))
        found[f"segue_{block}"] = {"epoch_seconds": seconds, "events_per_second": learnt["segue"] / seconds}
    if peers_python is not None:
        output = subprocess.run(
            [peers_python, str(PEERS / "rectools_sasrec.py"), str(train)], capture_output=True, text=True, check=True
        )
        peer = json.loads(output.stdout.splitlines()[-1])
        found["rectools"] = peer | {"events_per_second": learnt["rectools"] / peer["epoch_seconds"]}
        for block in ("ligr", "plain"):
            ratio = found[f"segue_{block}"]["events_per_second"] / found["rectools"]["events_per_second"]
            found[f"segue_{block}"]["times_rectools"] = ratio
    return found


def softmax(tokens: int = 4_096, items: int = 12_000, size: int = 64) -> dict[str, Any]:
    """One full softmax with fp32 and with bf16 products: milliseconds, and how far the gradient moves."""
    import torch

    from segue.nn.losses import full_softmax

    torch.manual_seed(0)
    hidden = torch.randn(tokens, size, requires_grad=True)
    vectors = (torch.randn(items + 1, size) * 0.1).requires_grad_()
    targets = torch.randint(1, items + 1, (tokens,))
    found: dict[str, Any] = {"tokens": tokens, "items": items, "native_bf16": torch.cpu._is_avx512_bf16_supported()}
    gradients = {}
    for name, kind in (("fp32", torch.float32), ("bf16", torch.bfloat16)):
        times = []
        for _ in range(6):
            began = time.perf_counter()
            gradients[name] = torch.autograd.grad(full_softmax(hidden, vectors, targets, kind), (hidden, vectors))
            times.append(time.perf_counter() - began)
        found[f"{name}_milliseconds"] = round(float(np.median(times[1:])) * 1e3, 1)
    apart = [
        ((low - exact).norm() / exact.norm()).item()
        for exact, low in zip(gradients["fp32"], gradients["bf16"], strict=True)
    ]
    return found | {"gradient_difference": max(apart)}


def _fresh(task: str) -> dict[str, Any]:
    """Run a task in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "benchmarks.speed", task]
    output = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "SEGUE_PROGRESS": "0"}
    )
    return dict(json.loads(output.stdout.splitlines()[-1]))


if __name__ == "__main__":
    _, name, argument = sys.argv[1].split(":", 2)
    result = {"_prepare": _prepare, "_recommend": _recommend}[name](argument)
    result["peak_gb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps(result))
