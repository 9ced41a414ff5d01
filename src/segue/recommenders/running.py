"""What recommenders that train need before they can: options of a run by name, and something to validate on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from segue.data.dataset import Dataset
from segue.data.split import Holdout, leave_last_out
from segue.errors import ConfigUnknown, SplitEmpty, nearest
from segue.training.fit import RunOptions

RUN_OPTIONS = tuple(field.name for field in fields(RunOptions))


def inner_validation(data: Dataset, target: str | None) -> tuple[Dataset, Holdout | None]:
    """Hold the last event of each user out for early stopping when the caller gave nothing to validate on."""
    try:
        inner = leave_last_out(data, target)
    except SplitEmpty:
        return data, None
    context = inner.test.context
    return (context, Holdout(context, inner.test.targets, until=data)) if len(context) else (data, None)


def run_options(run: Mapping[str, Any]) -> RunOptions:
    """What was given to ``fit``; raises ``ConfigUnknown``."""
    for name in run:
        if name not in RUN_OPTIONS:
            hint = nearest(name, RUN_OPTIONS)
            raise ConfigUnknown(name=name, owner="fit", hint=hint, known=", ".join(RUN_OPTIONS))
    settings = dict(run)
    for name in ("checkpoint", "log_dir"):
        if settings.get(name) is not None:
            settings[name] = Path(settings[name])
    return RunOptions(**settings)


def within(options: RunOptions, name: str) -> RunOptions:
    """The run of one part, with a checkpoint of its own."""
    return options if options.checkpoint is None else replace(options, checkpoint=options.checkpoint / name)


def base_run(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    """As :func:`within`, for a recommender beneath."""
    own = dict(run)
    if own.get("checkpoint") is not None:
        own["checkpoint"] = Path(own["checkpoint"]) / name
    return own
