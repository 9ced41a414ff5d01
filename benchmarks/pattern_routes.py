"""Mined habits handed to the sequence and language models: what each route is worth alone, leave-last-out.

Each route is fitted beside the same model without it, and a paired test compares them; each is a result file of its own,
so that what has been measured is not measured again, and a training that is interrupted goes on. ``prior`` and
``interests`` are for the sequence model (ids and attributes, no text), ``candidates`` and ``evidence`` for the language
ranker, which has titles to read.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import segue
from benchmarks.quality import METRICS, load
from benchmarks.results_file import WORK, measured
from segue.datasets.catalogue import READY
from segue.evaluation.answers import evaluate_answers

LOGS = ("ml-100k", "industrial_and_scientific")
RANKER: dict[str, Any] = {"events": 8, "title_words": 9, "candidates": 20, "negatives": 3, "examples": 13_000}
ROUTES: dict[str, dict[str, Any]] = {
    "prior": {"pattern_prior": True},
    "interests": {"interests": 32},
    "candidates": {"pattern_candidates": 10},
    "evidence": {"evidence": True},
}
SEQUENCE = ("prior", "interests")


def route(name: str, log: str, data: Path, **settings: Any) -> dict[str, Any]:
    """Figures without and with one route, and the paired difference.

    Args:
        settings: of both models beside their own.
    """
    split = segue.split.leave_last_out(load(log, data))
    found: dict[str, Any] = {"log": log, "settings": ROUTES[name], "of_both": settings}
    reports = []
    for kind, own in (("without", {}), ("with", ROUTES[name])):
        began = time.process_time()
        model = _fitted(name, kind, log, split, {**settings, **own})
        report = segue.evaluate(model, split.test, progress=False)
        reports.append(report)
        found[kind] = {metric: report[metric] for metric in METRICS} | {"interval": report.interval("ndcg@10")}
        found[kind]["cpu_seconds"] = round(time.process_time() - began)
        if name == "evidence":
            found[kind]["answers"] = evaluate_answers(model, split.test).as_dict()
        if kind == "with" and "prior" in model.report:
            found["prior"] = model.report["prior"]
    test = segue.compare(reports[1], reports[0])
    found["difference"] = {"ndcg@10": test.difference, "interval": [test.low, test.high], "p": test.p_value}
    return found


def _fitted(name: str, kind: str, log: str, split: segue.Split, settings: dict[str, Any]) -> Any:
    """Trained, or as an earlier run left it; what is the same for several routes is trained once."""
    room = "sequence" if name in SEQUENCE else "ranker"
    kept = WORK / "pattern-routes" / f"{log}-{room}-{name if kind == 'with' else 'plain'}"
    model: Any
    if room == "sequence":
        model = segue.SequenceRecommender(**{"text": None, **settings})
    else:
        model = segue.LanguageRanker(**{**RANKER, "base": "ItemNeighbours", **settings})
    if (kept / "manifest.json").exists() and (found := segue.load(kept)).config == model.config:
        return found
    checkpoint = kept.with_name(f"{kept.name}-training")
    try:
        model.fit(split.train, split.validation, checkpoint=checkpoint, resume=True, progress=False)
    except segue.errors.ResumeRefused:  # the settings have changed since it was interrupted
        model.fit(split.train, split.validation, checkpoint=checkpoint, progress=False)
    model.save(kept)
    return model


def run(data: Path, again: bool = False) -> None:
    """All routes on all logs that are there, the sequence model's first."""
    for name in ROUTES:
        for log in LOGS:
            if log in READY or (data / log).exists():
                measured(f"pattern-route-{name}-{log}", lambda name=name, log=log: route(name, log, data), again)
