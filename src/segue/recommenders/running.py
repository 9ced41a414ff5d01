"""How to run today: the options of a training by name, and those of its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from segue.errors import ConfigUnknown, nearest
from segue.training.fit import RunOptions

RUN_OPTIONS = tuple(field.name for field in fields(RunOptions))


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
