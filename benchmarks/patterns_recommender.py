"""Habits beside the other recommenders that count: leave-last-out, full ranking, defaults, paired tests.

Weights are chosen on the validation events in ``fit``; the test has no part in it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import segue
from benchmarks.quality import METRICS, load

LOGS = ("beauty", "sports_and_outdoors", "ml-100k")
OTHERS = ("FirstOrder", "ItemNeighbours")


def habits(data: Path) -> dict[str, Any]:
    return {name: one_log(name, data) for name in LOGS}


def one_log(name: str, data: Path) -> dict[str, Any]:
    split = segue.split.leave_last_out(load(name, data))
    found: dict[str, Any] = {}
    reports = {}
    for each in ("PatternRecommender", *OTHERS):
        began = time.perf_counter()
        model = getattr(segue, each)().fit(split.train, split.validation, progress=False)
        seconds = time.perf_counter() - began
        reports[each] = report = segue.evaluate(model, split.test, progress=False)
        found[each] = {metric: report[metric] for metric in METRICS} | {"fit_seconds": round(seconds, 1)}
        found[each]["interval"] = report.interval("ndcg@10")
        if each == "PatternRecommender":
            found[each] |= {key: model.report[key] for key in ("weights", "contexts", "habits")}
        else:
            test = segue.compare(reports["PatternRecommender"], report)
            found[f"above {each}"] = {
                "difference": test.difference,
                "interval": [test.low, test.high],
                "p": test.p_value,
            }
    return found
