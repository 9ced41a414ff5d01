"""What the columns of an event log and a catalogue mean, and how time is read.

Brings any accepted frame to one form: ``user_id`` and ``item_id`` of one type each, ``timestamp`` as whole
numbers. Removes nothing: that is ``cleaning``'s work.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from typing import Literal

import numpy as np
import polars as pl

from segue.errors import (
    ColumnMissing,
    ColumnUnknown,
    ColumnUnreadable,
    DuplicateItems,
    EmptyLog,
    MixedIds,
    TimestampUnreadable,
    TimeZoneUnknown,
    nearest,
)
from segue.numeric import as_python

Clock = Literal["time", "order"]
REQUIRED = ("user_id", "item_id", "timestamp")
OPTIONAL = ("action", "value", "query")
_ALIASES = {
    "user_id": ("user", "uid", "userid", "customer_id", "customerid", "visitor_id", "session_id"),
    "item_id": ("item", "iid", "itemid", "product_id", "productid", "movie_id", "movieid", "sku", "asin"),
    "timestamp": ("time", "ts", "datetime", "date", "event_time", "unixreviewtime", "created_at"),
}
# Whole numbers below this are an order (1, 2, 3, ...), not seconds since 1970 (1e8 s is March 1973).
_FIRST_SECOND = 1e8
_UNITS = ((1e11, 1_000_000), (1e14, 1_000), (1e17, 1))  # upper bound of the median, factor to microseconds


def rename(
    frame: pl.DataFrame, columns: Mapping[str, str] | None, required: tuple[str, ...], what: str
) -> pl.DataFrame:
    """Apply ``{"user_id": "their name"}`` and check that the required columns are there.

    Raises:
        ColumnUnknown: a name on the right is not in the frame.
        ColumnMissing: a required column is absent; the message suggests the nearest name.
    """
    found = ", ".join(frame.columns) or "no columns"
    mapping = {}
    for ours, theirs in (columns or {}).items():
        if theirs not in frame.columns:
            raise ColumnUnknown(column=theirs, what=what, found=found, hint=nearest(theirs, frame.columns))
        mapping[theirs] = ours
    clash = [ours for theirs, ours in mapping.items() if ours in frame.columns and ours not in mapping]
    frame = frame.drop(clash).rename(mapping)
    found = ", ".join(frame.columns) or "no columns"
    for name in required:
        if name not in frame.columns:
            raise ColumnMissing(column=name, what=what, found=found, hint=_suggest(name, frame.columns))
    return frame


def zone_of(column: pl.Series, given: str | None) -> str:
    """The time zone that hours and weekdays are read in: the one given, the column's own, or UTC.

    Raises ``TimeZoneUnknown``.
    """
    own = column.dtype.time_zone if isinstance(column.dtype, pl.Datetime) else None
    zone = given or own or "UTC"
    try:
        pl.Series([dt.datetime(1970, 1, 1)]).dt.replace_time_zone("UTC").dt.convert_time_zone(zone)
    except pl.exceptions.PolarsError:
        known = sorted(zoneinfo.available_timezones())
        raise TimeZoneUnknown(name=zone, hint=nearest(zone, known)) from None
    return zone


def normalise_events(frame: pl.DataFrame, time_zone: str | None = None) -> tuple[pl.DataFrame, Clock]:
    """Bring ids and time to one form; returns the frame and whether ``timestamp`` is a time or an order.

    Times become microseconds since 1970 in UTC (those without a zone are taken to be in ``time_zone``); an order keeps
    its numbers. Unreadable ids and times become null.
    """
    if frame.height == 0:
        raise EmptyLog(what="event log", why="")
    frame = frame.with_columns(_id_column(frame["user_id"]), _id_column(frame["item_id"]))
    stamps, clock = read_time(frame["timestamp"], time_zone)
    return normalise_behaviour(frame.with_columns(stamps.alias("timestamp"))), clock


def normalise_behaviour(frame: pl.DataFrame) -> pl.DataFrame:
    """Bring ``value`` to numbers and ``action`` to names, where a frame has them."""
    for name, kind, wanted in (("value", pl.Float32(), "numbers"), ("action", pl.String(), "names")):
        if name in frame.columns:
            dtype = frame.schema[name]
            try:
                frame = frame.with_columns(pl.col(name).cast(kind, strict=False))
            except pl.exceptions.PolarsError:
                raise ColumnUnreadable(column=name, dtype=dtype, wanted=wanted) from None
            if frame.schema[name] != kind:  # structs are cast field by field
                raise ColumnUnreadable(column=name, dtype=dtype, wanted=wanted)
    return frame


def normalise_items(frame: pl.DataFrame) -> pl.DataFrame:
    """Bring a catalogue to one form: one row per ``item_id``, none null."""
    if frame.height == 0:
        raise EmptyLog(what="catalogue", why="")
    frame = frame.with_columns(_id_column(frame["item_id"])).filter(pl.col("item_id").is_not_null())
    if frame.height == 0:
        raise EmptyLog(what="catalogue", why=" with an item_id")
    refuse_duplicates(frame)
    return frame


def refuse_duplicates(frame: pl.DataFrame) -> None:
    """Raise ``DuplicateItems`` when a catalogue lists an item twice."""
    twice = frame["item_id"].filter(frame["item_id"].is_duplicated())
    if len(twice):
        raise DuplicateItems(count=twice.n_unique(), example=twice[0])


def read_time(column: pl.Series, time_zone: str | None = None) -> tuple[pl.Series, Clock]:
    """Read a column as time: dates, datetimes, ISO 8601 text, or numbers of any usual unit.

    Dates, datetimes and texts without a zone are in ``time_zone`` (default UTC).

    Returns whole numbers (microseconds since 1970, or the order given) with null where a value is unusable.
    The unit of numbers follows from the size of their median. Raises ``TimestampUnreadable``.
    """
    dtype = column.dtype
    if dtype.is_temporal():
        if isinstance(dtype, pl.Datetime) and dtype.time_zone:
            column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        if dtype in (pl.Time, pl.Duration):
            raise TimestampUnreadable(example=str(column.drop_nulls().head(1).to_list()), dtype=dtype)
        zoned = isinstance(dtype, pl.Datetime) and dtype.time_zone
        return _in_utc(column.cast(pl.Datetime("us")), None if zoned else time_zone).cast(pl.Int64), "time"
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _read_text_time(column.cast(pl.String), time_zone)
    if not dtype.is_numeric():
        raise TimestampUnreadable(example=str(column.drop_nulls().head(1).to_list()), dtype=dtype)
    if dtype.is_float():
        column = column.set(~column.is_finite(), None)
    usable = column.drop_nulls().cast(pl.Float64)
    median = float(usable.abs().median() or 0.0)  # type: ignore[arg-type]
    if median < _FIRST_SECOND:
        whole = column if not dtype.is_float() or (usable == usable.round()).all() else column.rank("dense")
        return whole.cast(pl.Int64, strict=False), "order"
    factor = next((f for bound, f in _UNITS if median < bound), None)
    if factor is None:  # nanoseconds
        return (column.cast(pl.Int64, strict=False) // 1_000), "time"
    if dtype.is_float():
        return (column.cast(pl.Float64) * factor).round().cast(pl.Int64, strict=False), "time"
    largest = (2**63 - 1) // factor  # beyond it the product would wrap around into a time that looks possible
    return column.cast(pl.Int64, strict=False).clip(-largest, largest) * factor, "time"


def read_moment(value: object, time_zone: str | None = None) -> tuple[int | None, Clock]:
    """One moment as :func:`read_time` reads a column: text, a number, or Python's, numpy's or pandas' dates.

    Raises ``TimestampUnreadable`` for whatever else.
    """
    if isinstance(value, np.datetime64):
        value = value.astype("datetime64[us]").item()
    value = as_python(value)
    if isinstance(value, dt.datetime) and value == value and value.tzinfo is not None:  # NaT is not equal to itself
        value = value.astimezone(dt.UTC)
    try:
        if isinstance(value, bool):
            raise TypeError
        stamps, clock = read_time(pl.Series([value]), time_zone)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
        raise TimestampUnreadable(example=str(value)[:60], dtype=type(value).__name__) from None
    return stamps[0], clock


def in_words(moment: int, clock: Clock) -> str:
    """A timestamp for a person."""
    if clock == "order":
        return str(moment)
    epoch = dt.datetime(1970, 1, 1)
    try:
        return (epoch + dt.timedelta(microseconds=moment)).strftime("%Y-%m-%d %H:%M:%S")
    except OverflowError:
        return f"{moment} us"


def _in_utc(naive: pl.Series, time_zone: str | None) -> pl.Series:
    """Naive datetimes of a zone as naive datetimes of UTC."""
    if time_zone is None or time_zone == "UTC":
        return naive
    # The hour that a clock skips in spring is read as the one after it, the hour it repeats in autumn as the first.
    shifted = [
        moved.dt.replace_time_zone(time_zone, ambiguous="earliest", non_existent="null")
        for moved in (naive, naive + dt.timedelta(hours=1))
    ]
    local = shifted[0].zip_with(shifted[0].is_not_null(), shifted[1])
    return local.dt.convert_time_zone("UTC").dt.replace_time_zone(None)


def _read_text_time(column: pl.Series, time_zone: str | None) -> tuple[pl.Series, Clock]:
    stripped = column.str.strip_chars()
    numbers = stripped.cast(pl.Float64, strict=False)
    present = stripped.drop_nulls().len()
    if present and numbers.is_not_null().sum() >= 0.5 * present:
        return read_time(numbers)
    frame = stripped.alias("t").to_frame()
    for strict in ("%+", None):
        try:
            parsed = frame.select(
                pl.col("t").str.to_datetime(strict, strict=False, time_unit="us", time_zone="UTC" if strict else None)
            )["t"]
        except pl.exceptions.PolarsError:
            continue
        if parsed.is_not_null().sum() >= 0.5 * max(present, 1):
            return _in_utc(parsed.dt.replace_time_zone(None), None if strict else time_zone).cast(pl.Int64), "time"
    raise TimestampUnreadable(example=next(iter(stripped.drop_nulls()), ""), dtype=column.dtype)


def _id_column(column: pl.Series) -> pl.Series:
    dtype = column.dtype
    if dtype == pl.Object:
        texts = [None if value is None else str(value) for value in column]
        kinds = sorted({type(value).__name__ for value in column if value is not None})
        if len(kinds) > 1:
            raise MixedIds(column=column.name, types=", ".join(kinds))
        return pl.Series(column.name, texts, dtype=pl.String)
    if dtype.is_float():
        # pandas turns whole numbers with a gap into floats; anything else is no id
        column = column.set(~column.is_finite(), None)
        whole = column.drop_nulls()
        if (whole.abs() > 2**53).any():
            raise MixedIds(column=column.name, types="floats beyond 2**53, which have lost digits")
        if (whole == whole.round()).all():
            return column.cast(pl.Int64)
        raise MixedIds(column=column.name, types="fractional numbers")
    if dtype.is_integer():
        wide = dtype in (pl.Int128, pl.UInt128)
        return column.cast(pl.String) if wide else column if dtype == pl.UInt64 else column.cast(pl.Int64)
    if dtype in (pl.Categorical, pl.Enum):
        return column.cast(pl.String)
    if dtype == pl.Binary:
        try:
            return column.cast(pl.String)
        except pl.exceptions.PolarsError:
            raise MixedIds(column=column.name, types="bytes that are not UTF-8 text") from None
    if dtype in (pl.String, pl.Boolean, pl.Date):
        return column.cast(pl.String)
    if dtype == pl.Null:
        return column.cast(pl.String)
    raise MixedIds(column=column.name, types=str(dtype))


def _suggest(name: str, found: list[str]) -> str:
    lowered = {column.lower().replace(" ", "_"): column for column in found}
    for alias in (name, *_ALIASES.get(name, ())):
        if alias in lowered:
            return f" Did you mean {lowered[alias]!r}?"
    return nearest(name, found)
