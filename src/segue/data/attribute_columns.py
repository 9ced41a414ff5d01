"""One column of a catalogue as a feature: how it is read, and whether it says something that items share.

The rule looks at counts alone (how many items share a value, how many have one, how long values are), never at the
name of a column or of a data set. What is done with the values of all columns is ``attributes``' work.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

Kind = Literal["categorical", "numeric"]
LEAST_ITEMS = 2
"""A value that fewer items have teaches nothing about another item; it counts as unknown."""
SHARED = 0.5
"""At least this share of a column's entries must be values that items share; ids and free text have few."""
COVERED = 0.05
"""At least this share of the catalogue must have such a value."""
LONGEST = 100
"""Values are at most this many characters on average; what is longer is prose."""
FEW_NUMBERS = 32
"""Whole numbers with no more distinct values than this are names of things; a vector each costs nothing."""
BINS = 16
"""Numbers fall into this many bins of about equally many items."""

_LIST = "[]"  # stands for text that is a list in brackets, JSON or Python's
_IN_LIST = r""""(?:[^"\\]|\\.)*"|'[^']*'|[^\s,\[\]'"][^,\[\]]*"""
_SEPARATORS = ("|", ";", ",", ">")
_ENTITY_END = "\x1f"  # stands for the semicolon of an HTML entity while a text is split
_SEPARATED = 0.1  # share of the values that must hold a separator


