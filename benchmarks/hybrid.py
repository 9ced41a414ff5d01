"""Blends of a sequence model, habits, neighbours and EASE, beside the best of them: leave-last-out, paired tests.

Members are kept in ``work/`` in both stages (before and after they learnt from the validation events), so that what
was interrupted goes on where it stood and no sequence model is trained twice. Which single model is the best is told by
the test, in its favour; blends are learnt on the validation events alone.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import segue
from benchmarks.quality import SETTINGS, load
from benchmarks.results_file import WORK, measured
from segue.recommenders.base import Recommender
from segue.recommenders.stages import in_two_stages
from segue.recommenders.store import recommender_class

LOGS = ("ml-100k", "beauty", "sports_and_outdoors")
MEMBERS = ("SequenceRecommender", "PatternRecommender", "ItemNeighbours", "EASE")
BLENDS = ("rank", "score", "logistic", "lambdamart")


def run(data: Path, logs: tuple[str, ...], again: bool = False) -> None:
    for name in logs:
        measured(f"hybrid-{name}", lambda name=name: one_log(name, data), again)


def one_log(name: str, data: Path) -> dict[str, Any]:
    split = segue.split.leave_last_out(load(name, data))
    assert split.validation is not None
    found: dict[str, Any] = {"log": name, "singles": {}, "blends": {}}
    first, final, reports = [], [], {}
    for each in MEMBERS:
        early, late, seconds = member(name, each, split)
        first.append(early)
        final.append(late)
        reports[each] = segue.evaluate(late, split.test, progress=False)
        found["singles"][each] = {"ndcg@10": reports[each]["ndcg@10"], "fit_seconds": seconds}
    best = max(reports, key=lambda each: reports[each]["ndcg@10"])
    found["best_single"] = best
    for blend in BLENDS:
        began = time.perf_counter()
        model = segue.Hybrid.of_fitted(first, final, split.validation, blend=blend)
        seconds = round(time.perf_counter() - began, 1)
        report = segue.evaluate(model, split.test, progress=False)
        test = segue.compare(report, reports[best])
        found["blends"][blend] = {
            "ndcg@10": report["ndcg@10"],
            "hit_rate@10": report["hit_rate@10"],
            "times_the_best_single": report["ndcg@10"] / reports[best]["ndcg@10"],
            "difference": test.difference,
            "interval": [test.low, test.high],
            "p": test.p_value,
            "blend_seconds": seconds,
            "report": model.report["blend"],
        }
        print(name, blend, json.dumps(found["blends"][blend]), flush=True)
    return found


def member(name: str, kind: str, split: segue.Split) -> tuple[Recommender, Recommender, float]:
    """A member before and after it learnt from the validation events, and how long that took; read where it is kept."""
    home = WORK / f"hybrid-{name}" / kind
    took = home / "seconds"
    if took.exists():
        return segue.load(home / "first"), segue.load(home / "final"), float(took.read_text())
    assert split.validation is not None
    sequence = kind == "SequenceRecommender"
    run: dict[str, Any] = {"checkpoint": home / "checkpoint", "resume": True} if sequence else {"progress": False}
    began = time.perf_counter()
    model = recommender_class(kind)(**(SETTINGS.get(name, {}) if sequence else {}))
    early, late = in_two_stages(model, split.train, split.validation, run)
    seconds = round(time.perf_counter() - began, 1)
    home.mkdir(parents=True, exist_ok=True)
    early.save(home / "first")
    late.save(home / "final")
    took.write_text(str(seconds))
    return early, late, seconds
