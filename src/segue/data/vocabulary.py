"""External ids to dense codes and back.

Codes run from 1; code 0 is padding and stands for anything unknown. External ids keep their type: integers
come out as integers, text as text, and UUIDs as UUIDs where the frame kind has such a thing (pandas).
Codes never leave the library.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl


class Vocabulary:
    """An ordered set of external ids.

    Args:
        ids: unique, non-null ids; the first has code 1.
        is_uuid: the ids are the text of UUIDs.
    """

    def __init__(self, ids: pl.Series, is_uuid: bool = False) -> None:
        self.ids = ids.alias("id").rechunk()
        self.is_uuid = is_uuid

    @classmethod
    def of(cls, *columns: pl.Series, is_uuid: bool = False) -> Vocabulary:
        """All distinct ids of some columns, in the order of their first appearance."""
        joined = pl.concat([column.alias("id") for column in columns])
        return cls(joined.drop_nulls().unique(maintain_order=True), is_uuid)

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self, values: pl.Series | Iterable[Any]) -> np.ndarray:
        """Codes (int64) of ids; 0 for what is not known."""
        if isinstance(values, pl.Series):
            if values.dtype == self.ids.dtype:
                return self._join(values)
            values = values.to_list()
        table, values = self._codes, list(values)
        try:
            found = list(map(table.get, values))  # most often ids come in their own type
        except TypeError:
            found = [None] * len(values)
        if None in found:
            pairs = zip(found, values, strict=True)
            found = [table.get(self._coerce(value), 0) if code is None else code for code, value in pairs]
        return np.array(found, dtype=np.int64)

    def code_of(self, text: str) -> int:
        """The code of one id written as text, 0 where it is not known; ``"07"`` is not 7."""
        code = int(self.encode([text])[0])
        return code if code and str(self.ids[code - 1]) == text else 0

    def decode(self, codes: np.ndarray | Sequence[int]) -> pl.Series:
        """External ids of codes; codes must be 1 or more."""
        return self.ids.gather(np.asarray(codes, dtype=np.int64) - 1)

    def names(self, values: Sequence[Any], codes: np.ndarray) -> pl.Series:
        """Ids of an answer about ``values`` with these codes: known ids in our own form, the same type for others.

        Text where an unknown id does not fit that type.
        """
        if (codes > 0).all():
            return self.decode(codes)
        values = [str(value) if isinstance(value, uuid.UUID) else value for value in values]
        try:
            return pl.Series(values, dtype=self.ids.dtype)
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            return pl.Series([None if value is None else str(value) for value in values], dtype=pl.String)

    def outward(self, column: pl.Series) -> Any:
        """A column of our ids for a pandas frame: UUID objects where ids were UUIDs."""
        return [uuid.UUID(text) for text in column] if self.is_uuid else column

    def table(self) -> pl.DataFrame:
        """For saving."""
        return self.ids.to_frame()

    def _join(self, values: pl.Series) -> np.ndarray:
        joined = values.alias("id").to_frame().join(self._frame, on="id", how="left", maintain_order="left")
        return joined["code"].fill_null(0).to_numpy().astype(np.int64)

    def _coerce(self, value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if self.ids.dtype == pl.String:
            if isinstance(value, bool):  # a column of truth values is read as text
                return str(value).lower()
            return value if isinstance(value, str) or value is None else str(value)
        if isinstance(value, str):
            try:
                return int(value)
            except ValueError:
                return None
        return value if isinstance(value, int | float) else None

    @cached_property
    def listed(self) -> list[Any]:
        """The ids as plain values; that of code c at place c - 1. For a few of them, quicker than :meth:`decode`."""
        return list(self._codes)

    @cached_property
    def _frame(self) -> pl.DataFrame:
        return self.ids.to_frame().with_columns(pl.int_range(1, len(self.ids) + 1, dtype=pl.UInt32).alias("code"))

    @cached_property
    def _codes(self) -> dict[Any, int]:
        return {external: code for code, external in enumerate(self.ids.to_list(), start=1)}
