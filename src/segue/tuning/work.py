"""One process's share of a search: trial after trial until enough count, time is up, or someone interrupts.

What a trial tries and whether it counts is ``study``'s.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from optuna.study import Study
from optuna.trial import Trial, TrialState

from segue import progress
from segue.errors import ConfigValue, NothingToTuneOn, SegueError, TrainingDiverged
from segue.ranking.metrics import PER_USER, Hits, parse_metric
from segue.recommenders.base import Recommender
from segue.recommenders.kinds import rarely_again
from segue.tuning import study as studies
from segue.tuning.search import Search

_Tell = Callable[[int, str], None]


class _Hopeless(Exception):
    """Others did better at the same epoch."""


def begin(search: Search) -> Study:
    """Make the study or open it; raises ``StudyNotReadable``, ``StudyVersion``, ``StudyForeign``."""
    return studies.open_study(search.url, search.study, search.signature(), search.seed, search.first())


def work(study: Study, search: Search, show: bool = False) -> None:
    """Run trials until ``search.trials`` count, or ``search.until``."""
    with studies.readable(search.url), _bar(search, show) as tell:
        while search.until is None or time.time() < search.until:
            studies.bury(study)
            done = studies.counted(study)
            tell(len(done), _best(study))
            if len(done) >= search.trials:
                break
            _one(study, search, tell)
        tell(len(studies.counted(study)), _best(study))


def work_apart(search: Search) -> None:
    """:func:`work` in a process of its own; what goes wrong for all is told by the first process."""
    with contextlib.suppress(SegueError, KeyboardInterrupt):
        work(begin(search), search)


def _one(study: Study, search: Search, tell: _Tell) -> None:
    trial = study.ask()
    outcome: dict[str, Any] = {"state": TrialState.FAIL}  # and it does not count
    try:
        trial.set_user_attr(studies.PROCESS, studies.this_process())
        if studies.place_of(study, trial.number) >= search.trials:
            return  # another process took the last place
        outcome = {"values": _value(study, trial, search, tell)}
    except _Hopeless:
        outcome = {"state": TrialState.PRUNED}
    except (TrainingDiverged, ConfigValue) as error:  # settings that do not go together or lead nowhere
        trial.set_user_attr(studies.ERROR, error.message)
    finally:
        study.tell(trial, **outcome, skip_if_finished=True)


def _value(study: Study, trial: Trial, search: Search, tell: _Tell) -> float:
    settings = {**search.settings, **search.space.suggest(trial, search.decided)}
    if not search.by_epochs:
        model = search.recommender(**settings).fit(search.train)
        return _ranked(model, search)
    hopeless = False

    def on_epoch(epoch: int, value: float) -> bool:
        nonlocal hopeless
        trial.report(value, epoch)
        tell(-1, f"trial {trial.number + 1}, epoch {epoch}: {value:.4f}; {_best(study)}")
        hopeless = trial.should_prune()
        return hopeless

    model = search.recommender(**{**settings, "refit": False})
    model.fit(search.train, search.validation, progress=False, on_epoch=on_epoch, **search.run)
    if hopeless:
        raise _Hopeless
    trained = model.report["training"]
    if trained["best_validation"] is None:
        raise NothingToTuneOn(why="no user of the validation has a history")
    return float(trained["best_validation"])


def _ranked(model: Recommender, search: Search) -> float:
    """The metric over all users of the validation, as the final evaluation would count it."""
    held = search.validation
    metric, k = parse_metric(search.metric)
    exclude = rarely_again(held.context.histories)
    contexts, targets = held.context.histories.take(held.users), held.targets.histories.take(held.users)
    lists, _ = model.recommend_codes(contexts, k, exclude_seen=exclude, progress=False)
    return float(PER_USER[metric](Hits.of(lists, targets), k).mean())


def _best(study: Study) -> str:
    values = [trial.value for trial in studies.counted(study) if trial.state is TrialState.COMPLETE]
    return f"best {max(value for value in values if value is not None):.4f}" if values else "no value yet"


@contextlib.contextmanager
def _bar(search: Search, show: bool) -> Iterator[_Tell]:
    """A bar over the trials with the best value so far; the yielded function takes how many are done (or -1)."""
    if not progress.enabled(show):
        yield lambda done, note: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("Tuning"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=search.trials, note="")

        def tell(done: int, note: str) -> None:
            bar.update(task, note=f"{search.metric} {note}", completed=done if done >= 0 else None)

        yield tell
