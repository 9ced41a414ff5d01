"""Calendar codes: the month, weekday and hour of a moment, in the log's time zone, as one small number."""

from __future__ import annotations

import numpy as np
import polars as pl

CODES = 12 * 7 * 24 + 1
"""Code 0 is an unknown moment; 1 + (month * 7 + weekday) * 24 + hour is a known one (January, Monday, midnight: 1)."""
# Beyond these a calendar has no meaning and some of its libraries overflow (years 1 and 9999).
_EARLIEST, _LATEST = -62_135_596_800_000_000, 253_370_764_800_000_000


def calendar_codes(moments: np.ndarray, time_zone: str = "UTC") -> np.ndarray:
    """Microseconds since 1970 to codes (int16); moments outside the years 1 to 9999 get 0."""
    known = (moments >= _EARLIEST) & (moments <= _LATEST)
    stamps = pl.Series(np.where(known, moments, 0), dtype=pl.Datetime("us")).dt.replace_time_zone("UTC")
    local = stamps.dt.convert_time_zone(time_zone).dt
    month, weekday = local.month().cast(pl.Int16) - 1, local.weekday().cast(pl.Int16) - 1
    codes = 1 + (month * 7 + weekday) * 24 + local.hour().cast(pl.Int16)
    return np.where(known, codes.to_numpy(), 0).astype(np.int16)
