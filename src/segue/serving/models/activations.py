"""What answered before each activation: a stack, so that every roll-back undoes one activation and never another.

It is a row beside the models, changed in the transaction that activates: what is on it is what happened. Each entry
holds the role, the weight and the arm of every model that was not waiting then. Who may change roles, and when, is
``registry``'s.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from segue.errors import NothingToRollBackTo
from segue.serving.store.rows import ModelRow

Rows = dict[str, ModelRow]
PAST = "past"
"""The role of a row that is no model: the stack."""
LONGEST = 20
"""Activations that can be undone; the oldest are forgotten."""
_NAME = "(activations)"  # no model can have it


def noted(rows: Rows) -> Rows:
    """The rows, with what they are now on the stack; before anybody answers there is nothing to go back to."""
    if not any(row.role == "active" for row in rows.values()):
        return rows
    now = {
        row.name: {"role": row.role, "weight": row.weight, "arm": row.document.get("arm")}
        for row in rows.values()
        if row.role not in (PAST, "waiting")
    }
    return _stacked(rows, [*_stack(rows), now][-LONGEST:])


def undone(rows: Rows) -> Rows:
    """The rows as they were before the newest activation; raises ``NothingToRollBackTo``."""
    *earlier, wanted = _stack(rows) or [{}]
    if not wanted:
        active = any(row.role == "active" for row in rows.values())
        raise NothingToRollBackTo(reason="none answered before" if active else "none answers now")
    if gone := sorted(set(_active(wanted)) - set(rows)):
        raise NothingToRollBackTo(reason=f"{', '.join(gone)} is no longer kept")
    back = {name: row if row.role == PAST else _as_it_was(row, wanted.get(name)) for name, row in rows.items()}
    return _stacked(back, earlier)


def without(rows: Rows, name: str) -> Rows:
    """The rows with a stack that does not name a model; an activation that left only that model active is dropped."""
    entries = [{each: role for each, role in entry.items() if each != name} for entry in _stack(rows)]
    return _stacked(rows, [entry for entry in entries if _active(entry)])


def answered(rows: Rows) -> list[list[str]]:
    """The names that answered before each activation, the newest first."""
    return [_active(entry) for entry in reversed(_stack(rows))]


def _as_it_was(row: ModelRow, entry: dict[str, Any] | None) -> ModelRow:
    if entry is None:
        return replace(row, role="waiting")
    document = {name: value for name, value in row.document.items() if name != "arm"}
    arm = {} if entry["arm"] is None else {"arm": entry["arm"]}
    return replace(row, role=entry["role"], weight=entry["weight"], document={**document, **arm})


def _active(entry: dict[str, Any]) -> list[str]:
    return [name for name, each in entry.items() if each["role"] == "active"]


def _stack(rows: Rows) -> list[dict[str, Any]]:
    return list(rows[_NAME].document["stack"]) if _NAME in rows else []


def _stacked(rows: Rows, stack: list[dict[str, Any]]) -> Rows:
    return {**rows, _NAME: ModelRow(_NAME, "", "", PAST, 0.0, 0, document={"stack": stack})}
