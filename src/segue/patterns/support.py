"""How many users a habit must have: ``min_support`` as a person writes it, a share or a number, as a number."""

from __future__ import annotations

import math

from segue.errors import SupportUnusable
from segue.numeric import as_python, share_of


def least_users(min_support: float, users: int) -> int:
    """The smallest number of users that meets ``min_support``, at least 1.

    Args:
        min_support: a whole number of users from 1, or a share of ``users``: a float above 0 and up to 1.
        users: how many there are.

    Raises:
        SupportUnusable: it is neither.
    """
    number = as_python(min_support)
    if isinstance(number, int) and not isinstance(number, bool) and number >= 1:
        return number
    if isinstance(number, float) and 0 < number <= 1:
        return max(1, math.ceil(share_of(number, users)))
    raise SupportUnusable(value=min_support, reason="a share of the users or a whole number of them")
