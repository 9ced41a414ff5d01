"""Which models there are and what each is for: rows in the store, changed in one transaction.

The rows are shared by all replicas, so that they agree on who answers. Every change is a function of all rows, run by
the store in one transaction: whoever reads, at whatever moment a process dies, finds the rows before it or after it.
Loading what the rows name is left to ``models``; learning new ones to ``serving.learning``.

What a row's ``document`` holds here: ``arm`` and ``root`` (see :func:`arm_of`, :func:`root_of`); ``activated``, the
generation in which it was; ``update``, the figures of the update that made it. What answered before is
``activations``'. ``source`` is the trained artefact that updates go on from, ``path`` the one that
answers: an export of it, or itself.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol

from segue import artefacts
from segue.errors import (
    ArtefactForeign,
    ModelInUse,
    ModelNameBad,
    ModelNameTaken,
    ModelNotThere,
    WeightsBad,
    nearest,
)
from segue.recommenders.base import Recommender
from segue.recommenders.store import CLASSES
from segue.serving.models import activations
from segue.serving.models.activations import PAST, Rows
from segue.serving.store.rows import ModelRow

_NAME = re.compile(r"\w[\w.@+ -]{0,199}")
Role = Literal["active", "shadow", "waiting"]
EXPORTED = "-onnx"
"""How the name of an export ends; before it stands that of the trained artefact."""
LEASE = "lease"
"""The role of a row that is no model: who is at work on a new one (see ``lease``)."""


class ModelStore(Protocol):
    """What is needed of the event store."""

    def model_rows(self) -> list[ModelRow]:
        """All rows of the table of models."""

    def write_model_rows(self, change: Callable[[list[ModelRow]], Sequence[ModelRow]]) -> list[ModelRow]:
        """Replace the rows by what ``change`` makes of them, in one transaction that no other can interleave."""

    def items_after(self, seq: int) -> list[tuple[int, dict[str, Any]]]:
        """Some rows of the catalogue that were put after a number, in order, each with its number."""

    def newest(self) -> dict[str, int]:
        """The newest number of ``models`` and of ``items``."""


def arm_of(row: ModelRow) -> str:
    """The slot of the A/B test that a model holds, handed on to whatever takes its place."""
    return str(row.document.get("arm", row.name))


def root_of(row: ModelRow) -> str:
    """The trained artefact that a model's line of updates began with."""
    return str(row.document.get("root", row.source))


