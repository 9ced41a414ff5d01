"""What each part of the inputs is worth: the same training with and without it, and a paired test.

All variants share the settings, the seed and the data; they are asked on the validation holdout, so that the test stays
unseen, with the model that the search found (no refit, which would learn the answers). Early stopping reads the same
holdout in every variant: differences are fair, the figures themselves a little high. The parts are read from
the plan of the full model, so that a new one needs no change here.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from segue.cautions import SettingUnread
from segue.data.split import Split
from segue.errors import ConfigUnknown, NoTargets, NothingToAblate, nearest
from segue.evaluation.compare import compare
from segue.evaluation.evaluate import evaluate
from segue.evaluation.report import Report
from segue.ranking.metrics import parse_metric
from segue.recommenders.sequence import SequenceRecommender
from segue.training.plan import SequenceConfig
from segue.training.trend_fit import K

TREND = "trend"


def ablate(
    split: Split,
    settings: Mapping[str, Any] | None = None,
    what: str = "time",
    *,
    metric: str | None = None,
    checkpoint: str | Path | None = None,
    **run: Any,
) -> pl.DataFrame:
    """Train with all parts, without each, and without any.

    Args:
        settings: of :class:`segue.SequenceRecommender`; the parts that are on are what ``what`` is set to there.
        what: the setting whose parts are switched off, such as ``"time"`` or ``"behaviour"``.
        metric: a per-user metric; default the setting ``validation_metric``.
        checkpoint: directory with one checkpoint for each variant; with ``resume=True`` finished ones are not trained
            again.
        run: as of ``fit`` (``progress``, ``resume``, ``device``, ``threads``).

    Returns:
        One row per part, the last for all of them together: ``part``, the metric ``with`` all parts and ``without``
        this one, their ``difference`` with its 95 % interval (``low``, ``high``) and ``p`` (paired randomisation test;
        not corrected for the number of parts), ``users``, and ``seconds`` of training without it. The trend is learnt
        on the validation holdout itself, after the model; its row is what crossing two halves of the people showed.

    Raises:
        ConfigUnknown: no setting of that name has parts.
        NothingToAblate: the log has none of them, or all are off.
        NoTargets: the split has no validation.
    """
    if split.validation is None:
        raise NoTargets(why="the split has no validation, and the test must not decide what is switched on")
    known = [name for name in SequenceConfig.model_fields if _has_parts(name)]
    if what not in known:
        raise ConfigUnknown(name=what, owner="what to switch off", hint=nearest(what, known), known=", ".join(known))
    given = {**(settings or {}), "refit": False}
    metric = metric or SequenceConfig.parse(given, owner="SequenceRecommender").validation_metric
    holdout, k = split.validation, parse_metric(metric)[1]
    home = None if checkpoint is None else Path(checkpoint)

    def measured(name: str, **changed: Any) -> tuple[Report, SequenceRecommender, float]:
        model = SequenceRecommender(**{**given, **changed})
        place = None if home is None else home / name
        with warnings.catch_warnings():
            if changed:  # what is switched off leaves settings about it unread
                warnings.simplefilter("ignore", SettingUnread)
            model.fit(split.train, holdout, checkpoint=place, **run)
        # Of the training alone, so that it holds for what was trained before an interruption too.
        seconds = sum(row["seconds"] for row in model.report["training"]["curve"])
        model.item_counts = split.train.item_counts  # not the targets' own popularity
        model.trend = None  # it has been taught by the very events that are asked about
        return evaluate(model, holdout, k=k, progress=bool(run.get("progress", True))), model, seconds

    full, model, _ = measured("all")
    parts = [part for part in getattr(model.plan, what) if part != TREND]
    if not parts:
        raise NothingToAblate(what=what)
    off = {part: [other for other in parts if other != part] for part in parts} if len(parts) > 1 else {}
    rows = []
    for part, left in (off | {f"all of {what}": []}).items():
        report, _, seconds = measured(part.replace(" ", "-"), **{what: left})
        test = compare(full, report, metric)
        rows.append(
            {
                "part": part,
                "with": full[metric],
                "without": report[metric],
                "difference": test.difference,
                "low": test.low,
                "high": test.high,
                "p": test.p_value,
                "users": full.protocol["users"],
                "seconds": round(seconds, 1),
            }
        )
    if what == "time" and (crossed := model.report.get("trend")):
        rows.insert(-1, _trend_row(crossed))
    return pl.DataFrame(rows, infer_schema_length=None)


def _trend_row(report: Mapping[str, Any]) -> dict[str, Any]:
    """The trend as another part: each half of the people judges the weights that the other half taught."""
    figures = report[f"ndcg@{K}"]
    given: dict[str, Any] = {"part": TREND, "with": figures["with"], "without": figures["without"]}
    given |= {"difference": figures["with"] - figures["without"], "low": None, "high": None, "p": None}
    return given | {"users": report["users"], "seconds": None}


def _has_parts(name: str) -> bool:
    """Whether a setting is a list of parts to switch."""
    return "list[" in str(SequenceConfig.model_fields[name].annotation)
