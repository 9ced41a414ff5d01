"""The language ranker on Industrial: click or not, and the list after re-ranking; leave-last-out, seen items may come.

Every question is the true next item against one drawn by popularity. Each part is a result of its own, so that what has
been measured is not measured again; the trained ranker is kept in ``work``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import segue
from benchmarks.quality import load
from benchmarks.results_file import WORK, measured
from segue.evaluation.answers import evaluate_answers
from segue.recommenders.language_ranker import LanguageRanker

LOG = "industrial_and_scientific"
SETTINGS: dict[str, Any] = {"events": 8, "title_words": 9, "candidates": 20, "negatives": 3, "examples": 13_000}
UNTUNED = {"minilm": 10_000, "smollm2": 1_000}  # model to the users asked about, at most


def answers(data: Path) -> dict[str, Any]:
    """Tune, ask about every held-out event, and show the sequence model and item neighbours beside."""
    split = segue.split.leave_last_out(load(LOG, data))
    kept = WORK / "language-ranker"
    began = time.perf_counter(), time.process_time()
    if (kept / "manifest.json").exists():
        model: Any = segue.load(kept)
    else:
        model = segue.LanguageRanker(**SETTINGS)
        model.fit(split.train, split.validation, checkpoint=WORK / "language-ranker-training", resume=True)
        model.save(kept, test=split.test)
    trained = time.perf_counter() - began[0], time.process_time() - began[1]
    neighbours = segue.ItemNeighbours().fit(split.train, split.validation)
    by_ids = segue.SequenceRecommender(text=None).fit(split.train, split.validation)
    began = time.perf_counter(), time.process_time()
    beside = {"sequence model": model.base, "item neighbours": neighbours, "sequence model without text": by_ids}
    report = evaluate_answers(model, split.test, beside=beside)
    asked = time.perf_counter() - began[0], time.process_time() - began[1]
    return {
        "settings": SETTINGS,
        "training_seconds": [round(each) for each in trained],
        "asking_seconds": [round(each) for each in asked],
        "report": report.as_dict(),
        "training": model.report,
    }


def lists(data: Path) -> dict[str, Any]:
    """NDCG of the base, and after re-ranking its first candidates."""
    split = segue.split.leave_last_out(load(LOG, data))
    model = segue.load(WORK / "language-ranker")
    assert isinstance(model, LanguageRanker)
    report = segue.evaluate(model, split.test, exclude_seen=False, beside=[model.base])
    metrics = ("ndcg@10", "hit_rate@10", "ndcg@5", "mrr@10")
    test = segue.compare(report, report.beside[0])
    return {
        "candidates": model.config.candidates,
        "reranked": {metric: report[metric] for metric in metrics},
        "base": {metric: report.beside[0][metric] for metric in metrics},
        "interval": report.interval("ndcg@10"),
        "difference": [test.difference, test.low, test.high, test.p_value],
    }


def untuned(data: Path, name: str) -> dict[str, Any]:
    """The prompt alone; the cheapest base, which its own answers do not look at."""
    split = segue.split.leave_last_out(load(LOG, data))
    told = {name: SETTINGS[name] for name in ("events", "title_words")}
    settings = {
        "model": name,
        "tuning": "none",
        "base": "Popular",
        "validation_questions": 20,
        "candidates": 20,
        **told,
    }
    model = segue.LanguageRanker(**settings).fit(split.train, split.validation)
    some = np.sort(np.random.default_rng(0).permutation(split.test.users)[: UNTUNED[name]])
    test = segue.Holdout(split.test.context, split.test.targets.where(pl.col("user").is_in(some)))
    began = time.process_time()
    alone = evaluate_answers(model, test).beside[0]
    return {"settings": settings, "asking_cpu_seconds": round(time.process_time() - began), "report": alone.as_dict()}


def run(data: Path, only: tuple[str, ...] = ("answers", "lists", *UNTUNED)) -> None:
    for part in only:
        if part in UNTUNED:
            try:
                measured(f"language-ranker-untuned-{part}", lambda part=part: untuned(data, part))
            except segue.errors.SegueError as error:  # the model has not been fetched
                print(error)
        else:
            measured(f"language-ranker-{part}", lambda part=part: {"answers": answers, "lists": lists}[part](data))
