"""What the miners of this room share: numbers for pairs of a prefix and a symbol, users counted once, values checked.

A pattern of length n is the number of its first n - 1 symbols together with its last: numbering the pairs anew at every
length is exact, where a hash could collide. What is counted is left to the miners.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from segue.data.dataset import Dataset
from segue.errors import ActionUnknown, ChoiceUnknown, CountUnusable, nearest


@dataclass(frozen=True)
class Numbered:
    """Distinct keys, ascending, and how often they are there.

    Attributes:
        keys: (distinct,) int64.
        numbers: (occurrences,) the place in ``keys`` of each occurrence.
        count: (distinct,) occurrences of each.
        support: (distinct,) rows that have each.
    """

    keys: np.ndarray
    numbers: np.ndarray
    count: np.ndarray
    support: np.ndarray


def numbered(keys: np.ndarray, rows: np.ndarray) -> Numbered:
    """Number distinct keys from 0; ``rows`` (of each occurrence) must not fall."""
    order = np.argsort(keys, kind="stable")
    keys, rows = keys[order], rows[order]
    fresh = np.ones(len(keys), dtype=np.bool_)
    fresh[1:] = keys[1:] != keys[:-1]
    users = fresh.copy()
    users[1:] |= rows[1:] != rows[:-1]
    found = np.cumsum(fresh) - 1
    places = np.empty_like(found)
    places[order] = found
    distinct = int(fresh.sum())
    count, support = np.bincount(found, minlength=distinct), np.bincount(found[users], minlength=distinct)
    return Numbered(keys[fresh], places, count, support)


def stretches(starts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The indices ``starts[i], starts[i] + 1, ...``, ``counts[i]`` of them, one stretch after the other."""
    return np.asarray(np.arange(counts.sum()) + np.repeat(starts - np.cumsum(counts) + counts, counts))


def pattern_column(labels: pl.Series, codes: np.ndarray) -> pl.Series:
    """Rows of codes, padded by 0 at the end, as lists of labels."""
    lengths = (codes > 0).sum(axis=1)
    rows = pl.Series(np.repeat(np.arange(len(codes)), lengths))
    frame = pl.DataFrame({"row": rows, "pattern": labels.gather(codes[codes > 0])})
    return frame.group_by("row", maintain_order=True).agg("pattern")["pattern"]


def by_label(labels: pl.Series, codes: np.ndarray) -> list[np.ndarray]:
    """Keys for ``np.lexsort`` that bring rows of codes into the order of their labels, a prefix before the longer."""
    order = labels.slice(1).arg_sort().to_numpy() + 1
    ranks = np.zeros(len(labels), dtype=np.int64)
    ranks[order] = np.arange(1, len(labels))
    return list(ranks[codes].T[::-1])


def need_whole(name: str, value: Any, least: int = 1) -> int:
    """The value; raises ``CountUnusable`` where it is no whole number from ``least``."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        raise CountUnusable(name=name, value=value, least=least)
    return int(value)


def need_choice(name: str, value: Any, known: Sequence[str]) -> None:
    """Raise ``ChoiceUnknown`` where the value is none of those known."""
    if value not in known:
        raise ChoiceUnknown(name=name, value=value, known=", ".join(known), hint=nearest(str(value), known))


def symbol_columns(labels: pl.Series, codes: np.ndarray, of: str, taken: Sequence[str]) -> list[pl.Series]:
    """One symbol a row under the names it has in the log: ``item_id``, ``action``, both, or the catalogue's column.

    A column of the catalogue whose name is one of those ``taken`` by measures gets an underscore.
    """
    found = labels.gather(codes)
    if of == "action+item":
        return found.struct.unnest().get_columns()
    name = "item_id" if of == "item" else of
    return [found.alias(f"{name}_" if name in taken else name)]


def need_action(data: Dataset, action: str) -> None:
    """Raise ``ActionUnknown`` where nobody in the log did such a thing."""
    if action not in data.action_names:
        known = ", ".join(data.action_names) or "none"
        raise ActionUnknown(name=action, known=known, hint=nearest(action, data.action_names))