class Registry:
    """The models in a store."""

    def __init__(self, store: ModelStore) -> None:
        self.store = store

    def rows(self) -> list[ModelRow]:
        """All models, the oldest first."""
        return sorted(_models(self.store.model_rows()), key=lambda row: (row.created, row.generation))

    def row(self, name: str) -> ModelRow:
        """One model; raises ``ModelNotThere``."""
        return found(_by_name(self.rows()), name)

    def change(
        self, change: Callable[[Rows], Rows], guard: Callable[[list[ModelRow]], None] = lambda rows: None
    ) -> list[ModelRow]:
        """Replace all models by what ``change`` makes of them, in one transaction.

        Args:
            change: gives the models anew, and with them the row of ``activations``; what it raises leaves everything
                as it was.
            guard: sees every row of the table first, and may raise.
        """

        def rewritten(before: list[ModelRow]) -> list[ModelRow]:
            guard(before)
            others = [row for row in before if row.role == LEASE]
            return others + list(change(_by_name(row for row in before if row.role != LEASE)).values())

        return _models(self.store.write_model_rows(rewritten))

    def add(self, row: ModelRow, *, instead_of: str | None = None) -> None:
        """Register a model; one with the role ``active`` takes the place of ``instead_of``, or of all that answer.

        Raises ``ModelNameTaken`` where the name belongs to another artefact.
        """
        self.change(lambda rows: added(rows, row, instead_of))

    def activate(self, name: str, *, instead_of: str | None = None) -> None:
        """Let a model answer, in place of one arm or (None) of all that answer. Raises ``ModelNotThere``."""
        self.change(lambda rows: activated(rows, name, instead_of))

    def roll_back(self) -> list[str]:
        """Undo the newest activation that is not undone yet: every model has the role and weight that it had before.

        Gives the names that answer now; raises ``NothingToRollBackTo``.
        """
        return [row.name for row in self.change(activations.undone) if row.role == "active"]

    def answered(self) -> list[list[str]]:
        """The names that answered before each activation that can be undone, the newest first."""
        return activations.answered(_by_name(self.store.model_rows()))

    def set_role(self, name: str, role: Role, weight: float = 1.0) -> None:
        """Let a model answer beside the others (for an A/B test), shadow them, or wait.

        Raises ``ModelNotThere``, and ``ModelInUse`` where nobody would be left to answer.
        """
        self.change(lambda rows: with_role(rows, name, role, weight))

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Weights of active models, the others' stay. Raises ``ModelNotThere``, ``WeightsBad``."""
        self.change(lambda rows: with_weights(rows, weights))

    def remove(self, name: str) -> ModelRow:
        """Unregister a model; it answers no more and no roll-back returns to it. Its artefact stays on disk.

        Raises ``ModelNotThere``, and ``ModelInUse`` where no model would be left to answer.
        """
        removed: list[ModelRow] = []

        def without(rows: Rows) -> Rows:
            removed[:] = [found(rows, name)]
            rest = activations.without({each: row for each, row in rows.items() if each != name}, name)
            if removed[0].role == "active" and not any(_answering(rest).values()):
                raise ModelInUse(name=name, role="the only one that answers")
            return rest

        self.change(without)
        return removed[0]

    def drop(self, keep: int) -> list[ModelRow]:
        """Forget the oldest waiting models that updates made until ``keep`` of each line are left; gives those.

        One that answers, shadows, or would be gone back to stays, and so does the one that the line began with.
        Artefacts are the caller's to remove.
        """
        gone: list[ModelRow] = []

        def without(rows: Rows) -> Rows:
            gone[:] = beyond(rows, keep)
            return {name: row for name, row in rows.items() if row not in gone}

        self.change(without)
        return gone


def added(rows: Rows, row: ModelRow, instead_of: str | None = None) -> Rows:
    """See ``Registry.add``."""
    known = rows.get(row.name)
    if known is not None and known.path != row.path:
        raise ModelNameTaken(name=row.name, path=known.path)
    created = row.created or int(time.time() * 1e6)
    rows = {**rows, row.name: replace(row, created=created, role="waiting" if row.role == "active" else row.role)}
    return activated(rows, row.name, instead_of) if row.role == "active" else rows


def joined(rows: Rows, row: ModelRow, role: Role, weight: float) -> Rows:
    """A model in a role, registered unless it is; one that is keeps what is known of it. See ``Models.add``."""
    known = rows.get(row.name)
    rows = rows if known is not None and known.path == row.path else added(rows, row)
    return with_role(rows, row.name, role, weight)


def activated(rows: Rows, name: str, instead_of: str | None = None) -> Rows:
    """See ``Registry.activate``."""
    new, answering = found(rows, name), _answering(rows)
    if instead_of is None:
        if list(answering) == [name]:
            return rows
        arm, weight, leaving = name, 1.0, set(answering)
    else:
        old = found(rows, instead_of)
        arm, weight, leaving = arm_of(old), answering.get(old.name, 1.0), {old.name}
    rows = activations.noted(rows)
    rows = {each: _waiting(row) if each in leaving else row for each, row in rows.items()}
    return {**rows, name: _active(new, rows, weight, arm)}


def with_role(rows: Rows, name: str, role: Role, weight: float = 1.0) -> Rows:
    """See ``Registry.set_role``."""
    row, answering = found(rows, name), _answering(rows)
    if not 0 <= weight < float("inf"):
        raise WeightsBad(weights={name: weight}, reason="it is no number of 0 or more")
    joins = role == "active" and row.role != "active"
    changed = _active(row, rows, weight, name) if joins else replace(row, role=role, weight=weight)
    rows = {**(activations.noted(rows) if joins else rows), name: changed}
    if answering and not any(_answering(rows).values()):
        raise ModelInUse(name=name, role="the only one that answers")
    return rows


