"""The report of one evaluation: figures, intervals, slices, examples and the protocol they belong to.

Figures at any k up to the length of the lists are computed when asked for. Drawing is left to ``page``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue import artefacts
from segue.errors import MetricUnknown, nearest
from segue.evaluation import significance
from segue.evaluation.answers import AnswerReport
from segue.ranking.metrics import PER_USER, WITH_CONTEXT, Hits

BEYOND = ("coverage", "novelty", "diversity", "gini", "popularity_bias")


@dataclass
class Report:
    """What a recommender is worth on a test.

    Attributes:
        name: of the recommender.
        protocol: what was asked and how: users, targets, catalogue, ``exclude_seen`` and why.
        hits: which places of which list hold a target.
        beyond: figures of whole sets of lists, such as ``"coverage@10"``.
        slices: figures of parts of the test.
        examples: a few users with titles.
        training: what the recommender reported about its training.
        users: external ids, one per row of ``hits``.
        beside: reports of other recommenders on the same test.
        answers: what single answers are worth, of a recommender that gives any.
    """

    name: str
    protocol: dict[str, Any]
    hits: Hits
    beyond: dict[str, float]
    slices: list[dict[str, Any]]
    examples: list[dict[str, Any]]
    training: dict[str, Any]
    users: pl.Series
    beside: list[Report] = field(default_factory=list)
    answers: AnswerReport | None = None

    def __getitem__(self, name: str) -> float:
        """A figure by name, for example ``report["ndcg@10"]``; raises ``MetricUnknown``."""
        if isinstance(name, str) and name in self.beyond:
            return self.beyond[name]
        return float(self.per_user(name).mean())

    def per_user(self, name: str) -> np.ndarray:
        """A metric's value for each user; raises ``MetricUnknown``."""
        metric, _, k = str(name).partition("@")
        longest, metrics = self.hits.marks.shape[1], self._metrics
        if metric not in metrics or not k.isdigit() or not 1 <= int(k) <= max(longest, 1):
            known = [f"{each}@10" for each in (*metrics, *BEYOND)]
            hint = nearest(str(name), known)
            if metric in metrics and k.isdigit():
                hint = f" The lists are {longest} long; evaluate(..., k=[{k}]) makes them longer."
            raise MetricUnknown(name=name, hint=hint, known=", ".join((*metrics, *BEYOND)))
        return metrics[metric](self.hits, int(k))

    @property
    def _metrics(self) -> dict[str, Callable[[Hits, int], np.ndarray]]:
        """The per-user metrics that this test has what they need for."""
        has = {"graded_ndcg": self.hits.gains is not None, "serendipity": self.hits.surprise is not None}
        return PER_USER | {name: metric for name, metric in WITH_CONTEXT.items() if has[name]}

    def interval(self, name: str) -> tuple[float, float]:
        """95 % bootstrap interval of a per-user metric."""
        return significance.interval(self.per_user(name))

    @property
    def metrics(self) -> dict[str, float]:
        """All figures of the protocol's ks."""
        per_user = {f"{metric}@{k}": self[f"{metric}@{k}"] for k in self.protocol["k"] for metric in self._metrics}
        return per_user | self.beyond

    def table(self) -> pl.DataFrame:
        """One row per metric with its interval, and a column per recommender beside it."""
        rows = []
        for name, value in self.metrics.items():
            low, high = (None, None) if name in self.beyond else self.interval(name)
            others = {other.name: other[name] for other in self.beside}
            rows.append({"metric": name, self.name: value, "low": low, "high": high, **others})
        return pl.DataFrame(rows)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; NaN becomes null."""
        intervals = {name: self.interval(name) for name in self.metrics if name not in self.beyond}
        content = {
            "recommender": self.name,
            "protocol": self.protocol,
            "metrics": self.metrics,
            "intervals": intervals,
            "slices": self.slices,
            "training": self.training,
            "beside": {other.name: other.metrics for other in self.beside},
        }
        if self.answers is not None:
            content["answers"] = self.answers.as_dict()
        cleaned: dict[str, Any] = _without_nan(content)
        return cleaned

    def to_json(self, path: str | Path | None = None) -> str:
        """The report as JSON text; also written to ``path`` when given (atomically)."""
        text = json.dumps(self.as_dict(), indent=1, ensure_ascii=False, default=str)
        if path is not None:
            artefacts.write_atomically(path, text.encode())
        return text

    def to_html(self, path: str | Path | None = None) -> str:
        """One self-contained page; also written to ``path`` when given (atomically)."""
        from segue.evaluation.page import page

        text = page(self)
        if path is not None:
            artefacts.write_atomically(path, text.encode())
        return text

    def __repr__(self) -> str:
        low, high = self.interval("ndcg@10") if self.hits.marks.shape[1] >= 10 else (float("nan"),) * 2
        figure = f"ndcg@10 {self['ndcg@10']:.4f} [{low:.4f}, {high:.4f}]" if high == high else ""
        return f"Report({self.name}: {figure}, {self.protocol['users']:,} users)"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(each) for each in value]
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value
