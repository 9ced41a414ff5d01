"""What operators do to online mode, kept with each model in the store: all replicas, and a restart, go the same way.

How models learn online, and what ``reset`` and ``undo`` mean, is ``online``'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from segue.serving.learning.online import Acts, Online, ServedModel
from segue.serving.models.models import Models
from segue.serving.store import Store
from segue.serving.store.rows import ModelRow

_KEY = "online"


class Steering:
    """Online mode of the models of a store.

    Args:
        online: learns.
        models: which serve; those that do are adopted, and those that come.
        store: what is learnt from.
    """

    def __init__(self, online: Online, models: Models, store: Store) -> None:
        self.online, self._models, self._store = online, models, store
        for served in models.serving():
            self.adopt(served)
        models.subscribe(self.adopt, online.drop)

    def adopt(self, served: ServedModel) -> None:
        """Let a model learn, as operators left it."""
        self.online.adopt(served, self._store.events_after, lambda: _acts(self._models.registry.row(served.name)))

    def follow(self, rows: Iterable[ModelRow]) -> None:
        """Take over what was done on another replica; for ``Follower.subscribe_models``."""
        for row in rows:
            served = self._models.named(row.name)
            if served is not None and row.name in self.online.names() and _acts(row) != self.online.acts(row.name):
                self.adopt(served)

    def reset(self, name: str) -> None:
        """Back to the model as it was trained; it learns anew from the next event on. Raises ``OnlineUnknown``."""
        self.online.reset(name)
        self._keep(name)

    def undo(self, name: str, batches: int) -> None:
        """Take back the newest batches. Raises ``OnlineUnknown``, ``NothingToUndo``."""
        self.online.undo(name, batches)
        self._keep(name)

    def _keep(self, name: str) -> None:
        acts = self.online.acts(name)
        told: dict[str, Any] = {"since": acts.since, "left_out": sorted(acts.left_out)}

        def changed(rows: dict[str, ModelRow]) -> dict[str, ModelRow]:
            row = rows[name]
            return {**rows, name: replace(row, document={**row.document, _KEY: told})}

        self._models.registry.change(changed)


def _acts(row: ModelRow) -> Acts:
    told = row.document.get(_KEY, {})
    return Acts(told.get("since", -1), frozenset(told.get("left_out", ())))
