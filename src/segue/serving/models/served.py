"""One model in memory, ready to answer: loaded from its artefact, warmed, with the items that came since in it.

A ``Served`` never changes, so that a request may go on with the one it was given while others are taken into service.
Which models are loaded and who is asked which is decided in ``models``.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue.errors import ExtraMissing, ItemsNotTaken, ModelNeedsTorch, NoModelServes, extras_named
from segue.recommenders.base import Recommender
from segue.recommenders.store import load
from segue.serving.store.items import is_removed
from segue.serving.store.rows import ModelRow

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Served:
    """A model that can answer.

    Attributes:
        name: answers carry it.
        recommender: fitted.
        path: the artefact it was loaded from.
        created: when it was registered, microseconds since 1970.
        learnt_to: the newest event of the store that it has learnt from.
        items_to: the newest row of the store's catalogue that it knows.
        removed: ids, as text, of items that the store's catalogue has lost.
    """

    name: str
    recommender: Recommender
    path: Path
    created: int = 0
    learnt_to: int = 0
    items_to: int = 0
    removed: frozenset[str] = frozenset()

    @cached_property
    def removed_codes(self) -> np.ndarray:
        """(removed,) int64 codes of the removed items that the model knows."""
        vocabulary = self.recommender.item_vocabulary
        codes = [vocabulary.code_of(name) for name in self.removed]
        return np.array([code for code in codes if code], dtype=np.int64)

    @classmethod
    def load(cls, row: ModelRow) -> Served:
        """Load the artefact that a row names, and let it answer once, so that the first request finds it warm.

        Raises:
            ArtefactError: there is none, it is damaged, too new, or of something else.
            ModelNeedsTorch: what it was trained with is not installed here.
            NoModelServes: it was loaded but cannot answer.
        """
        try:
            with extras_named(row.path):
                recommender = load(row.path)
        except ExtraMissing as error:
            missing = error.values["package"]
            raise ModelNeedsTorch(path=row.path, found="its class", missing=missing) from None
        served = cls(row.name, recommender, Path(row.path), row.created, row.learnt_to_seq)
        served.warm()
        return served

    def warm(self) -> None:
        """Answer one dummy question, with a history and without. Raises ``NoModelServes`` where that fails."""
        first = self.recommender.item_vocabulary.decode([1]).to_list()
        try:
            self.recommender.recommend(histories=[[], first], k=10, progress=False)
        except Exception as error:  # whatever is wrong with it, it must not be given to anybody
            raise NoModelServes(reason=f"{self.name} fails at its first question ({error})") from error

    def with_items(self, rows: Sequence[tuple[int, Mapping[str, Any]]]) -> Served:
        """A copy that knows rows of the catalogue put in the store; what cannot be taken is skipped and logged.

        Args:
            rows: sequence numbers, ascending, and rows: ``item_id`` and any columns of the catalogue, or the tombstone
                of an item, which is listed no more until a row of it comes.
        """
        if not rows:
            return self
        removed = set(self.removed)
        for _, row in rows:
            (removed.add if is_removed(row) else removed.discard)(str(row["item_id"]))
        recommender = copy.copy(self.recommender)  # growing replaces what the copy holds; what others read stays
        for table in _tables(row for _, row in rows if not is_removed(row)):
            try:
                _grow(recommender, table)
            except ItemsNotTaken as error:
                _log.warning("model %s cannot take new items: %s", self.name, error)
                break
        newest = max(self.items_to, rows[-1][0])
        return replace(self, recommender=recommender, items_to=newest, removed=frozenset(removed))


def _grow(recommender: Recommender, table: list[dict[str, Any]]) -> None:
    """Add rows together; where one of them is refused, one by one, so that it stands in nobody's way."""
    try:
        recommender.add_items(pl.DataFrame(table, infer_schema_length=None))
    except ItemsNotTaken:
        raise
    except (Exception, pl.exceptions.PanicException) as error:  # noqa: BLE001 - one item, whatever it breaks, keeps no other from any model
        if len(table) == 1:
            _log.warning("item %s is not taken: %s: %s", table[0].get("item_id"), type(error).__name__, error)
            return
        for row in table:
            _grow(recommender, [row])


def _tables(rows: Iterable[Mapping[str, Any]]) -> list[list[dict[str, Any]]]:
    """Rows put together that tell the same columns: a column that a row does not tell stays as it stands.

    Of an item that comes several times, what was told last counts.
    """
    items: dict[str, dict[str, Any]] = {}
    for row in rows:
        key = str(row.get("item_id"))
        items[key] = {**items.get(key, {}), **row}
    tables: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in items.values():
        tables.setdefault(tuple(sorted(row)), []).append(row)
    return list(tables.values())
