"""Which patterns say something that no longer one says: closed and maximal ones.

A pattern is closed where no longer pattern that was mined holds it with the same support, and maximal where none holds
it at all (Yan, Han & Afshar, "CloSpan", SDM 2003). Patterns of the greatest length asked for are held by none.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from segue.data.jit import kernel
from segue.patterns.mining import PatternTree

MOST = 20
"""Symbols of a pattern, at most, where gaps are bounded: all parts of it are looked up."""


def telling(tree: PatternTree, kind: Literal["closed", "maximal"], gaps: bool) -> np.ndarray:
    """(patterns,) which are closed, or maximal.

    Args:
        gaps: whether gaps were bounded. A part of a pattern may then be rarer than the pattern, so that all its parts
            have to be looked up, and not only those that are one symbol shorter.
    """
    count = len(tree)
    # Children stand together, but not those of the root, which come from several searches.
    order = np.lexsort((tree.codes, tree.parents))
    firsts = np.searchsorted(tree.parents[order], np.arange(-1, count + 1))
    kept: np.ndarray = _marked(
        tree.parents, tree.codes, tree.supports, tree.lengths, order, firsts, kind == "closed", gaps
    )
    return kept


@kernel()
def _child(codes, order, firsts, node, code):  # type: ignore[no-untyped-def]
    """The pattern that is ``node`` with one symbol more, or -2; node -1 is the empty one."""
    low, high = firsts[node + 1], firsts[node + 2]
    while low < high:
        middle = (low + high) // 2
        if codes[order[middle]] < code:
            low = middle + 1
        else:
            high = middle
    if low < firsts[node + 2] and codes[order[low]] == code:
        return order[low]
    return -2


@kernel()
def _marked(parents, codes, supports, lengths, order, firsts, equal, gaps):  # type: ignore[no-untyped-def]
    kept = np.ones(len(parents), np.bool_)
    longest = 0
    for node in range(len(parents)):
        longest = max(longest, lengths[node])
    word = np.empty(longest, np.int64)
    for node in range(len(parents)):
        length = lengths[node]
        at = node
        for place in range(length - 1, -1, -1):
            word[place] = codes[at]
            at = parents[at]
        if gaps:
            for chosen in range(1, (1 << length) - 1):
                part = -1
                for place in range(length):
                    if chosen >> place & 1:
                        part = _child(codes, order, firsts, part, word[place])
                        if part == -2:
                            break
                if part >= 0 and (not equal or supports[part] == supports[node]):
                    kept[part] = False
            continue
        for left_out in range(length if length > 1 else 0):
            part = -1
            for place in range(length):
                if place != left_out:
                    part = _child(codes, order, firsts, part, word[place])
                    if part == -2:
                        break
            if part >= 0 and (not equal or supports[part] == supports[node]):
                kept[part] = False
    return kept
