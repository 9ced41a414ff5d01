"""What learning between updates is worth: a log replayed event by event, online mode beside the frozen model.

A model learns from the first 60 % of the events. The rest arrives in order; each event is asked about before it is
learnt from, and both models know the person's history up to it. Settings are chosen on the first third of the stream,
figures are of the other two thirds. No list was served in these logs: every item taken is a positive without one. The
order of industrial_and_scientific is that of places in histories, not of time: nothing drifts there by the calendar.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import segue
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.evaluation.significance import interval, paired_test
from segue.recommenders.base import Recommender
from segue.serving.learning.feedback import Feedback, FeedbackConfig
from segue.serving.learning.steps import StepConfig, Weights, learn
from segue.serving.store import StoredEvent

LOG = "industrial_and_scientific"
MODELS = {
    "Popular": segue.Popular,
    "EASE": segue.EASE,
    "SequenceRecommender": partial(segue.SequenceRecommender, epochs=6, text=None),
}
GRID = [
    StepConfig(rate=rate, rank=rank, head_rate=head_rate)
    for rate in (0.03, 0.1, 0.3)
    for rank, head_rate in ((0, 0.01), (4, 0.003), (4, 0.01), (4, 0.03))
]
BATCH = FeedbackConfig().batch


def stream(data: Dataset) -> tuple[Dataset, list[StoredEvent]]:
    """The first 60 %, and the rest as the store would give it."""
    stamps = data.events["timestamp"].to_numpy()
    cut = np.quantile(stamps, 0.6)
    order = np.argsort(stamps, kind="stable")
    later = data.events[order[stamps[order] > cut]]
    users = data.user_vocabulary.decode(later["user"].to_numpy()).to_list()
    items = data.item_vocabulary.decode(later["item"].to_numpy()).to_list()
    rows = zip(users, items, later["timestamp"].to_list(), strict=True)
    events = [StoredEvent(f"e{n}", str(u), str(i), t, seq=n) for n, (u, i, t) in enumerate(rows, start=1)]
    return data.where(stamps <= cut), events


class Remembered:
    """Scores of batches that were asked before: they do not depend on what online mode learns."""

    def __init__(self, model: Recommender) -> None:
        self._score, self._known, self.seconds = model.score_codes, {}, 0.0

    def __call__(self, histories: Histories) -> np.ndarray:
        key = (histories.offsets.tobytes(), histories.items.tobytes())
        if key not in self._known:
            began = time.perf_counter()
            self._known[key] = self._score(histories)
            self.seconds += time.perf_counter() - began
        return self._known[key].copy()


def replay(model: Recommender, events: list[StoredEvent], step: StepConfig) -> tuple[np.ndarray, Weights]:
    """(events, 2) places of the item taken, online and frozen, each before it was learnt; and what was learnt."""
    feedback = Feedback(model, FeedbackConfig(), lambda _: None)
    weights = Weights.fresh(feedback.items, feedback.vectors.shape[1], step)
    places = []
    for start in range(0, len(events) - BATCH + 1, BATCH):
        batch = events[start : start + BATCH]
        examples = feedback.examples(batch, weights)
        places.append(examples.places)
        weights = learn(weights, examples, len(batch), step, feedback.vectors)
    return np.concatenate(places), weights


def gains(places: np.ndarray) -> dict[str, np.ndarray]:
    """(events, 2) of each metric."""
    hit = places < 10
    return {"hit_rate@10": hit.astype(float), "ndcg@10": hit / np.log2(np.where(hit, places, 0) + 2)}


def one(model: Recommender, events: list[StoredEvent]) -> dict[str, Any]:
    model.score_codes = remembered = Remembered(model)  # type: ignore[method-assign, assignment]
    third = len(events) // 3 // BATCH * BATCH
    tuned = [float(gains(_listable(replay(model, events[:third], step)[0]))["ndcg@10"][:, 0].mean()) for step in GRID]
    chosen = GRID[int(np.argmax(tuned))]
    found: dict[str, Any] = {
        "tuned": [(step.rate, step.rank, step.head_rate, round(v, 5)) for step, v in zip(GRID, tuned, strict=True)]
    }
    biases = (
        max((value, step) for value, step in zip(tuned, GRID, strict=True) if step.rank == 0)[1]
        if chosen.rank
        else chosen
    )
    replay(model, events, chosen)  # every batch is scored once: seconds below are those of learning alone
    for name, step in {"biases": biases, "head and biases": chosen}.items():
        if name == "head and biases" and not chosen.rank:
            continue
        began = time.perf_counter()
        places, weights = replay(model, events, step)
        seconds = time.perf_counter() - began
        # People are the units of the test: the events of one are not independent.
        users = np.array([event.user_id for event in events[: len(places)]])[third:]
        later = places[third:]
        kept = np.isfinite(later[:, 0])
        _, owner = np.unique(users[kept], return_inverse=True)
        found[name] = {"rate": step.rate, "rank": step.rank, "head_rate": step.head_rate, "off": weights.off}
        found[name]["microseconds_per_event"] = round(seconds / len(places) * 1e6)
        for metric, values in gains(later[kept]).items():
            total = np.bincount(owner, values[:, 0] - values[:, 1])
            test = paired_test(total, np.zeros(len(total)))
            low, high = (bound * len(total) / len(values) for bound in interval(total))
            found[name][metric] = {
                "online": round(float(values[:, 0].mean()), 5),
                "frozen": round(float(values[:, 1].mean()), 5),
                "difference": [
                    round(float(values[:, 0].mean() - values[:, 1].mean()), 5),
                    round(low, 5),
                    round(high, 5),
                ],
                "p": round(test.p_value, 4),
            }
    found["scoring_microseconds_per_event"] = round(remembered.seconds / len(events) * 1e6)
    found["events"], found["tuned_on"] = len(events), third
    return found


def _listable(places: np.ndarray) -> np.ndarray:
    return places[np.isfinite(places[:, 0])]


def online(data: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    logs = {"ml-100k": segue.datasets.movielens_100k()}
    if (data / LOG).exists():
        logs[LOG] = Dataset.from_files(data / LOG / "events.parquet", None)
    for name, log in logs.items():
        train, events = stream(log)
        for kind, make in MODELS.items():
            found[f"{name} {kind}"] = one(make().fit(train, progress=False), events)
            print(name, kind, found[f"{name} {kind}"], flush=True)
    return found
