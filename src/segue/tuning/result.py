"""What a search found: the best settings, every trial, how much each setting mattered, as frame, TOML and page.

Holds no model: train with the best settings, on whatever data, is the next step. Drawing is left to ``page``.
"""

from __future__ import annotations

import contextlib
import json
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from segue import artefacts
from segue.data.frames import FrameKind, from_polars
from segue.errors import NoTrialFinished
from segue.tuning.search import Search

if TYPE_CHECKING:
    from optuna.study import Study

_STATES = {"COMPLETE": "finished", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running"}


@dataclass(frozen=True)
class TuningResult:
    """The outcome of :func:`segue.tune`.

    Attributes:
        recommender: name of the class.
        settings: the best, together with those that were fixed: ``recommender(**settings)`` has them.
        found: of these, what was searched.
        best_value: of the metric, on validation.
        metric: what was searched for.
        importances: share of each setting in the differences between trials; empty for too few trials.
        space: what was searched in.
        table: one row per trial that counts.
        study, storage: where it is kept.
    """

    recommender: str
    settings: dict[str, Any]
    found: dict[str, Any]
    best_value: float
    metric: str
    importances: dict[str, float]
    space: dict[str, Any]
    table: pl.DataFrame
    study: str
    storage: str
    frame_kind: FrameKind = "polars"
    cleaning: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, study: Study, search: Search) -> TuningResult:
        """What is in a study; raises ``NoTrialFinished``."""
        from segue.tuning import study as studies

        with studies.readable(search.url):
            trials = studies.counted(study)
            rows = []
            for place, trial in enumerate(trials, 1):
                seconds = trial.duration.total_seconds() if trial.duration else None
                row = {
                    "trial": place,
                    "state": _STATES.get(trial.state.name, trial.state.name.lower()),
                    "value": trial.value,
                    "epochs_run": trial.last_step,
                    "seconds": None if seconds is None else round(seconds, 2),
                    **{name: trial.params.get(name) for name in search.space.parts},
                    "error": trial.user_attrs.get(studies.ERROR),
                }
                rows.append(row)
            finished = [trial for trial in trials if trial.state.name == "COMPLETE"]
            if not finished:
                told = [row["error"] for row in rows if row["error"]]
                raise NoTrialFinished(count=len(rows), why=f"; the first said: {told[0]}" if told else "")
            best = max(finished, key=lambda trial: (trial.value or 0.0, -trial.number))
            return cls(
                recommender=search.recommender.__name__,
                settings={**search.settings, **best.params},
                found=dict(best.params),
                best_value=float(best.value or 0.0),
                metric=search.metric,
                importances=_importances(study, len(finished)),
                space=search.space.as_dict(),
                table=pl.DataFrame(rows, infer_schema_length=None).with_columns(
                    pl.col("error").cast(pl.String), pl.col("epochs_run").cast(pl.Int64)
                ),
                study=search.study,
                storage=studies.path_of(search.url),
                frame_kind=search.train.frame_kind,
            )

    @property
    def trials(self) -> Any:
        """One row per trial that counts, in the kind of frame the data came in."""
        return from_polars(self.table, self.frame_kind)

    def to_toml(self, path: str | Path | None = None) -> str:
        """What ``segue train --config`` reads; also written to ``path`` when given (atomically)."""
        finished = self.table.filter(pl.col("state") == "finished").height
        lines = [
            f"# {self.metric} {self.best_value:.4f} on validation, the best of {finished} finished trials.",
            f"recommender = {_toml(self.recommender)}",
        ]
        for name, table in (("settings", self.settings), ("cleaning", self.cleaning)):
            if table:
                lines += ["", f"[{name}]", *(f"{_key(key)} = {_toml(value)}" for key, value in table.items())]
        text = "\n".join(lines) + "\n"
        if path is not None:
            artefacts.write_atomically(path, text.encode())
        return text

    def to_html(self, path: str | Path | None = None) -> str:
        """One self-contained page with plots; also written to ``path`` when given (atomically)."""
        from segue.tuning.page import page

        text = page(self)
        if path is not None:
            artefacts.write_atomically(path, text.encode())
        return text

    def __repr__(self) -> str:
        return f"TuningResult({self.recommender}: {self.metric} {self.best_value:.4f} with {self.found})"


def _importances(study: Study, finished: int) -> dict[str, float]:
    """PED-ANOVA over the trials that finished; with few of them it says nothing."""
    import optuna

    if finished < 4:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        with contextlib.suppress(ValueError, RuntimeError):  # all values alike
            shares = optuna.importance.get_param_importances(study, evaluator=evaluator)
            return {name: float(share) for name, share in shares.items()}
    return {}


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False)
