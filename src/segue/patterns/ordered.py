"""Ordered rules: all of the antecedent, in any order, before all of the consequent, in any order; once per user.

For one consequent, what stands before it in a history is a basket, and its antecedents are the itemsets of these
baskets: with no limit of span one basket per user (before the last of the consequent), else one for every time that
the consequent is complete, all of a user counting once. So ``itemset_kernels`` counts here too. Measures and the frame
are left to ``rules``.
"""

from __future__ import annotations

import numpy as np

from segue.data.jit import kernel
from segue.patterns.itemset_kernels import ascending, below, transposed
from segue.patterns.itemsets import MOST, Itemsets, gathered, in_pieces
from segue.patterns.sequences import Sequences

_ANY = np.iinfo(np.int64).max


@kernel()
def _baskets(row, wanted, offsets, items, places, moments, within, latest, lows, highs, owners, used):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Add the entries that stand before the consequent in one row: a basket each time that it is complete.

    ``latest`` (items,) is the place after which an item of the consequent is not known to stand, -1 at first.
    """
    begin, end = offsets[row], offsets[row + 1]
    complete = False
    low = high = begin
    entry = begin
    for item in wanted:
        latest[item] = -1
    while entry < end:
        place, hit = places[entry], False
        moment = moments[entry]
        while entry < end and places[entry] == place:
            for item in wanted:
                if items[entry] == item:
                    latest[item] = place
                    hit = True
            entry += 1
        if not hit:
            continue
        until = place
        for item in wanted:
            until = min(until, latest[item])
        if until < 0:
            continue
        complete = True
        while places[high] < until:
            high += 1
        if within == _ANY:
            continue
        while moments[low] < moment - within:
            low += 1
        if low < high:
            lows[used], highs[used], owners[used] = low, high, row
            used += 1
    if within == _ANY and complete and low < high:
        lows[used], highs[used], owners[used] = low, high, row
        used += 1
    return used


@kernel()
def _mine(  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    consequents, first, end, starts, lists, offsets, items, places, moments, within, size, longest, minimum, limit
):
    rows = np.full((1_024, 1 + longest), -1, dtype=np.int32)
    counts = np.empty(1_024, dtype=np.int32)
    used = 0
    latest = np.full(size, -1, dtype=np.int64)
    number = np.full(size, -1, dtype=np.int32)
    for each in range(first, end):
        wanted = consequents[each]
        rarest = wanted[0]
        for item in wanted:
            if starts[item + 1] - starts[item] < starts[rarest + 1] - starts[rarest]:
                rarest = item
        room = starts[rarest + 1] - starts[rarest]
        if within != _ANY:
            room = 0
            for place in range(starts[rarest], starts[rarest + 1]):
                room += offsets[lists[place] + 1] - offsets[lists[place]]
        lows, highs = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        owners = np.empty(room, dtype=np.int32)
        baskets = 0
        for place in range(starts[rarest], starts[rarest + 1]):
            baskets = _baskets(
                lists[place], wanted, offsets, items, places, moments, within, latest, lows, highs, owners, baskets
            )
        # Which items stand before it in enough rows.
        tally = np.zeros(size, dtype=np.int32)
        seen = np.full(size, -1, dtype=np.int32)
        for basket in range(baskets):
            for entry in range(lows[basket], highs[basket]):
                item = items[entry]
                if seen[item] != owners[basket]:
                    seen[item] = owners[basket]
                    tally[item] += 1
        for item in wanted:
            tally[item] = 0
        found = 1
        names = np.empty(size + 1, dtype=np.int32)
        names[0] = each  # the consequent is an item of its own, in every basket
        for item in range(size):
            number[item] = -1
            if tally[item] >= minimum:
                number[item] = found
                names[found] = item
                found += 1
        if found == 1:
            continue
        entries = baskets
        for basket in range(baskets):
            for entry in range(lows[basket], highs[basket]):
                entries += number[items[entry]] > 0
        held = np.zeros(entries, dtype=np.int32)
        bounds = np.zeros(baskets + 1, dtype=np.int64)
        at = 0
        for basket in range(baskets):
            at += 1
            for entry in range(lows[basket], highs[basket]):
                if number[items[entry]] > 0:
                    held[at] = number[items[entry]]
                    at += 1
            bounds[basket + 1] = at
        inner_starts, inner_lists = transposed(bounds, held, found)
        bounds, held = ascending(inner_starts, inner_lists, baskets)
        rows, counts, used = below(
            bounds, held, inner_starts, inner_lists, owners[:baskets], within == _ANY, names[:found], 0, 1,
            1 + longest, minimum, limit, rows, counts, used,
        )  # fmt: skip
        if used > limit:
            break
    return rows[:used].copy(), counts[:used].copy()


def ordered_rules(
    found: Sequences,
    known: Itemsets,
    minimum: int,
    longest: int,
    length: int,
    within: int | None,
    timed: bool,
    show: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All ordered rules that ``minimum`` users or more follow, whose consequent has ``length`` items.

    The rule of Fournier-Viger et al. (RuleGrowth, SAC 2011; within a span: TRuleGrowth, 2012), found exactly.

    Args:
        known: the itemsets of the histories, of ``length`` items and more; consequents are taken from them.
        longest: items of a rule, both sides.
        within: from the first event of the rule to the last, microseconds where ``timed``, else places.

    Returns:
        (rules, longest - length) int32 numbers of the antecedent, ascending, -1 after the last; the place of the
        consequent among the itemsets of its length; and the support.
    """
    consequents = known.rows[length - 1]
    number = np.full(found.size, -1, dtype=np.int32)
    number[known.symbols] = np.arange(len(known.symbols))
    kept = found.keep(number[found.symbols] >= 0)
    items, places = number[kept.symbols], kept.places.astype(np.int64)
    moments = places if not timed or kept.times is None else kept.times
    starts, lists = transposed(kept.offsets, items, len(known.symbols))
    span = _ANY if within is None else within
    history = (starts, lists, kept.offsets, items, places, moments)

    def mine(first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        rows, counts = _mine(
            consequents, first, end, *history, span, len(known.symbols), longest - length, minimum, MOST
        )
        return rows, counts

    pieces = in_pieces(mine, known.counts[length - 1], "Counting what comes before", show)
    rows, counts = gathered(pieces, 1 + longest - length)
    return rows[:, 1:], rows[:, 0], counts