def with_weights(rows: Rows, weights: Mapping[str, float]) -> Rows:
    """See ``Registry.set_weights``."""
    for name, weight in weights.items():
        if found(rows, name).role != "active":
            raise WeightsBad(weights=dict(weights), reason=f"{name} is not active")
        if not 0 <= weight < float("inf"):
            raise WeightsBad(weights=dict(weights), reason=f"that of {name} is no number of 0 or more")
    changed = {**rows, **{name: replace(rows[name], weight=float(weight)) for name, weight in weights.items()}}
    if not any(_answering(changed).values()):
        raise WeightsBad(weights=dict(weights), reason="nobody would answer")
    return changed


def beyond(rows: Rows, keep: int) -> list[ModelRow]:
    """Waiting models that need not be kept, the oldest first; see ``Registry.drop``."""
    held = next(iter(activations.answered(rows)), [])
    gone = []
    for root in dict.fromkeys(root_of(row) for row in rows.values()):
        made = (row for row in rows.values() if root_of(row) == root != row.source)
        line = sorted(made, key=lambda row: row.created)
        free = [row for row in line if row.role == "waiting" and row.name not in held]
        gone += free[: max(0, len(line) - keep)]
    return gone


def found(rows: Rows, name: str) -> ModelRow:
    """The row of that name; raises ``ModelNotThere``."""
    known = _by_name(_models(rows.values()))
    if name not in known:
        raise ModelNotThere(name=name, hint=nearest(name, known), known=", ".join(known) or "none")
    return known[name]


def next_generation(rows: Iterable[ModelRow]) -> int:
    """The number of the change that is about to be made."""
    return max((row.generation for row in rows), default=0) + 1


def sourced(path: str | Path) -> str:
    """A path as the registry keeps it: absolute, so that every process finds it."""
    return str(Path(path).absolute())


def row_of(path: str | Path, name: str | None = None, source: str | Path | None = None) -> ModelRow:
    """The row of an artefact that is not registered yet."""
    place = Path(path).absolute()
    trained = sourced(source) if source is not None else source_of(place)
    return ModelRow(name or place.name, str(place), trained, "waiting", 1.0, 0, document={"root": trained})


def checked(path: str | Path, name: str | None = None, source: str | Path | None = None) -> ModelRow:
    """The row of an artefact that is whole, holds a recommender and has a name that can stand in an address.

    Raises ``ArtefactError``, ``ModelNameBad``.
    """
    found = str(artefacts.read(path).manifest["class"])
    if found not in CLASSES and found not in Recommender.registry:
        raise ArtefactForeign(path=path, found=found, wanted="recommender")
    row = row_of(path, name, source)
    if not _NAME.fullmatch(row.name):
        raise ModelNameBad(name=row.name)
    return row


def source_of(path: Path) -> str:
    """The trained artefact that an export (``DIR-onnx``) was made of, where it is beside it; else its own path."""
    trained = path.with_name(path.name.removesuffix(EXPORTED))
    return str(trained if (trained / artefacts.MANIFEST).is_file() else path)


def _answering(rows: Rows) -> dict[str, float]:
    """Weights of the active models."""
    return {row.name: row.weight for row in rows.values() if row.role == "active"}


def _active(row: ModelRow, rows: Rows, weight: float, arm: str) -> ModelRow:
    """The row as an active one."""
    facts = {"arm": arm, "activated": next_generation(rows.values())}
    return replace(row, role="active", weight=weight, document={**row.document, **facts})


def _waiting(row: ModelRow) -> ModelRow:
    return replace(row, role="waiting")


def _models(rows: Iterable[ModelRow]) -> list[ModelRow]:
    return [row for row in rows if row.role not in (LEASE, PAST)]


def _by_name(rows: Iterable[ModelRow]) -> Rows:
    return {row.name: row for row in rows}
