"""The update cycle: what the store has recorded since, learnt, judged, saved beside, and taken into service.

The trained artefact that a line of models began with stays as it is; ``DIR.versions`` beside it holds what updates
made, each whole or not at all. A new model is registered, activated, and what is too old forgotten in one transaction
of the store, by whoever holds the lease. How a model learns and is judged is ``evaluation.refresh``'s; exporting it is
``deploy``'s, and both are handed in, so that nothing here needs what they need.
"""

from __future__ import annotations

import logging
import re
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import polars as pl
from pydantic import Field

from segue.evaluation.refresh import Learnt, RefreshConfig, learn
from segue.recommenders.forgetting import forget_users
from segue.serving.models.activations import Rows
from segue.serving.models.lease import ErasedMeanwhile, Lease
from segue.serving.models.registry import (
    EXPORTED,
    ModelStore,
    Registry,
    activated,
    added,
    beyond,
    root_of,
    row_of,
    sourced,
)
from segue.serving.models.served import Served
from segue.serving.store.rows import ModelRow

Export = Callable[[Path, Path, Path], Any]
"""Exports the trained artefact at the first path to the second, as the export at the third was; may raise."""
State = Literal["activated", "registered", "kept", "nothing"]
VERSIONS = ".versions"
_log = logging.getLogger(__name__)


class UpdatingConfig(RefreshConfig):
    """When there is enough to learn from, what is kept, and (as in its base) what worse means."""

    min_events: int = Field(1, ge=1)
    """Nothing is done for fewer new events."""
    keep: int = Field(3, ge=1)
    """Models of a line that are kept; those that answer, shadow, or would be gone back to are kept anyway."""
    impression: tuple[str, ...] = ("impression",)
    """Actions that are no history: what was shown is not what somebody did. As ``feedback.impression`` of the
    service."""


class EventStore(ModelStore, Protocol):
    """What is needed of the event store, besides its models."""

    def last_seq(self) -> int:
        """The newest number given to an event."""

    def events_frame(self, after: int = 0, until: int | None = None) -> pl.DataFrame:
        """``user_id, item_id, timestamp, action, value, seq`` of events with numbers in ``(after, until]``."""


@dataclass(frozen=True)
class Outcome:
    """What came of an update.

    Attributes:
        state: the new model was activated; registered only (nothing of its line answers, or it shadows); the old one
            was kept, because the new one is worse or cannot be judged; or there was nothing to learn from.
        name: the new model, None where there is none.
        before: the model that was learnt on from.
        why: a sentence for people.
        seq: the newest event of the store that was read.
        dropped: models that were forgotten.
        learnt: figures (``Learnt.document``).
        seconds: of everything.
    """

    state: State
    name: str | None
    before: str
    why: str
    seq: int
    dropped: tuple[str, ...] = ()
    learnt: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def update(
    store: EventStore,
    directory: str | Path,
    settings: UpdatingConfig | None = None,
    *,
    always: bool = False,
    export: Export | None = None,
    lease: Lease | None = None,
    learn: Callable[..., Learnt] = learn,
    **learning: Any,
) -> Outcome:
    """Learn from what the store has recorded since, and let the new model answer unless it is worse.

    Args:
        store: see ``segue.serving.store``.
        directory: the artefact that a line of models began with, or any of the line.
        settings: see :class:`UpdatingConfig`.
        always: activate the new model even where it is worse or cannot be judged.
        export: where the model that answers is an export, how the new one becomes one too; None serves it as trained.
        lease: of this update; default one of its own.
        learn, learning: see ``evaluation.refresh.learn``.

    Raises:
        UpdateRunning: another update is at work.
        ArtefactError, StoreError, and what learning and exporting raise. The models stay as they were.
    """
    settings, began = settings or UpdatingConfig(), time.perf_counter()
    with (lease or Lease(store)).held() as own:
        registry = Registry(store)
        row = newest_of_line(registry.rows(), directory)
        seq = store.last_seq()
        outcome = _learnt(store, registry, own, row, seq, settings, always, export, learn, learning)
        outcome = replace(outcome, seconds=time.perf_counter() - began)
        own.report({"state": outcome.state, "name": outcome.name, "why": outcome.why, "seq": seq, "root": root_of(row)})
    return outcome


