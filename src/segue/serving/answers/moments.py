"""Moments as people write them, and as they are kept: microseconds since 1970 in UTC, or numbers of an order."""

from __future__ import annotations

import datetime as dt
import math
import time
import zoneinfo
from typing import Any

from segue.errors import MomentUnreadable

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
HOUR = 3_600_000_000
"""In microseconds."""
_MICROSECOND = dt.timedelta(microseconds=1)
_FAR = 7_258_118_400  # seconds until the year 2200
_FINER = {"milliseconds": 1e3, "microseconds": 1e6, "nanoseconds": 1e9}
# The years 1 to 9999, in microseconds.
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_402_300_799_999_999


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1_000


def read(value: Any, clock: str, time_zone: str = "UTC") -> int:
    """A moment as it is kept.

    Args:
        value: ISO 8601 text, seconds since 1970 (up to the year 2200: beyond it they are of another unit), or
            ``"now"``; of an order its number.
        clock: ``"time"`` or ``"order"``.
        time_zone: of texts that name none.

    Raises:
        MomentUnreadable: with the value, shortened.
    """
    number = _number(value)
    if clock == "order":
        if number is None or abs(number) >= 2**63:
            raise _unreadable(value, "is no number, and this log's timestamps are an order, not a time")
        return int(number)
    if number is not None:
        if number >= _FAR:
            finer = [name for name, each in _FINER.items() if number / each < _FAR]
            reason = f"looks like {finer[0]}, and seconds are wanted" if finer else "is outside the years 1 to 9999"
            raise _unreadable(value, reason)
        micros = value * 1_000_000 if type(value) is int else round(number * 1e6)
    elif value == "now":
        return now()
    elif isinstance(value, str):
        try:
            told = dt.datetime.fromisoformat(value.strip())
            zoned = told if told.tzinfo else told.replace(tzinfo=zoneinfo.ZoneInfo(time_zone))
            micros = (zoned - _EPOCH) // _MICROSECOND
        except (ValueError, OverflowError):
            raise _unreadable(value, "cannot be read as a moment") from None
    else:
        raise _unreadable(value, "cannot be read as a moment")
    if not _EARLIEST <= micros <= _LATEST:
        raise _unreadable(value, "is outside the years 1 to 9999")
    return int(micros)


def tell(moment: int | None, clock: str) -> str | int | None:
    """ISO 8601 in UTC; of an order its number."""
    if moment is None or clock == "order":
        return moment
    told = _EPOCH + _MICROSECOND * min(max(moment, _EARLIEST), _LATEST)
    return told.isoformat().replace("+00:00", "Z")


def _number(value: Any) -> float | None:
    """A finite number, also where it was written as text; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _unreadable(value: Any, reason: str) -> MomentUnreadable:
    return MomentUnreadable(value=str(value)[:60], reason=reason)
