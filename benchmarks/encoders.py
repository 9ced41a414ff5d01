"""Every encoder beside RecTools' HSTU and BERT4Rec: events a second in training, milliseconds for one history."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import segue
from benchmarks.results_file import WORK
from segue.nn.encoders import ENCODERS

PEERS = Path(__file__).parent / "peers"


def encoders(
    peers_python: str | None, data: segue.Dataset | None = None, epochs: int = 3, events: int = 50, size: int = 64
) -> dict[str, Any]:
    """MovieLens 100K, d = 64, 2 blocks, 200 events, full softmax; with all of time and with none.

    One history goes through ``recommend_codes``: batch, network, scores of the catalogue and the best ten. The peers'
    figure is of network, scores and best ten alone.
    """
    split = segue.split.leave_last_out(segue.datasets.movielens_100k() if data is None else data)
    learnt = int(np.maximum(split.train.histories.lengths - 1, 0).sum())
    found: dict[str, Any] = {"events_per_epoch": learnt, "events_of_one_history": events}
    found["threads"] = torch.get_num_threads()
    for name in ENCODERS:
        for label, time_parts in (("time", "auto"), ("no_time", [])):
            settings = {"encoder": name, "time": time_parts, "blocks": 2, "embedding_size": size, "max_length": 200}
            model = segue.SequenceRecommender(**settings, loss="full", epochs=epochs + 1, refit=False)
            model.fit(split.train, progress=False)
            seconds = float(np.median([row["seconds"] for row in model.report["training"]["curve"][1:]]))
            figures = {"epoch_seconds": seconds, "events_per_second": learnt / seconds}
            found[f"{name}_{label}"] = figures | _latency(model, events)
    if peers_python is not None:
        found["rectools"] = _peers(peers_python, split, epochs, events)
    return found


def _latency(model: segue.SequenceRecommender, events: int) -> dict[str, float]:
    known = model.histories
    longest = int(np.argmax(known.lengths))
    asked = known.take(np.array([longest]), last=events)
    if asked.timestamps is not None:
        asked = asked.asked(at=asked.timestamps[-1:] + 3_600_000_000)
    times = []
    for _ in range(320):
        began = time.perf_counter()
        model.recommend_codes(asked, 10, exclude_seen=True, progress=False)
        times.append((time.perf_counter() - began) * 1e3)
    median, tail = np.median(times[20:]), np.quantile(times[20:], 0.99)
    return {"milliseconds_median": float(median), "milliseconds_p99": float(tail)}


def _peers(python: str, split: segue.Split, epochs: int, events: int) -> dict[str, Any]:
    WORK.mkdir(exist_ok=True)
    train, log = WORK / "encoders-train.parquet", split.train.events
    log.select(
        split.train.user_vocabulary.decode(log["user"].to_numpy()).alias("user_id"),
        split.train.item_vocabulary.decode(log["item"].to_numpy()).alias("item_id"),
        "timestamp",
    ).write_parquet(train)
    command = [python, str(PEERS / "rectools_encoders.py"), str(train), str(events), str(epochs)]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(output.stdout.splitlines()[-1])
    # They learn from the newest 200 events of each history.
    learnt = int(np.minimum(np.maximum(split.train.histories.lengths - 1, 0), 200).sum())
    for figures in found["models"].values():
        figures["events_per_second"] = learnt / figures["epoch_seconds"]
    return found
