"""Continual learning: a log cut into slices of time, a model updated slice by slice, and what it still knows.

Each slice is a task: its people's last events in it are held out and never trained on. After each further slice every
way of going on is asked about the newest task and about the older ones, beside training from scratch on everything so
far and beside doing nothing.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from segue.data.dataset import Dataset
from segue.data.split import Holdout
from segue.errors import SplitEmpty
from segue.evaluation.evaluate import evaluate
from segue.ranking.metrics import parse_metric
from segue.recommenders.sequence import SequenceRecommender

WAYS: Mapping[str, Mapping[str, Any]] = {
    "new events alone": {"forgetting": "none", "replay": 0.0},
    "replay": {"forgetting": "none"},
    "replay and distillation": {"forgetting": "distil"},
    "replay and EWC": {"forgetting": "ewc"},
}
NOTHING, SCRATCH = "nothing", "from scratch"


@dataclass(frozen=True, eq=False)
class Task:
    """One slice of time.

    Attributes:
        learnt: its events without those held out.
        test: the last event of each person in it, with what was known before as context.
    """

    learnt: Dataset
    test: Holdout


def tasks(data: Dataset, slices: int = 5) -> list[Task]:
    """Slices of about equally many events, one after the other in time.

    Raises:
        SplitEmpty: a slice has nobody who can be asked about.
    """
    stamps = data.events["timestamp"].to_numpy()
    edges = np.quantile(stamps, np.arange(1, slices) / slices)
    slice_of = np.searchsorted(edges, stamps, side="left")
    numbered = data.events.select("user").with_columns(slice=pl.Series(slice_of))
    from_end = numbered.select((pl.len() - 1 - pl.int_range(pl.len())).over("user", "slice")).to_series().to_numpy()
    several = numbered.select(pl.len().over("user", "slice")).to_series().to_numpy() > 1
    held = (from_end == 0) & several
    found = []
    for number in range(slices):
        context, targets = data.where((slice_of <= number) & ~held), data.where((slice_of == number) & held)
        if not len(targets):
            raise SplitEmpty(what="ask about", why=f"nobody has two events in slice {number + 1} of {slices}")
        found.append(Task(data.where((slice_of == number) & ~held), Holdout(context, targets)))
    return found


def continual(
    data: Dataset,
    slices: int = 5,
    settings: Mapping[str, Any] | None = None,
    ways: Mapping[str, Mapping[str, Any]] | None = None,
    *,
    metric: str = "ndcg@10",
    seeds: Sequence[int] = (0,),
    **run: Any,
) -> pl.DataFrame:
    """Train on the first slice, go on through the others in several ways, and measure after each.

    Args:
        settings: of :class:`segue.SequenceRecommender`; give ``epochs`` (nothing is held out for early stopping).
        ways: name to settings of ``update``; default :data:`WAYS`.
        metric: a per-user metric; every task is ranked over the whole catalogue.
        seeds: of training; figures are means over them.
        run: as of ``fit`` (``progress``, ``device``, ``threads``).

    Returns:
        One row per way and slice from the second: ``way``, ``slice``, ``new`` (the metric on the newest task), ``old``
        (its mean over all earlier tasks, each counting alike) and ``seconds`` of learning. The way ``"nothing"`` is the
        model of the first slice, ``"from scratch"`` a training on all slices so far.
    """
    given = {"epochs": 10, "refit": False, **(settings or {})}
    chosen = WAYS if ways is None else ways
    parts = tasks(data, slices)
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        first = SequenceRecommender(**given, seed=seed).fit(parts[0].learnt, **run)
        models = {name: copy.copy(first) for name in (NOTHING, *chosen)}
        for number in range(1, slices):
            known = parts[number].test.context
            for name in (NOTHING, *chosen, SCRATCH):
                began = time.perf_counter()
                if name == SCRATCH:
                    models[name] = SequenceRecommender(**given, seed=seed).fit(known, **run)
                elif name != NOTHING:
                    models[name].update(_outward(parts[number].learnt), **chosen[name], seed=seed, **run)
                seconds = time.perf_counter() - began
                asked = [_asked(models[name], part.test, data, metric) for part in parts[: number + 1]]
                row = {"way": name, "slice": number + 1, "new": asked[-1], "old": float(np.mean(asked[:-1]))}
                rows.append(row | {"seconds": seconds})
    table = pl.DataFrame(rows)
    return table.group_by("way", "slice", maintain_order=True).agg(pl.col("new", "old", "seconds").mean())


def _asked(model: SequenceRecommender, test: Holdout, data: Dataset, metric: str) -> float:
    assert model.item_vocabulary.ids.equals(data.item_vocabulary.ids)  # a split keeps the codes of the whole log
    return evaluate(model, test, k=parse_metric(metric)[1], progress=False)[metric]


def _outward(part: Dataset) -> pl.DataFrame:
    """Events with external ids, as ``update`` takes them."""
    events = part.events
    return events.select(
        part.user_vocabulary.decode(events["user"].to_numpy()).alias("user_id"),
        part.item_vocabulary.decode(events["item"].to_numpy()).alias("item_id"),
        pl.col("timestamp"),
        *(name for name in ("action", "value") if name in events.columns),
    )
