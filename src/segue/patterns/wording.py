"""Habits as people read them: titles instead of ids, a pattern as one line.

For eyes only: two items of one title look the same here, so nothing is counted over these texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

THEN, WITH = " → ", " + "
_JOINTS = {"pattern": THEN, "antecedent": WITH, "consequent": WITH}
_SHARES = ("users_share", "share", "confidence", "returning_share")


def is_share(column: str) -> bool:
    """Whether a column of a miner reads best in per cent."""
    return column in _SHARES or column.startswith("share_")


def name(label: Any, titles: Mapping[Any, str], longest: int | None = None) -> str:
    """A symbol: the title of an item, else what it is called; an action stands before its item; of a set all of it."""
    if isinstance(label, list):
        return cut(WITH.join(name(each, titles) for each in label), longest)
    if isinstance(label, Mapping):
        return cut(f"{label['action']} {name(label['item_id'], titles)}", longest)
    return cut(titles.get(label) or str(label), longest)


def cut(text: str, longest: int | None) -> str:
    """On one line, in at most ``longest`` characters."""
    text = " ".join(text.split())
    return text if longest is None or len(text) <= longest else text[: longest - 1].rstrip() + "…"


def readable(found: pl.DataFrame, titles: Mapping[Any, str], longest: int | None = None) -> pl.DataFrame:
    """What a miner found with every pattern, and every item, as text.

    Args:
        titles: of items, by id; what has none keeps its id.
        longest: characters of one symbol, at most.
    """
    columns = []
    for column in found.get_columns():
        if isinstance(column.dtype, pl.List):
            joint = _JOINTS.get(column.name, THEN)
            texts = [joint.join(name(label, titles, longest) for label in labels) for labels in column.to_list()]
            column = pl.Series(column.name, texts, dtype=pl.String)
        elif column.name == "item_id":
            texts = [name(label, titles, longest) for label in column.to_list()]
            column = pl.Series("item", texts, dtype=pl.String)
        columns.append(column)
    return pl.DataFrame(columns)
