"""Spans of time as a person writes them: ``"7d"``, ``"1d 12h"``, a timedelta, or a number of days; as microseconds.
And moments, as the log counts them.

What a span limits, and whether the log has a clock to hold it against, is left to the miners.
"""

from __future__ import annotations

import datetime as dt
import numbers
import re
from fractions import Fraction
from typing import Any

import numpy as np

from segue.arguments import is_scalar
from segue.data import schema
from segue.data.dataset import Dataset
from segue.errors import DateUnreadable, SpanUnreadable, TimestampUnreadable

Span = dt.timedelta | str | float
"""What is read as a span; numbers are days."""
DAY = 86_400_000_000
"""Microseconds."""
_SECOND = 1_000_000
_UNITS = {
    "w": 7 * DAY,
    "week": 7 * DAY,
    "d": DAY,
    "day": DAY,
    "h": 3_600 * _SECOND,
    "hour": 3_600 * _SECOND,
    "m": 60 * _SECOND,
    "min": 60 * _SECOND,
    "minute": 60 * _SECOND,
    "s": _SECOND,
    "sec": _SECOND,
    "second": _SECOND,
    "ms": 1_000,
    "us": 1,
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)\s*", re.ASCII)
_LONGEST = 365_250 * DAY  # 1,000 years: a moment plus or minus it is a 64-bit number still


def microseconds(span: Span) -> int:
    """A span as whole microseconds, rounded.

    Args:
        span: a ``timedelta`` (also of pandas or numpy), a number of days, or text: numbers with units, such as
            ``"7d"``, ``"36h"``, ``"1d 12h"``, ``"90 minutes"``. Units: w, d, h, m or min, s, ms, us, and the whole
            words week, day, hour, minute, second with or without s.

    Raises:
        SpanUnreadable: it is none of these, has no unit, is negative, or is longer than 1,000 years.
    """
    found = _read(span)
    if found is None:
        raise SpanUnreadable(value=span, reason="not a span of time")
    if found < 0:
        raise SpanUnreadable(value=span, reason="negative")
    if found > _LONGEST:
        raise SpanUnreadable(value=span, reason="longer than 1,000 years")
    return round(found)


def read_moment(data: Dataset, moment: Any, name: str) -> int:
    """A moment as the log counts time; text without a zone is in the log's. Raises ``DateUnreadable``."""
    wanted = "moment" if data.clock == "time" else "place in an order"
    if not is_scalar(moment):
        raise DateUnreadable(name=name, value=moment, wanted=wanted)
    try:
        read, clock = schema.read_moment(moment, data.time_zone)
    except TimestampUnreadable:
        raise DateUnreadable(name=name, value=moment, wanted=wanted) from None
    if read is None or clock != data.clock:
        raise DateUnreadable(name=name, value=moment, wanted=wanted)
    return int(read)


def _read(span: object) -> Fraction | int | None:
    """Microseconds, or None where it cannot be read."""
    if isinstance(span, dt.timedelta):
        # NaT of pandas is a timedelta to isinstance and has no days.
        return span // dt.timedelta(microseconds=1) if span == span else None
    if isinstance(span, np.timedelta64):
        if np.isnat(span) or np.datetime_data(span.dtype)[0] in ("generic", "Y", "M"):
            return None
        return int(span.astype("timedelta64[us]").astype(np.int64))
    if isinstance(span, str):
        return _read_text(span.strip().lower())
    if isinstance(span, numbers.Real) and not isinstance(span, bool | np.bool_):
        return Fraction(float(span)) * DAY if np.isfinite(float(span)) else None
    return None


def _read_text(text: str) -> Fraction | None:
    parts = _PART.findall(text)
    units = [_UNITS.get(unit) or _UNITS.get(unit.removesuffix("s") if len(unit) > 3 else unit) for _, unit in parts]
    if not parts or _PART.sub("", text) or None in units:
        return None
    return sum((Fraction(number) * unit for (number, _), unit in zip(parts, units, strict=True) if unit), Fraction())
