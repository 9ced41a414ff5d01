"""Calendar codes: the month, weekday and hour of a moment, in the log's time zone, as one small number."""

from __future__ import annotations

import numpy as np
import polars as pl

CODES = 12 * 7 * 24 + 1
"""Code 0 is an unknown moment; 1 + (month * 7 + weekday) * 24 + hour is a known one (January, Monday, midnight: 1)."""
HOUR = 3_600_000_000
"""Microseconds."""
# Beyond these a calendar has no meaning and some of its libraries overflow (years 1 and 9999).
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_370_764_800_000_000


def local_moments(moments: np.ndarray, time_zone: str = "UTC") -> np.ndarray:
    """Microseconds since 1970 as a clock on the wall there counts them; outside the years 1 to 9999 they are 0."""
    local = np.where((moments >= _EARLIEST) & (moments <= _LATEST), moments, 0)
    if time_zone != "UTC":  # polars costs more per call than the rest together
        stamps = pl.Series(local, dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone(time_zone)
        local = stamps.dt.replace_time_zone(None).to_physical().to_numpy()
    return np.asarray(local)


def calendar_codes(moments: np.ndarray, time_zone: str = "UTC") -> np.ndarray:
    """Microseconds since 1970 to codes (int16); moments outside the years 1 to 9999 get 0."""
    known = (moments >= _EARLIEST) & (moments <= _LATEST)
    local = local_moments(moments, time_zone)
    months = local.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64) % 12
    hours = local // HOUR
    return np.where(known, 1 + (months * 7 + weekdays(local)) * 24 + hours % 24, 0).astype(np.int16)


def weekdays(local: np.ndarray) -> np.ndarray:
    """Local moments to weekdays, Monday 0."""
    return np.asarray((local // (24 * HOUR) + 3) % 7)  # 1970 began on a Thursday
