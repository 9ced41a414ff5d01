"""A global split by time: the newest tenth of a log, everything before it known, baselines and peers beside.

Peers train on all events before the test window (training and validation), as our models do in the end.
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import segue
from benchmarks.results_file import WORK, measured
from segue.data.histories import Histories
from segue.ranking.metrics import PER_USER, Hits

LOGS = {"ml-100k": segue.datasets.movielens_100k, "ml-1m": segue.datasets.movielens_1m}
SETTINGS: dict[str, dict[str, Any]] = {"ml-1m": {"precision": "bf16", "epochs": 8}}
BASELINES = ("Popular", "RecentlyPopular", "FirstOrder", "ItemNeighbours", "EASE")
METRICS = ("ndcg@10", "hit_rate@10")
PEER = Path(__file__).parent / "peers" / "rectools_lists.py"
PEER_EPOCHS = 15


def ours(log: str, **settings: Any) -> dict[str, Any]:
    """SequenceRecommender with default settings, and the baselines."""
    split = segue.split.by_time(LOGS[log]())
    found: dict[str, Any] = {"log": log, "settings": settings}
    for name in (*BASELINES, "SequenceRecommender"):
        began = time.perf_counter()
        model = getattr(segue, name)(**(settings if name == "SequenceRecommender" else {}))
        run = {"checkpoint": WORK / f"by-time-{log}", "resume": True} if name == "SequenceRecommender" else {}
        model.fit(split.train, split.validation, **run)
        report = segue.evaluate(model, split.test)
        found[name] = {metric: report[metric] for metric in METRICS} | {
            "interval": report.interval("ndcg@10"),
            "seconds": round(time.perf_counter() - began, 1),
        }
        if name == "RecentlyPopular":
            found[name]["days"] = model.days
        if name == "SequenceRecommender":
            found[name]["trend"] = model.report.get("trend")
            found[name]["epochs"] = model.report["training"]["epochs"]
    found["users"], found["exclude_seen"] = len(split.test.users), report.protocol["exclude_seen"]
    return found


def peer(name: str, log: str, python: str) -> dict[str, Any]:
    """A RecTools model's lists, judged by our metrics on the same users and targets."""
    split = segue.split.by_time(LOGS[log]())
    test, known = split.test, split.test.context
    WORK.mkdir(exist_ok=True)
    files = [WORK / f"by-time-{log}-{name}-{part}.parquet" for part in ("train", "requests", "lists")]
    events = known.events
    pl.DataFrame(
        {
            "user_id": events["user"].cast(pl.Int64),
            "item_id": events["item"].cast(pl.Int64),
            "timestamp": events["timestamp"],
        }
    ).write_parquet(files[0])
    asked = test.asked()
    pl.DataFrame({"user_id": test.users, "timestamp": asked.at}).write_parquet(files[1])
    command = [python, str(PEER), name, *map(str, files), str(PEER_EPOCHS)]
    output = subprocess.run(command, capture_output=True, text=True, check=True)
    lists = pl.read_parquet(files[2]).sort("user_id", "rank")
    place = np.searchsorted(test.users, lists["user_id"].to_numpy())
    codes = np.zeros((len(test.users), 20), dtype=np.int64)
    codes[place, lists["rank"].to_numpy() - 1] = lists["item_id"].to_numpy()
    targets: Histories = test.targets.histories.take(test.users)
    hits = Hits.of(codes, targets)
    figures = {f"{metric}@10": float(PER_USER[metric](hits, 10).mean()) for metric in ("ndcg", "hit_rate")}
    return {"log": log, "peer": name, **figures, **json.loads(output.stdout.splitlines()[-1])}


def run(log: str, python: str) -> None:
    """Everything of one log."""
    measured(f"by-time-{log}", lambda: ours(log, **SETTINGS.get(log, {})))
    for name in ("sasrec", "hstu"):
        measured(f"by-time-{log}-rectools-{name}", lambda name=name: peer(name, log, python))
