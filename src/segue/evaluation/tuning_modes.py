"""The ways of tuning a language model side by side: what each learns, takes and gives on one log.

All modes share the settings, the seed and the data, and go on from one sequence model that was trained with the
language model frozen. They are asked on the validation holdout, which early stopping reads too: differences are fair,
the figures themselves a little high, and the test stays unseen.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import polars as pl
import torch

from segue.data.split import Split
from segue.errors import ConfigUnknown, NoTargets, nearest
from segue.evaluation.evaluate import evaluate
from segue.language.tuning import MODES
from segue.ranking.metrics import parse_metric
from segue.recommenders.sequence import SequenceRecommender
from segue.training.plan import SequenceConfig

_STATUS = Path("/proc/self/status")


def compare_tuning(
    split: Split,
    settings: Mapping[str, Any] | None = None,
    modes: Sequence[str] = ("frozen", "top", "lora", "prefix", "adapter", "full"),
    *,
    checkpoint: str | Path | None = None,
    apart: bool = True,
    **run: Any,
) -> pl.DataFrame:
    """Train with each mode.

    Args:
        settings: of :class:`segue.SequenceRecommender`.
        modes: see ``segue.language.tuning``.
        checkpoint: directory for what was trained; with ``resume=True`` finished modes are not trained again.
        apart: each mode in a process of its own, so that its memory is its own; a script that calls this needs
            ``if __name__ == "__main__":``. False measures here, where memory that was freed before hides some.
        run: as of ``fit`` (``progress``, ``resume``, ``device``, ``threads``).

    Returns:
        One row per mode: ``mode``, ``trainable`` parameters of the language model and their ``share``, ``memory`` in MB
        at the peak of training beyond what was held before, ``step_seconds`` (the median step that tunes, by the clock)
        and ``step_cpu_seconds`` (of the processor), ``seconds`` of training (with the frozen one before it), ``epochs``
        of tuning that were kept, and the validation metric with its 95 % interval (``low``, ``high``).

    Raises:
        ConfigUnknown: no such mode.
        NoTargets: the split has no validation.
    """
    if split.validation is None:
        raise NoTargets(why="the split has no validation, and the test must not decide how to tune")
    for mode in modes:
        if mode not in MODES:
            raise ConfigUnknown(name=mode, owner="tuning", hint=nearest(mode, MODES), known=", ".join(MODES))
    with tempfile.TemporaryDirectory(prefix="segue-tuning-") as passing:
        home = Path(passing) if checkpoint is None else Path(checkpoint)
        rows = {}
        for mode in ["frozen", *(each for each in modes if each != "frozen")]:
            if mode != "frozen":
                _go_on_from(home / "frozen", home / mode)
            given = {**(settings or {}), "tuning": mode, "refit": False}
            unread = SequenceConfig.parse(given).unread()  # settings of the other modes
            given = {name: value for name, value in given.items() if name not in unread}
            options = {**run, "resume": True, "checkpoint": home / mode}
            rows[mode] = _apart(split, given, options) if apart else _measured(split, given, options)
    metric = SequenceConfig.parse(settings or {}, owner="SequenceRecommender").validation_metric
    table = pl.DataFrame([{"mode": mode, **rows[mode]} for mode in modes], infer_schema_length=None)
    return table.rename({"value": metric})


def _go_on_from(frozen: Path, mode: Path) -> None:
    """Give a mode the finished training with the language model frozen; it is the same for all."""
    if not (mode / "search").exists():
        shutil.copytree(frozen / "search", mode / "search")


def _apart(split: Split, settings: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_measured, split, settings, run).result()


def _measured(split: Split, settings: dict[str, Any], run: dict[str, Any]) -> dict[str, Any]:
    assert split.validation is not None
    model = SequenceRecommender(**settings)
    before = _memory("VmRSS")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    model.fit(split.train, split.validation, **run)
    used = max(0, _memory("VmHWM") - before)
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        used = torch.cuda.max_memory_allocated()
    training = model.report["training"]
    told = training["tuning"] or {}
    model.item_counts = split.train.item_counts  # not the targets' own popularity
    model.trend = None  # it has been taught by the very events that are asked about
    metric = training["plan"]["validation_metric"]
    report = evaluate(model, split.validation, k=parse_metric(metric)[1], progress=bool(run.get("progress", True)))
    low, high = report.interval(metric)
    return {
        "trainable": told.get("trainable", 0),
        "share": told.get("share", 0.0),
        "memory": round(used / 2**20),
        "step_seconds": told.get("step_seconds"),
        "step_cpu_seconds": told.get("step_cpu_seconds"),
        "seconds": round(sum(row["seconds"] for row in [*training["curve"], *told.get("curve", [])]), 1),
        "epochs": told.get("epochs", 0),
        "value": report[metric],
        "low": low,
        "high": high,
    }


def _memory(which: str) -> int:
    """Bytes that this process holds (``VmRSS``), or has held at most (``VmHWM``)."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(which))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # elsewhere there is the peak alone
    return peak if sys.platform == "darwin" else peak * 1024