@dataclass(frozen=True)
class Feature:
    """How one column is read.

    Attributes:
        name: of the column.
        kind: values with a vector each, or numbers in bins.
        values: external values of a categorical feature as text; the first has code 1, code 0 is unknown or absent.
        edges: ascending bounds between the bins of a numeric one; bins have codes from 1, code 0 is absent.
        separator: between the values inside a text; None where a text is one value.
    """

    name: str
    kind: Kind
    values: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    separator: str | None = None

    @property
    def size(self) -> int:
        """Number of codes, with that of the unknown."""
        return 1 + (len(self.values) if self.kind == "categorical" else len(self.edges) + 1)

    def encode(self, column: pl.Series) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers and codes of what is known; a row may come several times, and not at all."""
        if self.kind == "numeric":
            numbers = numbers_of(column)
            known = np.flatnonzero(~np.isnan(numbers))
            return known, np.searchsorted(self.edges, numbers[known], side="right") + 1
        codes = pl.DataFrame(
            {"value": pl.Series(self.values, dtype=pl.String), "code": np.arange(1, len(self.values) + 1)}
        )
        found = entries_of(column, self.separator).join(codes, on="value", maintain_order="left")
        return found["row"].to_numpy().astype(np.int64), found["code"].to_numpy()


def feature_of(column: pl.Series, insisted: bool = False) -> Feature | None:
    """The feature that a column is, or None where it says nothing that items share.

    Args:
        insisted: the user named the column; the rule is not asked, and there always is a feature.
    """
    if _is_numeric(column):
        numbers = numbers_of(column)
        known = numbers[~np.isnan(numbers)]
        values, counts = np.unique(known, return_counts=True)
        whole = bool((known == np.round(known)).all()) and not column.dtype.is_temporal()
        if not insisted and (len(values) < 2 or (whole and counts[counts >= LEAST_ITEMS].sum() < SHARED * len(known))):
            return None  # a constant, or a number of its own for each item: an id
        if not (whole and len(values) and (len(values) <= FEW_NUMBERS or _numbered(values))):
            quantiles = np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]) if len(known) else known
            return Feature(column.name, "numeric", edges=tuple(float(edge) for edge in np.unique(quantiles)))
        return _categorical(column, None, insisted)
    several = isinstance(column.dtype, pl.List | pl.Array | pl.Struct) or column.dtype == pl.Object
    return _categorical(column, None if several else find_separator(text_of(column)), insisted)


def entries_of(column: pl.Series, separator: str | None) -> pl.DataFrame:
    """One line per row and value, without repetition: ``row`` and ``value`` (text, stripped, not empty)."""
    inner = column.dtype.inner if isinstance(column.dtype, pl.List | pl.Array) else column.dtype
    if not _is_plain(inner):
        column = pl.Series(column.name, [_flat(value) for value in column.to_list()], dtype=pl.List(pl.String))
    if isinstance(column.dtype, pl.List | pl.Array):
        frame = pl.DataFrame({"value": column}).with_row_index("row").explode("value")
        frame = frame.with_columns(text_of(frame["value"]).alias("value"))
    else:
        frame = pl.DataFrame({"value": text_of(column)}).with_row_index("row")
    if separator is not None:
        value = pl.col("value")
        split = value.str.extract_all(_IN_LIST) if separator == _LIST else value.str.split(separator)
        frame = frame.with_columns(split.alias("value")).explode("value")
        if separator == _LIST:
            frame = frame.with_columns(pl.col("value").str.strip_chars("'\" "))
    return _stripped(frame)


def _stripped(entries: pl.DataFrame) -> pl.DataFrame:
    entries = entries.with_columns(pl.col("value").str.strip_chars()).filter(pl.col("value") != "")
    return entries.unique(maintain_order=True)


def category_entries(column: pl.Series, levels: bool = False) -> pl.DataFrame:
    """The categories of each row, one line per row and category: ``row`` and ``value``, as :func:`entries_of` has them.

    The rule reads each value alone, so that no item's categories depend on the other items. A list is a list, also as
    text in brackets. Any other text is split at ``|``; without one at ``;`` (HTML entities stay whole); without one at
    commas, where none of them is followed by a space (``Clothing, Shoes`` is one name). Spaces never split.

    Args:
        levels: split paths at ``>`` too, so that each level is a category.
    """
    entries = entries_of(column, None)
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum, pl.Binary):
        return entries
    value, without_entities = pl.col("value"), pl.col("value").str.replace_all(r"(&#?\w+);", f"${{1}}{_ENTITY_END}")
    split = (
        pl.when(value.str.contains(r"(?s)^\[.*\]$"))
        .then(value.str.extract_all(_IN_LIST).list.eval(pl.element().str.strip_chars("'\" ")))
        .when(value.str.contains("|", literal=True))
        .then(value.str.split("|"))
        .when(without_entities.str.contains(";", literal=True))
        .then(without_entities.str.split(";").list.eval(pl.element().str.replace_all(_ENTITY_END, ";", literal=True)))
        .when(~value.str.contains(r",\s"))
        .then(value.str.split(","))
        .otherwise(pl.concat_list(value))
    )
    entries = _stripped(entries.with_columns(split.alias("value")).explode("value"))
    return _stripped(entries.with_columns(value.str.split(">")).explode("value")) if levels else entries


def text_of(column: pl.Series) -> pl.Series:
    """Any column of single values as text; whole numbers look alike whatever type they came in."""
    dtype = column.dtype
    if dtype == pl.String:
        return column
    if dtype == pl.Binary:
        texts = [None if value is None else value.decode("utf-8", "replace") for value in column]
        return pl.Series(column.name, texts, dtype=pl.String)
    if dtype.is_float():
        column = column.set(~column.is_finite(), None)
        number = pl.col("number")
        whole = pl.when(number % 1 == 0).then(number.cast(pl.Int64, strict=False).cast(pl.String))
        return pl.DataFrame({"number": column}).select(whole.otherwise(number.cast(pl.String)))["number"]
    if dtype == pl.Duration:  # polars has no text for it
        column = column.cast(pl.Int64)
    if _is_plain(dtype):
        return column.cast(pl.String)
    texts = [None if value is None else str(value) for value in column.to_list()]
    return pl.Series(column.name, texts, dtype=pl.String)


def numbers_of(column: pl.Series) -> np.ndarray:
    """Any column as numbers (float64): dates as their year, text where it is a number; NaN where there is none."""
    if column.dtype in (pl.Date, pl.Datetime):
        column = column.dt.year()
    elif column.dtype == pl.Duration:
        column = column.cast(pl.Int64)
    elif not column.dtype.is_numeric() and column.dtype != pl.Boolean:
        if isinstance(column.dtype, pl.List | pl.Array | pl.Struct) or column.dtype == pl.Object:
            return np.full(len(column), np.nan)
        column = text_of(column).str.strip_chars("$€£¥ \t\n").str.replace_all(r",(\d{3})\b", "$1")
    numbers = column.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy().copy()
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _is_numeric(column: pl.Series) -> bool:
    if column.dtype.is_numeric() or column.dtype in (pl.Date, pl.Datetime, pl.Duration):
        return True
    if column.dtype not in (pl.String, pl.Binary, pl.Categorical, pl.Enum):
        return False
    texts = text_of(column).str.strip_chars()
    present = int((texts.fill_null("") != "").sum())
    return present > 0 and int((~np.isnan(numbers_of(texts.str.slice(0, LONGEST)))).sum()) >= 0.95 * present


def _numbered(values: np.ndarray) -> bool:
    """Whether distinct whole numbers count something through, from 0 or 1 with few gaps."""
    return bool(values[0] in (0, 1) and 2 * len(values) >= values[-1])


def _categorical(column: pl.Series, separator: str | None, insisted: bool) -> Feature | None:
    entries = entries_of(column, separator)
    counts = entries["value"].value_counts().filter(pl.col("count") >= LEAST_ITEMS)
    counts = counts.sort(["count", "value"], descending=[True, False])
    feature = Feature(column.name, "categorical", tuple(counts["value"]), separator=separator)
    if insisted:
        return feature
    shared = entries.join(counts, on="value", how="semi")
    vectors = isinstance(column.dtype, pl.List | pl.Array) and column.dtype.inner.is_float()
    says = (
        not vectors
        and len(counts) > 0
        and counts["count"].min() < len(column)  # type: ignore[operator]
        and shared.height >= SHARED * entries.height
        and shared["row"].n_unique() >= COVERED * len(column)
        and (entries["value"].str.len_chars().mean() or 0) <= LONGEST  # type: ignore[operator]
    )
    return feature if says else None


def find_separator(texts: pl.Series) -> str | None:
    """What separates the values inside a text, where taking them apart finds values that are shared more."""
    texts = texts.str.strip_chars()
    texts = texts.filter((texts != "") & (texts.str.len_chars() <= 10 * LONGEST))
    if not len(texts):
        return None
    if texts.str.contains(r"(?s)^\[.*\]$").mean() >= 0.9:  # type: ignore[operator]
        return _LIST
    wholes = texts.n_unique()
    for separator in (*_SEPARATORS, " "):
        if texts.str.contains(separator, literal=True).mean() < _SEPARATED:  # type: ignore[operator]
            continue
        parts = texts.str.split(separator).explode().str.strip_chars().n_unique()
        # Words are few only where they are codes or kinds: prose has as many as it has sentences.
        if 2 * parts <= wholes and (separator != " " or parts <= len(texts) ** 0.5):
            return separator
    return None


def _is_plain(dtype: Any) -> bool:
    return dtype.is_numeric() or dtype.is_temporal() or dtype in _PLAIN or dtype in (pl.Categorical, pl.Enum)


_PLAIN = (pl.String, pl.Binary, pl.Boolean, pl.Null)


def _flat(value: Any) -> list[str]:
    """Whatever a value is, nested or not, as texts."""
    if value is None or (isinstance(value, float) and not np.isfinite(value)):
        return []
    if isinstance(value, pl.Series | np.ndarray):
        value = value.tolist() if isinstance(value, np.ndarray) else value.to_list()
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        return [value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)]
    if isinstance(value, dict):
        value = value.values()
    return [text for each in value for text in _flat(each)]
