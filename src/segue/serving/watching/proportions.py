"""Shares of counts with their intervals, and the difference of two of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

_NORMAL = NormalDist()


def wilson(hits: float, of: float, level: float = 0.95) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927): honest for small counts and shares near 0 and 1.

    Args:
        hits: how often it happened, at most ``of``.
        of: how often it could; 0 tells nothing, and the interval is all there is.
        level: how often such intervals hold the truth.
    """
    if of <= 0:
        return 0.0, 1.0
    z, share = _NORMAL.inv_cdf((1 + level) / 2), min(hits / of, 1.0)
    middle = share + z * z / (2 * of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of))
    low, high = (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)
    # At the ends it is exact; rounding would leave it a hair off.
    return (0.0 if share == 0 else max(low, 0.0)), (1.0 if share == 1 else min(high, 1.0))


@dataclass(frozen=True)
class Difference:
    """How two shares differ.

    Attributes:
        first, second: the shares.
        value: the second less the first.
        low, high: its interval (Newcombe 1998, method 10: the two score intervals put together).
        p: of no difference, two-sided (z test with the pooled share).
    """

    first: float
    second: float
    value: float
    low: float
    high: float
    p: float


def difference(hits: tuple[float, float], of: tuple[float, float], level: float = 0.95) -> Difference | None:
    """Compare two shares; None where one of them was never tried."""
    if min(of) <= 0:
        return None
    first, second = (min(h / n, 1.0) for h, n in zip(hits, of, strict=True))
    (low1, high1), (low2, high2) = (wilson(h, n, level) for h, n in zip(hits, of, strict=True))
    value = second - first
    low = value - math.hypot(second - low2, high1 - first)
    high = value + math.hypot(high2 - second, first - low1)
    pooled = min(sum(hits) / sum(of), 1.0)
    error = math.sqrt(pooled * (1 - pooled) * (1 / of[0] + 1 / of[1]))
    p = 1.0 if error == 0 else 2 * _NORMAL.cdf(-abs(value) / error)
    return Difference(first, second, value, max(low, -1.0), min(high, 1.0), p)