def newest_of_line(rows: list[ModelRow], directory: str | Path) -> ModelRow:
    """The model of a line to learn on from: the one that answers, else the newest; a row of its own where none is."""
    path = sourced(directory)
    named = [row for row in rows if path in (row.path, row.source, root_of(row))]
    line = [row for row in rows if named and root_of(row) == root_of(named[0])]
    for role in ("active", "shadow", "waiting"):
        if found := [row for row in line if row.role == role]:
            return max(found, key=lambda row: (int(row.document.get("activated", 0)), row.created))
    return row_of(directory)


def _learnt(
    store: EventStore,
    registry: Registry,
    lease: Lease,
    row: ModelRow,
    seq: int,
    settings: UpdatingConfig,
    always: bool,
    export: Export | None,
    learn: Callable[..., Learnt],
    learning: dict[str, Any],
) -> Outcome:
    events = store.events_frame(row.learnt_to_seq, seq)
    if settings.impression:
        events = events.filter(~pl.col("action").is_in(settings.impression).fill_null(False))
    if events.height < settings.min_events:
        why = f"{events.height:,} new events, and at least {settings.min_events:,} are wanted"
        return Outcome("nothing", None, row.name, why, seq)
    served = Served.load(replace(row, path=row.source))
    while items := store.items_after(served.items_to):
        served = served.with_items(items)
    result = learn(served.recommender, events, settings, always=always, **learning)
    told = result.document()
    if result.recommender is None:
        state: State = "kept" if result.verdicts or result.events else "nothing"
        return Outcome(state, None, row.name, result.why, seq, learnt=told)
    number, place = next_version(registry.rows(), Path(root_of(row)))
    name = f"{Path(root_of(row)).name}-{number:04d}"
    trained = path = place / name
    result.recommender.save(trained)
    if row.path != row.source and export is not None:
        path = place / f"{name}{EXPORTED}"
        export(trained, path, Path(row.path))
    document = {"root": root_of(row), "update": {**told, "before": row.name}}
    new = ModelRow(name, str(path), str(trained), "waiting", 1.0, 0, seq, document)
    role, dropped = _register(registry, lease, row, new, settings.keep)
    _remove(place, [*dropped])
    why = f"{name} answers in place of {row.name}" if role == "active" else f"{name} is {role}"
    names = tuple(each.name for each in dropped)
    return Outcome("activated" if role == "active" else "registered", name, row.name, why, seq, names, told)


def _register(registry: Registry, lease: Lease, old: ModelRow, new: ModelRow, keep: int) -> tuple[str, list[ModelRow]]:
    """Register the new model in the old one's role and forget what is too old, in one transaction."""
    dropped: list[ModelRow] = []

    def change(rows: Rows) -> Rows:
        answers = any(row.role == "active" for row in rows.values())
        rows = added(rows if old.name in rows else added(rows, old), new)
        now = rows[old.name]
        if now.role == "active" or not answers:
            rows = activated(rows, new.name, old.name)
        elif now.role == "shadow":
            rows = {**rows, old.name: replace(now, role="waiting"), new.name: replace(rows[new.name], role="shadow")}
        dropped[:] = beyond(rows, keep)
        gone = {row.name for row in dropped}
        return {name: row for name, row in rows.items() if name not in gone}

    while True:
        erased = lease.erased()  # while the model was learnt from what was read of them
        if erased:
            for path in {new.path, new.source}:
                forget_users(path, lease.names(erased))
        try:
            after = registry.change(change, guard=partial(lease.guard, forgotten=erased))
        except ErasedMeanwhile:
            continue
        return next(row.role for row in after if row.name == new.name), dropped


def next_version(rows: list[ModelRow], root: Path) -> tuple[int, Path]:
    """A number that no model of the line has, and the directory where its versions are, free of what nobody names.

    What an update leaves that was killed or failed is in no row; it may hold people who were erased since.
    """
    place = root.with_name(root.name + VERSIONS)
    pattern = re.compile(rf"{re.escape(root.name)}-(\d{{4,}})({EXPORTED})?")
    named = {path for row in rows for path in (row.path, row.source)}
    for path in place.iterdir() if place.is_dir() else ():
        if pattern.fullmatch(path.name) and str(path) not in named:
            shutil.rmtree(path, ignore_errors=True)
    numbers = [int(found[1]) for row in rows if (found := pattern.fullmatch(row.name))]
    return max(numbers, default=1) + 1, place


def _remove(place: Path, rows: list[ModelRow]) -> None:
    """Remove the artefacts of models that were forgotten, where an update made them; what a user trained stays."""
    for path in {Path(each) for row in rows for each in (row.path, row.source)}:
        if path.parent == place:
            shutil.rmtree(path, ignore_errors=True)
            _log.info("%s is removed: newer ones are kept", path.name)
