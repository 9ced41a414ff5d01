"""What a classifier of histories is worth on users it has not learnt from, beside the majority and a bag of items.

Computed from probabilities alone; making them is left to ``classification``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue import artefacts
from segue.ranking.metrics import auc

FIGURES = ("accuracy", "f1", "auc", "log_loss")
_RESAMPLES = 500


@dataclass(frozen=True, eq=False)
class ClassificationReport:
    """Held-out probabilities of several classifiers beside the truth.

    Attributes:
        probabilities: name of the classifier to (users, classes); the first is the one that is judged.
        classes: (users,) the truth, numbers of ``labels``.
        folds: (users,) the fold in which each user was held out.
        labels: names of the classes; of two, figures are about the second.
        patterns: how many patterns were chosen in each fold.
        seed: draws the resamples of the intervals.
    """

    probabilities: dict[str, np.ndarray]
    classes: np.ndarray
    folds: np.ndarray
    labels: list[Any]
    patterns: list[int]
    seed: int = 0

    def __getitem__(self, name: str) -> float:
        """A figure of the classifier by its name, such as ``report["auc"]``."""
        return self.figure(name)

    def figure(self, name: str, of: str | None = None, rows: np.ndarray | None = None) -> float:
        """``accuracy``, ``f1`` (of the second of two classes, else the mean of all), ``auc`` (within each fold, then
        their mean; of more than two classes, the mean of each against the rest) or ``log_loss`` (nats).

        Args:
            of: one of the names in ``probabilities``; the first by default.
            rows: some of the users.
        """
        rows = np.arange(len(self.classes)) if rows is None else rows
        said, true = self.probabilities[of or self.name][rows], self.classes[rows]
        if name == "log_loss":
            sure = said[np.arange(len(true)), true]
            return float(-np.log(np.clip(sure, 1e-7, 1)).mean())
        if name == "auc":
            return self._auc(said, true, self.folds[rows])
        chosen = said.argmax(1)
        if name == "accuracy":
            return float((chosen == true).mean())
        right = np.bincount(true[chosen == true], minlength=len(self.labels))
        both = np.bincount(chosen, minlength=len(self.labels)) + np.bincount(true, minlength=len(self.labels))
        each = 2 * right / np.maximum(both, 1)
        return float(each[1] if len(self.labels) == 2 else each.mean())

    @property
    def name(self) -> str:
        """Of the classifier that is judged."""
        return next(iter(self.probabilities))

    def interval(self, name: str, of: str | None = None) -> tuple[float, float]:
        """95 % interval by the percentile bootstrap over users (Efron, 1979)."""
        return _bounds(self._resampled(name, of or self.name))

    def difference(self, name: str, other: str) -> tuple[float, float, float]:
        """A figure less the same of another classifier, and the 95 % interval over the same resamples of users."""
        apart = self._resampled(name, self.name) - self._resampled(name, other)
        return (self.figure(name) - self.figure(name, other), *_bounds(apart))

    def table(self) -> pl.DataFrame:
        """``figure``, the classifier's value with ``low`` and ``high``, and a column for each one beside it."""
        rows = []
        for name in FIGURES:
            low, high = self.interval(name)
            others = {other: self.figure(name, other) for other in list(self.probabilities)[1:]}
            rows.append({"figure": name, self.name: self.figure(name), "low": low, "high": high, **others})
        return pl.DataFrame(rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        sizes = np.bincount(self.classes, minlength=len(self.labels)).tolist()
        return {
            "users": {str(label): size for label, size in zip(self.labels, sizes, strict=True)},
            "folds": int(self.folds.max()) + 1,
            "patterns": self.patterns,
            "figures": {name: {of: self.figure(name, of) for of in self.probabilities} for name in FIGURES},
            "intervals": {name: self.interval(name) for name in FIGURES},
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text; also written to ``path`` when given (atomically)."""
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False)
        if path is not None:
            artefacts.write_atomically(path, text.encode())
        return text

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {self[name]:.4f}" for name in FIGURES)
        return f"ClassificationReport({self.name}: {figures}; {len(self.classes):,} users)"

    def _auc(self, said: np.ndarray, true: np.ndarray, folds: np.ndarray) -> float:
        # Within a fold: probabilities of two folds come of two models, and are no one scale.
        asked = [1] if len(self.labels) == 2 else range(len(self.labels))
        found = [
            auc(said[folds == fold, kind], true[folds == fold] == kind) for kind in asked for fold in np.unique(folds)
        ]
        known = [value for value in found if value == value]
        return float(np.mean(known)) if known else float("nan")

    def _resampled(self, name: str, of: str) -> np.ndarray:
        key = (name, of)
        if key not in self._kept:
            self._kept[key] = np.array([self.figure(name, of, rows) for rows in self._draws])
        return self._kept[key]

    @cached_property
    def _kept(self) -> dict[tuple[str, str], np.ndarray]:
        return {}

    @cached_property
    def _draws(self) -> np.ndarray:
        count = len(self.classes)
        return np.random.default_rng(self.seed).integers(0, count, (_RESAMPLES, count))


def _bounds(values: np.ndarray) -> tuple[float, float]:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)
