"""Few-shot: 1 to 64 people to learn from, ids alone against text; and people of whom few events are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import segue
from benchmarks.cold import TEXT
from benchmarks.quality import load
from segue.evaluation.few_shot import FewShot, cold_users


def few_users(data: Path, log: str = "industrial_and_scientific", draws: int = 2) -> dict[str, Any]:
    ways = {
        "ids": lambda: segue.SequenceRecommender(text=None, features=[]),
        "text": lambda: segue.SequenceRecommender(**TEXT),
        "text neighbours": lambda: segue.TextNeighbours(**TEXT),
        "popular": segue.Popular,
    }
    found = segue.few_shot(load(log, data), ways, users=(1, 4, 16, 64), draws=draws, asked=2_000, show=False)
    return {"log": log, **told(found), "text_over_ids_at_64": found.ratio("text", "ids", 64)}


def few_events(data: Path, log: str = "industrial_and_scientific") -> dict[str, Any]:
    split = segue.split.leave_last_out(load(log, data))
    models = {
        "ids": segue.SequenceRecommender(text=None, features=[]),
        "text": segue.SequenceRecommender(**TEXT),
        "text neighbours": segue.TextNeighbours(**TEXT),
        "popular": segue.Popular(),
    }
    fitted = {name: model.fit(split.train, split.validation, progress=False) for name, model in models.items()}
    return {"log": log, **told(cold_users(fitted, split.test, events=(1, 2, 4, 8)))}


def told(found: FewShot) -> dict[str, Any]:
    return {"what": found.what, "metric": found.metric, "curves": found.table().to_dicts()}
