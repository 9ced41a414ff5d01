"""Segue learns what comes next: event logs and catalogues to next-item recommendations.

This door is light: each name below is imported from its room when it is first used, so that ``import segue`` loads
neither torch nor polars.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_ROOMS = {
    "Dataset": "segue.data.dataset",
    "CleaningConfig": "segue.data.cleaning",
    "Holdout": "segue.data.split",
    "Split": "segue.data.split",
    "split": "segue.data",
    "datasets": "segue",
    "errors": "segue",
    "Recommender": "segue.recommenders.base",
    "Popular": "segue.recommenders.popular",
    "RecentlyPopular": "segue.recommenders.popular",
    "FirstOrder": "segue.recommenders.transitions",
    "PatternRecommender": "segue.recommenders.patterns",
    "ItemNeighbours": "segue.recommenders.neighbours",
    "TextNeighbours": "segue.recommenders.text_neighbours",
    "EASE": "segue.recommenders.ease",
    "ALS": "segue.recommenders.als",
    "SequenceRecommender": "segue.recommenders.sequence",
    "Ensemble": "segue.recommenders.ensemble",
    "Hybrid": "segue.recommenders.hybrid",
    "LanguageRanker": "segue.recommenders.language_ranker",
    "ExportedRecommender": "segue.recommenders.exported",
    "SequenceClassifier": "segue.patterns.classification",
    "load": "segue.recommenders.store",
    "evaluate": "segue.evaluation.evaluate",
    "compare": "segue.evaluation.compare",
    "few_shot": "segue.evaluation.few_shot",
    "Report": "segue.evaluation.report",
    "mine": "segue.patterns.mine",
    "tune": "segue.tuning.tune",
    "TuningResult": "segue.tuning.result",
}
_MODULES = {"split", "datasets", "errors"}

__all__ = ["__version__", *_ROOMS]

if TYPE_CHECKING:
    from segue import datasets, errors
    from segue.data import split
    from segue.data.cleaning import CleaningConfig
    from segue.data.dataset import Dataset
    from segue.data.split import Holdout, Split
    from segue.evaluation.compare import compare
    from segue.evaluation.evaluate import evaluate
    from segue.evaluation.few_shot import few_shot
    from segue.evaluation.report import Report
    from segue.patterns.classification import SequenceClassifier
    from segue.patterns.mine import mine
    from segue.recommenders.als import ALS
    from segue.recommenders.base import Recommender
    from segue.recommenders.ease import EASE
    from segue.recommenders.ensemble import Ensemble
    from segue.recommenders.exported import ExportedRecommender
    from segue.recommenders.hybrid import Hybrid
    from segue.recommenders.language_ranker import LanguageRanker
    from segue.recommenders.neighbours import ItemNeighbours
    from segue.recommenders.patterns import PatternRecommender
    from segue.recommenders.popular import Popular, RecentlyPopular
    from segue.recommenders.sequence import SequenceRecommender
    from segue.recommenders.store import load
    from segue.recommenders.text_neighbours import TextNeighbours
    from segue.recommenders.transitions import FirstOrder
    from segue.tuning.result import TuningResult
    from segue.tuning.tune import tune


def __getattr__(name: str) -> Any:
    if name not in _ROOMS:
        raise AttributeError(f"module 'segue' has no attribute {name!r}")
    room = _ROOMS[name]
    try:
        return import_module(f"{room}.{name}") if name in _MODULES else getattr(import_module(room), name)
    except ModuleNotFoundError:
        from segue.errors import extras_named

        with extras_named(f"segue.{name}"):
            raise


def __dir__() -> list[str]:
    return sorted(__all__)
