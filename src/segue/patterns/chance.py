"""How likely chance alone makes a habit: Fisher's exact test, and many hypotheses at once.

Which habits are tested is left to the miners; they say how many hypotheses that makes. Orders shuffled by chance are in
``significance``.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from segue.data.jit import kernel
from segue.patterns.counting import need_choice

CORRECTIONS = ("benjamini-hochberg", "benjamini-yekutieli", "bonferroni", "none")


@kernel()
def _log_choose(total, some):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    return math.lgamma(total + 1.0) - math.lgamma(some + 1.0) - math.lgamma(total - some + 1.0)


@kernel()
def _fisher(total, both, left, right):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    found = np.empty(both.shape[0])
    for each in range(both.shape[0]):
        k, a, c, n = float(both[each]), float(left[each]), float(right[each]), float(total)
        low, high = max(0.0, a + c - n), min(a, c)
        if k <= low:
            found[each] = 1.0
            continue
        # The shorter tail is summed from its largest term on, until what is left adds nothing.
        upper = k > (a + 1) * (c + 1) / (n + 2)
        at = k if upper else k - 1
        term = math.exp(_log_choose(a, at) + _log_choose(n - a, c - at) - _log_choose(n, c))
        tail = 0.0
        while low <= at <= high and term > tail * 1e-17:
            tail += term
            if upper:
                term *= (a - at) * (c - at) / ((at + 1) * (n - a - c + at + 1))
                at += 1
            else:
                term *= at * (n - a - c + at) / ((a - at + 1) * (c - at + 1))
                at -= 1
        found[each] = min(1.0, tail) if upper else max(0.0, 1 - tail)
    return found


def fisher(both: np.ndarray, left: np.ndarray, right: np.ndarray, total: int) -> np.ndarray:
    """Fisher's exact test, one-sided: how likely are as many together, or more, were the two sides independent?

    Args:
        both, left, right: (n,) how many of ``total`` hold both sides, the left, the right.

    Returns:
        (n,) p values, the upper tail of the hypergeometric distribution; to about 8 digits for a million baskets.
    """
    counts = [np.ascontiguousarray(part, dtype=np.int64) for part in (both, left, right)]
    return np.asarray(_fisher(total, *counts))


def fisher_two_sided(left: np.ndarray, right: np.ndarray, left_size: int, right_size: int) -> np.ndarray:
    """(n,) two-sided p values of Fisher's exact test: of the tables with the same margins, all as unlikely or more.

    Args:
        left, right: (n,) how many of each side have something; the sizes are how many there are.
    """
    total = left + right
    out = np.ones(len(left))
    for together in np.unique(total):
        cells = np.arange(max(0, together - right_size), min(together, left_size) + 1)
        log = _log_chosen(left_size, cells) + _log_chosen(right_size, together - cells)
        log -= _log_chosen(left_size + right_size, np.array([together]))
        order = np.argsort(log, kind="stable")
        sums = np.cumsum(np.exp(log[order]))
        mine = total == together
        # Equally likely tables differ by rounding alone.
        place = np.searchsorted(log[order], log[left[mine] - cells[0]] + 1e-7, side="right")
        out[mine] = sums[place - 1]
    return np.asarray(np.minimum(out, 1.0))


def _log_chosen(size: int, chosen: np.ndarray) -> np.ndarray:
    found = special.gammaln(size + 1) - special.gammaln(chosen + 1) - special.gammaln(size - chosen + 1)
    return np.asarray(found)


def adjusted(p_values: np.ndarray, method: str = "benjamini-hochberg", hypotheses: int | None = None) -> np.ndarray:
    """P values corrected for the number of hypotheses tested.

    Args:
        method: ``"benjamini-hochberg"`` keeps the expected share of false habits among those reported below the level
            (Benjamini and Hochberg, 1995; for tests that are independent or go together), ``"benjamini-yekutieli"``
            also where they depend on each other otherwise, ``"bonferroni"`` the chance of even one, ``"none"``
            corrects nothing.
        hypotheses: how many were tested, where ``p_values`` are the best of them; those not given count as 1.

    Raises ``ChoiceUnknown`` where there is no such correction.
    """
    need_choice("correction", method, CORRECTIONS)
    p_values = np.asarray(p_values, dtype=np.float64)
    tested = max(len(p_values), hypotheses or 0)
    if method == "none" or not len(p_values):
        return p_values
    if method == "bonferroni":
        return np.asarray(np.minimum(p_values * tested, 1))
    order = np.argsort(p_values)
    if method == "benjamini-yekutieli":
        scale = tested * float(special.digamma(tested + 1) - special.digamma(1))  # the harmonic number
    else:
        scale = tested
    scaled = p_values[order] * scale / np.arange(1, len(p_values) + 1)
    made = np.empty_like(p_values)
    made[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return made
