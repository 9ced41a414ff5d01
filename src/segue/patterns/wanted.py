"""Which symbols count in a search, and which a pattern must hold: as a user names them, to masks over codes."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import polars as pl

from segue.arguments import kind_of
from segue.data.attribute_columns import category_entries
from segue.data.dataset import Dataset
from segue.errors import ConfigValue, ConstraintsContradict, SymbolsMissing, SymbolsUnknown, nearest
from segue.patterns.mining import PatternTree
from segue.patterns.sequences import Sequences


@dataclass(frozen=True, eq=False)
class Wanted:
    """Masks over the codes of symbols.

    Attributes:
        counts: (symbols + 1,) which are looked at.
        held: (symbols + 1,) of which a pattern must hold one; None asks for none.
    """

    counts: np.ndarray
    held: np.ndarray | None

    @classmethod
    def of(cls, only: Any, excluding: Any, containing: Any, made: Sequences, data: Dataset) -> Self:
        """From what a user names: a list of symbols, or columns of the catalogue with values.

        Raises:
            SymbolsUnknown, SymbolsMissing, ConfigValue.
            ConstraintsContradict: nothing is left to be found.
        """
        every = np.ones(made.size, dtype=bool)
        counts = every if only is None else _mask(only, "only", made, data)
        if excluding is not None:
            counts = counts & ~_mask(excluding, "excluding", made, data)
        held = None if containing is None else _mask(containing, "containing", made, data)
        if not counts[1:].any() and made.size > 1:
            raise ConstraintsContradict(reason="only and excluding together leave no symbol")
        if held is not None and not (held & counts).any():
            raise ConstraintsContradict(reason="no symbol of containing is among those that count")
        return cls(counts, held)

    def held_by(self, tree: PatternTree) -> np.ndarray:
        """(patterns,) which hold a symbol that they must."""
        if self.held is None:
            return np.ones(len(tree), dtype=bool)
        offsets, symbols = tree.flat()
        there = np.concatenate([[0], np.cumsum(self.held[symbols])])
        return np.asarray(np.diff(there[offsets]) > 0)


def _mask(named: Any, name: str, made: Sequences, data: Dataset) -> np.ndarray:
    if isinstance(named, Mapping):
        return _of_catalogue(named, name, made, data)
    if isinstance(named, str) or not hasattr(named, "__iter__"):
        named = [named]
    wanted = list(named)
    if broken := [symbol for symbol in wanted if not isinstance(_key(symbol), Hashable)]:
        raise SymbolsUnknown(count=len(broken), name=name, example=kind_of(broken[0]), hint="")
    labels = {_key(label): code for code, label in enumerate(made.labels.to_list()) if code}
    codes = [labels.get(_key(symbol), 0) for symbol in wanted]
    if unknown := [symbol for symbol, code in zip(wanted, codes, strict=True) if not code]:
        hint = nearest(str(unknown[0]), (str(key) for key in list(labels)[:10_000]))
        raise SymbolsUnknown(count=len(unknown), name=name, example=unknown[0], hint=hint)
    mask = np.zeros(made.size, dtype=bool)
    mask[codes] = True
    return mask


def _of_catalogue(named: Mapping[Any, Any], name: str, made: Sequences, data: Dataset) -> np.ndarray:
    """Items whose columns hold one of the values, in all columns named."""
    if made.of != "item":
        raise ConfigValue(name=name, owner="mine", value=dict(named), reason="columns tell items apart, so of='item'")
    mask = np.ones(made.size, dtype=bool)
    for column, values in named.items():
        if data.items is None or column not in data.items.columns:
            known = [] if data.items is None else data.items.columns
            reason = "there is no catalogue" if data.items is None else "the catalogue has no such column"
            raise SymbolsMissing(of=column, reason=reason, hint=nearest(str(column), known))
        several = [values] if isinstance(values, str) or not hasattr(values, "__iter__") else list(values)
        texts = {str(value) for value in several}
        entries = category_entries(data.items[column])
        if missing := texts - set(entries["value"].unique()):
            hint = nearest(min(missing), entries["value"].unique().head(10_000))
            raise SymbolsUnknown(count=len(missing), name=f"{name}[{column!r}]", example=min(missing), hint=hint)
        rows = entries.filter(pl.col("value").is_in(sorted(texts)))["row"].unique().to_numpy()
        its = np.zeros(made.size, dtype=bool)
        its[data.item_vocabulary.encode(data.items["item_id"].gather(rows))] = True
        mask &= its
    return mask


def _key(label: Any) -> Any:
    """A symbol of action and item may be told as a pair or a mapping."""
    if isinstance(label, Mapping):
        return tuple(label.values())
    return tuple(label) if isinstance(label, list | tuple) else label
