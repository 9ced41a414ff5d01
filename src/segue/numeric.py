"""Numbers at the boundary: numpy's as Python's, and shares of a count without the rounding of floats."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

_ROUNDING = Fraction(1, 10**12)
_NUMBERS = "biuf"  # numpy's kinds: bool, int, unsigned, float


def as_python(value: Any) -> Any:
    """A numpy number as the Python number that it prints as, an array of them as a list; anything else as it is.

    ``np.int64(1)`` is 1 and ``np.float32(0.1)`` is 0.1, not 0.10000000149.
    """
    if getattr(getattr(value, "dtype", None), "kind", "") not in _NUMBERS or not hasattr(value, "ndim"):
        return value
    if value.ndim:
        return [as_python(each) for each in value]
    plain = value.item()
    return float(str(value)) if isinstance(plain, float) else plain


def share_of(share: float, count: int) -> Fraction:
    """``share`` times ``count`` for the number that the share stands for: 0.55 of 100 is 55, 7 / 30 of 30 is 7.

    A float of a share is off by its rounding, so a product that close to a whole number is that number.
    Raises ``ValueError`` where the share is not finite.
    """
    product = Fraction(str(float(as_python(share)))) * int(count)
    return Fraction(round(product)) if abs(product - round(product)) <= abs(product) * _ROUNDING else product
