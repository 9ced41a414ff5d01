"""How sure a figure is: bootstrap intervals of means over users, and a paired test between two recommenders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_RESAMPLES = 1_000
_FLIPS = 5_000
_MANY = 50_000  # beyond this many users the normal limit is as good as resampling
_NORMAL_95 = 1.959963984540054


def interval(values: np.ndarray, seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean by the percentile bootstrap over users (Efron, 1979)."""
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return float("nan"), float("nan")
    if len(values) > _MANY:
        half = _NORMAL_95 * values.std(ddof=1) / np.sqrt(len(values))
        return float(values.mean() - half), float(values.mean() + half)
    rng = np.random.default_rng(seed)
    size = max(1, 2_000_000 // len(values))
    means = [
        values[rng.integers(0, len(values), (min(size, _RESAMPLES - done), len(values)))].mean(1)
        for done in range(0, _RESAMPLES, size)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(low), float(high)


@dataclass(frozen=True)
class PairedTest:
    """The difference of two means over the same users, its interval, and how likely chance makes it."""

    difference: float
    low: float
    high: float
    p_value: float

    @property
    def significant(self) -> bool:
        """Whether chance is below 5 %."""
        return self.p_value < 0.05


def paired_test(left: np.ndarray, right: np.ndarray, seed: int = 0) -> PairedTest:
    """Two-sided randomisation test on paired differences (Smucker et al., CIKM 2007).

    Under the null hypothesis the sign of each user's difference is a coin toss; 5,000 tosses of all coins.
    """
    apart = np.asarray(left, dtype=np.float64) - np.asarray(right, dtype=np.float64)
    low, high = interval(apart, seed)
    moved = apart[apart != 0]
    if not len(moved):
        return PairedTest(0.0, low, high, 1.0)
    observed = abs(moved.sum())
    rng = np.random.default_rng(seed)
    size = max(1, 4_000_000 // len(moved))
    extreme = 0
    for done in range(0, _FLIPS, size):
        signs = rng.integers(0, 2, (min(size, _FLIPS - done), len(moved)), dtype=np.int8) * 2 - 1
        extreme += int((np.abs(signs @ moved) >= observed - 1e-12).sum())
    return PairedTest(float(apart.mean()), low, high, (extreme + 1) / (_FLIPS + 1))
