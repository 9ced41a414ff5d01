"""Which kind of value a column of the catalogue takes, and the refusal of others by row and column.

A column that the catalogue has keeps its kind. Of a new one the name tells, where filters and texts read it by name;
else the first row that has a value there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from segue.errors import RequestMalformed
from segue.serving.api.problems import shown

_TEXT, _NUMBER, _BOOLEAN, _TEXTS = "a text", "a number", "true or false", "a list of texts"
_NAMES = {
    "title": _TEXT,
    "price": _NUMBER,
    "stock": _NUMBER,
    "quantity": _NUMBER,
    "in_stock": _BOOLEAN,
    "available": _BOOLEAN,
}


def check(rows: Sequence[Mapping[str, Any]], items: pl.DataFrame | None, where: str) -> None:
    """Refuse the first value that is of another kind than its column.

    Args:
        rows: as they were sent, each with an ``item_id``.
        items: the catalogue, if there is one.
        where: names a row by its number, ``"body[{}]"``.

    Raises:
        RequestMalformed.
    """
    wanted = {name: (kind, "") for name, kind in _NAMES.items()}
    for name, dtype in ({} if items is None else items.schema).items():
        kind = _of_dtype(dtype)
        if kind:
            wanted[name] = (kind, " as in the catalogue")
        elif dtype != pl.Null:
            wanted[name] = ("", "")  # left to the catalogue
    for number, row in enumerate(rows):
        for name, value in row.items():
            if value is None or name == "item_id":
                continue
            found = _of(value)
            kind, why = wanted.setdefault(name, (found, f" as in {where.format(number)}"))
            if kind and kind != found:
                place = f"{where.format(number)}.{name[:60]}"
                raise RequestMalformed(place=place, reason=f"{kind} is wanted{why}", value=shown(value))


def _of(value: Any) -> str:
    if isinstance(value, bool):
        return _BOOLEAN
    if isinstance(value, int | float):
        return _NUMBER
    return _TEXTS if isinstance(value, list) else _TEXT


def _of_dtype(dtype: pl.DataType) -> str | None:
    if isinstance(dtype, pl.List):
        return _TEXTS if dtype.inner == pl.String else None
    if dtype.is_numeric():
        return _NUMBER
    return {pl.String: _TEXT, pl.Boolean: _BOOLEAN}.get(type(dtype))
