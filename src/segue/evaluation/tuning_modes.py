"""The ways of tuning a language model side by side: what each trains, costs and gains on one log.

All modes share the settings, the seed and the data, and start from one sequence model that was trained with the
language model frozen. The table separates three effects:

- ``frozen`` is that model. Early stopping chose its epoch.
- ``control`` trains on for the same epochs with the same learning rates of the sequence model, and the language model
  stays frozen. Its difference to ``frozen`` is what further training alone does.
- The difference of a mode to ``control`` is what tuning the language model does.

Half of the validation users (by chance) choose the epoch of every row, the other half measure it, and no row falls
back to another: a mode can lose. The test stays unseen.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from segue.data.split import Holdout, Split
from segue.errors import ConfigUnknown, NoTargets, nearest
from segue.evaluation.compare import compare
from segue.evaluation.evaluate import evaluate
from segue.evaluation.report import Report
from segue.language.tuning import MODES
from segue.ranking.metrics import parse_metric
from segue.recommenders.sequence import SequenceRecommender
from segue.training.plan import SequenceConfig

_BASELINES = ("frozen", "control")
_OF_THE_LANGUAGE_MODEL = (
    "tuning_layers",
    "tuning_rank",
    "tuning_learning_rate",
    "text_batch",
    "gradient_checkpointing",
)
_STATUS = Path("/proc/self/status")


def compare_tuning(
    split: Split,
    settings: Mapping[str, Any] | None = None,
    modes: Sequence[str] = ("top", "lora", "prefix", "adapter", "full"),
    *,
    checkpoint: str | Path | None = None,
    apart: bool = True,
    **run: Any,
) -> pl.DataFrame:
    """Train with each mode, and with the two baselines ``frozen`` and ``control``.

    Args:
        settings: of :class:`segue.SequenceRecommender`.
        modes: see ``segue.language.tuning``.
        checkpoint: directory for what was trained; with ``resume=True`` finished modes are not trained again.
        apart: each mode in a process of its own, so that its memory is its own; a script that calls this needs
            ``if __name__ == "__main__":``. False measures here, where memory that was freed before hides some.
        run: as of ``fit`` (``progress``, ``resume``, ``device``, ``threads``).

    Returns:
        One row per mode, the baselines first: ``mode``, ``trainable`` parameters of the language model and their
        ``share``, ``memory`` in MB at the peak of training beyond what was held before, ``step_seconds`` (the median
        step of tuning, by the clock) and ``step_cpu_seconds`` (of the processor), ``seconds`` of training (with the
        frozen one before it), ``epochs`` of tuning that were used and ``selection``, the validation metric on the users
        who chose that number. Then, on the other half of the users, the same metric with its 95 % interval (``low``,
        ``high``), and the paired ``difference`` to ``control`` with its own (``difference_low``, ``difference_high``).

    Raises:
        ConfigUnknown: no such mode.
        NoTargets: the split has no validation, or one of a single user.
    """
    if split.validation is None:
        raise NoTargets(why="the split has no validation, and the test must not decide how to tune")
    for mode in modes:
        if mode not in (*_BASELINES, *MODES):
            known = (*_BASELINES, *MODES[1:])
            raise ConfigUnknown(name=mode, owner="tuning", hint=nearest(mode, known), known=", ".join(known))
    config = SequenceConfig.parse(settings or {}, owner="SequenceRecommender")
    selection, reported = _halves(split.validation, config.seed)
    with tempfile.TemporaryDirectory(prefix="segue-tuning-") as passing:
        home = Path(passing) if checkpoint is None else Path(checkpoint)
        rows, reports = [], {}
        for mode in dict.fromkeys((*_BASELINES, *modes)):
            if mode != "frozen":
                _start_from(home / "frozen", home / mode)
            options = {**run, "resume": True, "checkpoint": home / mode}
            task = (split.train, selection, reported, _settings_of(mode, settings or {}), options)
            row, reports[mode] = _in_process(*task) if apart else _measured(*task)
            rows.append({"mode": mode, **row})
    for row in rows:
        change = compare(reports[row["mode"]], reports["control"], config.validation_metric)
        row |= {"difference": change.difference, "difference_low": change.low, "difference_high": change.high}
    return pl.DataFrame(rows, infer_schema_length=None).rename({"value": config.validation_metric})


def _settings_of(mode: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that matter in a mode: the baselines have no language model that learns."""
    unread = set(_OF_THE_LANGUAGE_MODEL if mode in _BASELINES else ())
    unread |= {"tuning_epochs"} if mode == "frozen" else set()
    own = {name: value for name, value in settings.items() if name not in unread}
    given = {**own, "tuning": mode, "refit": False} | ({} if mode == "frozen" else {"tuning_fallback": False})
    of_other_modes = SequenceConfig.parse(given, owner="SequenceRecommender").unread()
    return {name: value for name, value in given.items() if name not in of_other_modes}


def _halves(holdout: Holdout, seed: int) -> tuple[Holdout, Holdout]:
    """The holdout by two halves of its users, drawn at random; raises ``NoTargets`` where there are fewer than two."""
    users = np.random.default_rng(seed).permutation(holdout.users)
    if len(users) < 2:
        raise NoTargets(why="validation holds a single user, and one half chooses epochs while the other measures")
    first = pl.col("user").is_in(np.sort(users[: len(users) // 2]))
    return tuple(  # type: ignore[return-value]
        replace(holdout, targets=holdout.targets.where(part), until=None) for part in (first, ~first)
    )


def _start_from(frozen: Path, mode: Path) -> None:
    """Give a mode the finished training with the language model frozen; it is the same for all."""
    if not (mode / "search").exists():
        shutil.copytree(frozen / "search", mode / "search")


def _in_process(*task: Any) -> tuple[dict[str, Any], Report]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(_measured, *task).result()


def _measured(
    train: Any, selection: Holdout, reported: Holdout, settings: dict[str, Any], run: dict[str, Any]
) -> tuple[dict[str, Any], Report]:
    """One row of the table without its difference to the control, and the report of the measuring half."""
    model = SequenceRecommender(**settings)
    before = _memory("VmRSS")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    model.fit(train, selection, **run)
    used = max(0, _memory("VmHWM") - before)
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        used = torch.cuda.max_memory_allocated()
    training = model.report["training"]
    tuning = training["tuning"] or {}
    # The same for all modes, and beside what is compared: popularity and trend are those of training.
    model.item_counts = train.item_counts
    model.trend = None
    metric = training["plan"]["validation_metric"]
    report = evaluate(model, reported, k=parse_metric(metric)[1], progress=bool(run.get("progress", True)))
    low, high = report.interval(metric)
    row = {
        "trainable": tuning.get("trainable", 0),
        "share": tuning.get("share", 0.0),
        "memory": round(used / 2**20),
        "step_seconds": tuning.get("step_seconds"),
        "step_cpu_seconds": tuning.get("step_cpu_seconds"),
        "seconds": round(sum(row["seconds"] for row in [*training["curve"], *tuning.get("curve", [])]), 1),
        "epochs": tuning.get("epochs", 0),
        "selection": training["best_validation"],
        "value": report[metric],
        "low": low,
        "high": high,
    }
    return row, replace(report, training={})


def _memory(which: str) -> int:
    """Bytes that this process holds (``VmRSS``), or has held at most (``VmHWM``)."""
    if _STATUS.exists():
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(which))
        return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # elsewhere there is the peak alone
    return peak if sys.platform == "darwin" else peak * 1024
