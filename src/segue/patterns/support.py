"""How many users a habit must have: ``min_support`` as a person writes it, a share or a number, as a number."""

from __future__ import annotations

import math
import numbers

import numpy as np

from segue.errors import SupportUnusable


def least_users(min_support: float, users: int) -> int:
    """The smallest number of users that meets ``min_support``, at least 1.

    Args:
        min_support: a whole number of users from 1, or a share of ``users``: a float above 0 and up to 1.
        users: how many there are.

    Raises:
        SupportUnusable: it is neither.
    """
    if isinstance(min_support, numbers.Integral) and not isinstance(min_support, bool) and min_support >= 1:
        return int(min_support)
    if isinstance(min_support, float | np.floating) and 0 < min_support <= 1:
        # A share that is a whole number of users but for rounding (0.07 of 100) is that number.
        return max(1, math.ceil(float(min_support) * users * (1 - 1e-12)))
    raise SupportUnusable(value=min_support, reason="a share of the users or a whole number of them")
