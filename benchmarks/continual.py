"""Continual learning on MovieLens 100K: five slices of time, and what is known of the old and the new after each."""

from __future__ import annotations

from typing import Any

import segue
from segue.evaluation.continual import continual


def slices() -> dict[str, Any]:
    table = continual(segue.datasets.movielens_100k(), 5, {"epochs": 15, "text": None}, progress=False)
    return {"log": "ml-100k", "metric": "ndcg@10", "epochs": 15, "table": table.to_dicts()}
