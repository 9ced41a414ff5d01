"""A store of models and items in memory, small artefacts to serve, and an alarm that keeps what it was told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

import segue
from segue.serving.models.registry import ModelRow


class Shelf:
    """What ``Models`` needs of a store; a change is one step for whoever reads."""

    def __init__(self) -> None:
        self._rows: list[ModelRow] = []
        self._generation = 0
        self._items: list[tuple[int, dict[str, Any]]] = []
        self._lock = threading.Lock()

    def model_rows(self) -> list[ModelRow]:
        return list(self._rows)

    def write_model_rows(self, change: Callable[[list[ModelRow]], Sequence[ModelRow]]) -> list[ModelRow]:
        with self._lock:
            before, self._generation = list(self._rows), self._generation + 1
            self._rows = [
                row if row in before else replace(row, generation=self._generation) for row in change(list(before))
            ]
            return list(self._rows)

    def newest(self) -> dict[str, int]:
        return {"models": self._generation, "items": len(self._items)}

    def items_after(self, seq: int) -> list[tuple[int, dict[str, Any]]]:
        return [each for each in self._items if each[0] > seq]

    def put_items(self, rows: list[dict[str, Any]]) -> None:
        self._items += [(len(self._items) + n, row) for n, row in enumerate(rows, start=1)]


class Alarms:
    """The newest word of each alarm, and how often it was raised."""

    def __init__(self) -> None:
        self.now: dict[str, str | None] = {}
        self.raised: list[str] = []

    def __call__(self, name: str, message: str | None) -> None:
        if message is not None and self.now.get(name) != message:
            self.raised.append(name)
        self.now[name] = message


def popular(folder: Path, name: str, favourite: int, items: int = 12) -> Path:
    """An artefact whose best item is ``favourite``: whoever is answered can tell which model it was."""
    rows = [(f"u{n}", item, 1_600_000_000 + n) for n in range(3) for item in range(items)]
    rows += [(f"x{n}", favourite, 1_600_001_000 + n) for n in range(20)]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    catalogue = pl.DataFrame({"item_id": range(items), "title": [f"Film {n}" for n in range(items)]})
    segue.Popular().fit(segue.Dataset.from_frames(events, catalogue)).save(folder / name)
    return folder / name


def best(served: Any) -> Any:
    """The first item that a model lists to anyone."""
    return served.recommender.recommend(histories=[[]], k=1, progress=False)["item_id"][0]
