"""``segue.tune``: search for the settings that do best on the validation holdout. The test is never touched.

Decides what is searched and by how many processes; one process's share is ``work``'s, what is on disk ``study``'s, and
what may be tried ``space``'s.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from segue.arguments import refusal, require, require_mapping, require_text, require_whole
from segue.data.dataset import Dataset
from segue.data.frames import is_frame
from segue.data.split import Holdout, Split, training_parts
from segue.errors import ConfigValue, ExtraMissing, NothingToTuneOn
from segue.ranking.metrics import parse_metric
from segue.recommenders.base import Recommender
from segue.recommenders.store import recommender_class
from segue.tuning.result import TuningResult
from segue.tuning.search import METRIC, Search
from segue.tuning.space import Space


def tune(
    data: Dataset | Split,
    validation: Holdout | None = None,
    *,
    recommender: str | type[Recommender] = "SequenceRecommender",
    settings: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
    trials: int = 20,
    storage: str | Path | None = None,
    study: str = "segue",
    metric: str | None = None,
    seed: int = 0,
    timeout: float | None = None,
    jobs: int = 1,
    progress: bool = True,
    device: str = "auto",
    threads: int | None = None,
) -> TuningResult:
    """Search for the settings that do best on the validation holdout.

    Interrupted, killed or given more ``trials``, the same call goes on where the study is. Several processes may call
    it on one file; together they stop at ``trials``.

    Args:
        data: training events, or a split, whose train and validation are used and whose test is not.
        validation: what trials are judged on, where ``data`` is no split.
        recommender: class or its name.
        settings: fixed in every trial; they are left out of the default space.
        space: for each setting ``{"low": 1e-4, "high": 1e-2, "log": True}`` or a list of choices.
        trials: how many count in the end.
        storage: a file (SQLite) or a database URL; None keeps the study in memory.
        study: its name there.
        metric: a ranking metric at k. Default: the recommender's ``validation_metric``, or ``"ndcg@10"``.
        seed: of the proposals; with one process the same seed makes the same search.
        timeout: seconds after which no trial begins.
        jobs: processes.
        device, threads: as in ``fit``.

    Raises:
        NothingToTuneOn, NothingToTune, NoTrialFinished: there is nothing to search with, in or to show.
        StudyNotReadable, StudyVersion, StudyForeign: the file is not a study of this search.
        ConfigUnknown, ConfigValue, MetricUnknown: a name or value that cannot be.
        ExtraMissing: Optuna is not installed.
    """
    _require_optuna()
    from segue.tuning.study import url_of
    from segue.tuning.work import begin, work

    train, held = _parts(data, validation)
    cls = recommender_class(recommender) if isinstance(recommender, str) else recommender
    if not isinstance(cls, type) or not issubclass(cls, Recommender):
        advice = "Give a class of segue or its name; its fixed settings go into settings={...}."
        raise refusal(recommender, "tune", "recommender", "a class", advice)
    for name, mapping in (("settings", settings), ("space", space)):
        if mapping is not None:
            require_mapping(mapping, "tune", name, "{'learning_rate': [1e-3, 3e-3]}")
    if storage is not None:
        require(storage, (str, os.PathLike), "tune", "storage", "a path", "Give a file or the URL of a database.")
    if metric is not None:
        require_text(metric, "tune", "metric", METRIC)
    seed = require_whole(seed, "tune", "seed", 0)
    fixed = dict(settings or {})
    for name, value in (("trials", trials), ("jobs", jobs)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
            raise ConfigValue(name=name, owner="tune", value=value, reason="a whole number of at least 1 is needed")
    config = cls.Settings.parse(fixed, owner=cls.__name__)
    if metric is not None and "validation_metric" in cls.Settings.model_fields:
        fixed["validation_metric"] = metric
    wanted = metric if metric is not None else str(getattr(config, "validation_metric", METRIC))
    parse_metric(wanted)
    search = Search(
        recommender=cls,
        train=train,
        validation=held,
        settings=fixed,
        space=Space.of(cls.__name__, cls.Settings, space, fixed),
        metric=wanted,
        trials=trials,
        seed=seed,
        url=url_of(storage),
        study=study,
        until=None if timeout is None else time.time() + timeout,
        run={"device": device, "threads": threads},
    )
    with contextlib.ExitStack() as stack:
        if jobs > 1:
            if threads is None:
                search.run["threads"] = max(1, (os.cpu_count() or 1) // jobs)
            if search.url is None:  # processes share a file
                folder = stack.enter_context(tempfile.TemporaryDirectory())
                search = replace(search, url=url_of(Path(folder) / "study.db"))
        begun = begin(search)
        with _workers(search, jobs - 1):
            work(begun, search, progress)
        work(begun, search, progress)  # a worker that was killed has left its place to this process
        return TuningResult.of(begun, search)


def _parts(data: Dataset | Split, validation: Holdout | None) -> tuple[Dataset, Holdout]:
    """Train and validation; of a split nothing else is read."""
    if isinstance(data, Split) and validation is not None:
        raise NothingToTuneOn(why="a split brings its own validation; the holdout beside it would not be used")
    if not isinstance(data, Dataset | Split) and not is_frame(data):
        raise NothingToTuneOn(why=f"a {type(data).__name__} is no data set")
    train, validation = training_parts(data, validation, "tune")
    if not isinstance(validation, Holdout) or not len(validation.users):
        raise NothingToTuneOn(why="there is no validation holdout")
    return train, validation


def _require_optuna() -> None:
    try:
        import optuna  # noqa: F401
    except ImportError:
        raise ExtraMissing(what="tuning", package="optuna", extra="tune") from None


@contextlib.contextmanager
def _workers(search: Search, count: int) -> Iterator[None]:
    """Processes that share the work; they end with the block, at once where it ends in an error or Ctrl-C."""
    from segue.tuning.work import work_apart

    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work_apart, args=(search,), daemon=True) for _ in range(count)]
    for process in processes:
        process.start()
    try:
        yield
    except BaseException:
        for process in processes:
            process.terminate()
        raise
    finally:
        for process in processes:
            process.join()
