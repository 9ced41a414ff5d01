"""Studies on disk: opening one safely, whose trials count, and what each trial tries.

A study is Optuna's, in a SQLite file that several processes share. Three rules make it resumable. A trial whose
process is gone does not count, and another takes its place. What a trial tries is a function of the seed, its place
among the trials that count, and what was found before: a killed search goes on with the proposals it would have made.
A study remembers what it was begun with and refuses anything else. Training is left to ``tune``.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import socket
import sqlite3
import time
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import IntegrityError, OperationalError, SQLAlchemyError

from segue.errors import StudyForeign, StudyNotReadable, StudyVersion

ERROR, PROCESS, PLACE, SIGNATURE = "error", "process", "place", "segue"
_BUSY = 60  # seconds to wait for another process's write
_ELSEWHERE = dt.timedelta(days=1)  # how long a trial on another machine is believed to be running


def url_of(storage: str | Path | None) -> str | None:
    """A path, a database URL or None (memory) as a URL or None."""
    if storage is None or "://" in str(storage):
        return None if storage is None else str(storage)
    return f"sqlite:///{Path(storage)}"


def open_study(url: str | None, name: str, signature: Mapping[str, Any], seed: int, first: Mapping[str, Any]) -> Study:
    """Make a study or go on with it.

    Args:
        signature: what it is about; each part is compared with that of the study on disk.
        first: what the first trial tries, where the space has it.

    Raises:
        StudyNotReadable: the file is no study database.
        StudyVersion: it is of another version of Optuna.
        StudyForeign: it was begun with other data, settings or space.
    """
    with readable(url):
        storage: Any = None
        if url is not None:
            _refuse_others(url)
            options = {"connect_args": {"timeout": _BUSY}} if url.startswith("sqlite") else {}
            storage = _opened(url, options)
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            direction="maximize",
            load_if_exists=True,
            sampler=PlacedSampler(seed, first),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=4),
        )
        wanted = json.loads(json.dumps(dict(signature)))  # as it comes back from the database
        if SIGNATURE not in study.user_attrs and not study.get_trials(deepcopy=False):
            study.set_user_attr(SIGNATURE, wanted)
        begun = study.user_attrs.get(SIGNATURE)
        for part, value in wanted.items():
            if begun is None or begun.get(part) != value:
                what = f"another {part} than now" if begun is not None else "segue did not make it"
                raise StudyForeign(study=name, path=path_of(url), what=what)
    return study


def _opened(url: str, options: dict[str, Any]) -> Any:
    """The storage; two processes that make its tables at once get in each other's way, for a moment."""
    for pause in (0.1, 0.3, 1.0, 3.0):
        try:
            return optuna.storages.RDBStorage(url, engine_kwargs=options)
        except (OperationalError, IntegrityError):
            time.sleep(pause)
    return optuna.storages.RDBStorage(url, engine_kwargs=options)


def path_of(url: str | None) -> str:
    """The file of a SQLite URL; of another URL what may be shown of it."""
    if url is None:
        return "memory"
    if url.startswith("sqlite:///"):
        return url.removeprefix("sqlite:///")
    head, _, tail = url.partition("://")
    return f"{head}://{tail.rpartition('@')[2]}"


@contextlib.contextmanager
def readable(url: str | None) -> Iterator[None]:
    """Faults of the database as errors of ours, and Optuna's talk kept low."""
    talk = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            yield
    except (SQLAlchemyError, StorageInternalError) as error:
        cause = getattr(error.__cause__, "orig", None) or getattr(error, "orig", None) or error
        reason = (str(cause).strip().splitlines() or ["unknown"])[0].rstrip(".")
        raise StudyNotReadable(path=path_of(url), reason=reason) from None
    finally:
        optuna.logging.set_verbosity(talk)


def _refuse_others(url: str) -> None:
    """Optuna would add its tables to any database, and says of another version only that it is one."""
    from sqlalchemy.engine import make_url

    try:
        database = make_url(url).database if url.startswith("sqlite") else None
    except SQLAlchemyError:
        raise StudyNotReadable(path=path_of(url), reason="it is not a database URL") from None
    if not database:
        return
    try:
        Path(database).parent.mkdir(parents=True, exist_ok=True)
        if not Path(database).exists():
            return
        with contextlib.closing(sqlite3.connect(Path(database).absolute().as_uri() + "?mode=ro", uri=True)) as file:
            tables = {row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            found = file.execute("SELECT version_num FROM alembic_version").fetchall() if "studies" in tables else []
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or "no such table" in str(error):  # another process is just making it
            return
        raise StudyNotReadable(path=database, reason=error) from None
    except (sqlite3.DatabaseError, OSError) as error:
        raise StudyNotReadable(path=database, reason=error) from None
    if tables and not tables & {"studies", "version_info", "alembic_version"}:
        raise StudyNotReadable(path=database, reason=f"it holds other tables ({', '.join(sorted(tables)[:3])})")
    if not found:
        return
    bare = optuna.storages.RDBStorage(url, skip_compatibility_check=True, skip_table_creation=True)
    newest = bare.get_head_version()
    bare.remove_session()
    if found[0][0] != newest:
        older = found[0][0] in bare.get_all_versions()
        advice = f"Upgrade it with: optuna storage upgrade --storage {url}." if older else "Upgrade optuna."
        raise StudyVersion(path=database, found=found[0][0], known=newest, advice=advice)


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial takes a place: an attempt that was given up, killed or never begun does not."""
    return trial.state is not TrialState.FAIL or ERROR in trial.user_attrs


def counted(study: Study) -> list[FrozenTrial]:
    """The trials that count, in order."""
    return [trial for trial in study.get_trials(deepcopy=False) if counts(trial)]


def place_of(study: Study, number: int) -> int:
    """How many trials that count came before trial ``number``."""
    return sum(trial.number < number for trial in counted(study))


def bury(study: Study) -> None:
    """Mark the trials whose process is gone as failed, so that others take their places."""
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        if not _alive(trial):
            study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)


def this_process() -> str:
    """Host, process id and when the process began: ids come again, with another beginning."""
    return f"{socket.gethostname()} {os.getpid()} {_began(os.getpid())}"


def _began(process: int) -> str:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return "-"


def _alive(trial: FrozenTrial) -> bool:
    host, number, began = trial.user_attrs.get(PROCESS, "? 0 -").split()
    if host != socket.gethostname() or os.name != "posix":
        age = dt.datetime.now() - (trial.datetime_start or dt.datetime.min)
        # Without a host its process was killed, or is about to write it.
        return age < (_ELSEWHERE if host != "?" else dt.timedelta(seconds=5))
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return str(began) == _began(int(number))


class PlacedSampler(BaseSampler):
    """Optuna's TPE, begun anew for each trial from the seed and the trial's place.

    The first place tries ``first``, so that a search never ends below the settings it was given.
    """

    def __init__(self, seed: int, first: Mapping[str, Any]) -> None:
        self.seed, self.first = seed, first
        self._place, self._tpe = 0, TPESampler()

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Find the place."""
        self._place = place_of(study, trial.number)
        state = np.random.SeedSequence([self.seed, self._place]).generate_state(1)
        self._tpe = TPESampler(seed=int(state[0]))

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """None for the first."""
        return self._tpe.infer_relative_search_space(study, trial) if self._place else {}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """What belongs together."""
        return self._tpe.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """One setting."""
        if self._place == 0 and param_name in self.first:
            return self.first[param_name]
        return self._tpe.sample_independent(study, trial, param_name, param_distribution)
