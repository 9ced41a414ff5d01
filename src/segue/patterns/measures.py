"""What a pattern is worth beside its support: confidence, lift, leverage, and how many days it takes."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from segue.data.jit import kernel
from segue.errors import NoClock
from segue.patterns.growth import first_places, links
from segue.patterns.mining import PatternTree
from segue.patterns.sequences import Sequences
from segue.patterns.spans import DAY

Measure = Literal["confidence", "lift", "leverage", "days"]
MEASURES: tuple[Measure, ...] = get_args(Measure)


def measured(name: Measure, tree: PatternTree, chosen: np.ndarray, made: Sequences, users: int) -> np.ndarray:
    """One measure of some patterns, (chosen,).

    ``confidence``: of the users who have all but the last symbol in this order, those who then come to the last.
    ``lift``: that, relative to the share of users who have the last symbol at all. ``leverage``: the share of users
    beyond what independence would give. All three are NaN for a single symbol. ``days``: the median over users of the
    days from first to last symbol, in each user's shortest match that ends where the first match ends; bounds on gaps
    are not looked at.

    Raises ``NoClock`` for days without a clock.
    """
    if name == "days":
        return _days(tree, chosen, made)
    parents = tree.parents[chosen]
    alone = np.zeros(made.size)
    singles = tree.parents < 0
    alone[tree.codes[singles]] = tree.supports[singles]
    share = tree.supports[chosen] / users
    before = np.where(parents < 0, np.nan, tree.supports[parents]) / users
    last = alone[tree.codes[chosen]] / users
    confidence = share / before
    if name == "confidence":
        return np.asarray(confidence)
    return np.asarray(confidence / last if name == "lift" else share - before * last)


def _days(tree: PatternTree, chosen: np.ndarray, made: Sequences) -> np.ndarray:
    if made.times is None:
        raise NoClock(what="The measure days")
    offsets, symbols = tree.flat(chosen)
    starts, firsts = first_places(made.offsets, made.symbols, made.size)
    later, ends, _ = links(made.offsets, made.symbols, made.places, made.size)
    spans: np.ndarray = _median_spans(
        made.symbols, made.places, made.times, later, ends, starts, firsts, offsets, symbols
    )
    return spans / DAY


@kernel()
def _median_spans(symbols, places, times, later, ends, starts, firsts, offsets, patterns):  # type: ignore[no-untyped-def]
    found = np.full(len(offsets) - 1, np.nan)
    spans = np.empty(len(symbols))
    for number in range(len(offsets) - 1):
        pattern = patterns[offsets[number] : offsets[number + 1]]
        length = len(pattern)
        several = 0
        for k in range(starts[pattern[0]], starts[pattern[0] + 1]):
            begin = firsts[k]
            end = begin
            place = 1
            while place < length:  # forwards, as soon as possible
                i = later[end]
                while i < ends[begin] and symbols[i] != pattern[place]:
                    i += 1
                if i == ends[begin]:
                    break
                end = i
                place += 1
            if place < length:
                continue
            start = end
            for back in range(length - 2, -1, -1):  # backwards, as late as possible
                i = start - 1
                while symbols[i] != pattern[back] or places[i] == places[start]:
                    i -= 1
                start = i
            spans[several] = times[end] - times[start]
            several += 1
        if several:
            found[number] = np.median(spans[:several])
    return found
