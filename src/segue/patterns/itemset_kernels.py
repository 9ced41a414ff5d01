"""Compiled counting of frequent itemsets below a prefix: by delivering baskets where sparse, by bitmaps where dense.

A database here is baskets of items: ``offsets`` and ``items`` (ascending and distinct within a basket, numbered from
0), and ``owners``, the number of whoever each basket belongs to, never falling: an itemset counts once per owner.
``starts`` and ``lists`` are the same the other way round: the baskets of every item, ascending. What is frequent, how
the numbers came to be and what becomes of the itemsets is left to ``itemsets``.
"""

from __future__ import annotations

import numpy as np

from segue.data.jit import kernel

_DENSE = 0.125  # a pair costs a bitmap 1/64 of a step per basket, and delivering density x density


@kernel()
def _ones(word):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """How many bits of a uint64 are set (Warren, Hacker's Delight, 5-1); LLVM makes one instruction of it."""
    word -= (word >> np.uint64(1)) & np.uint64(0x5555555555555555)
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (word * np.uint64(0x0101010101010101)) >> np.uint64(56)


@kernel()
def transposed(offsets, items, size):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The baskets of every item, each once: (size + 1,) starts and int32 numbers; items may repeat in a basket."""
    last = np.full(size, -1, dtype=np.int32)
    starts = np.zeros(size + 1, dtype=np.int64)
    for basket in range(offsets.shape[0] - 1):
        for place in range(offsets[basket], offsets[basket + 1]):
            item = items[place]
            if item >= 0 and last[item] != basket:
                last[item] = basket
                starts[item + 1] += 1
    for item in range(size):
        starts[item + 1] += starts[item]
    lists = np.empty(starts[size], dtype=np.int32)
    ends = starts[:-1].copy()
    last[:] = -1
    for basket in range(offsets.shape[0] - 1):
        for place in range(offsets[basket], offsets[basket + 1]):
            item = items[place]
            if item >= 0 and last[item] != basket:
                last[item] = basket
                lists[ends[item]] = basket
                ends[item] += 1
    return starts, lists


@kernel()
def ascending(starts, lists, baskets):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The items of every basket, ascending and each once: the way back from ``transposed``."""
    offsets = np.zeros(baskets + 1, dtype=np.int64)
    for basket in lists:
        offsets[basket + 1] += 1
    for basket in range(baskets):
        offsets[basket + 1] += offsets[basket]
    items = np.empty(lists.shape[0], dtype=np.int32)
    ends = offsets[:-1].copy()
    for item in range(starts.shape[0] - 1):
        for place in range(starts[item], starts[item + 1]):
            items[ends[lists[place]]] = item
            ends[lists[place]] += 1
    return offsets, items


@kernel()
def _larger(rows, counts, used):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    more_rows = np.full((2 * rows.shape[0], rows.shape[1]), -1, dtype=np.int32)
    more_counts = np.empty(2 * counts.shape[0], dtype=np.int32)
    more_rows[:used] = rows[:used]
    more_counts[:used] = counts[:used]
    return more_rows, more_counts


@kernel()
def _dense(bits, names, prefix, depth, minimum, limit, rows, counts, used):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Eclat over bitmaps: ``bits`` is (items, words), one bit per basket that holds the prefix."""
    longest, words = prefix.shape[0], bits.shape[1]
    levels, called = [bits], [names]
    at = np.zeros(longest, dtype=np.int64)
    level = 0
    while level >= 0 and used <= limit:
        here, item = levels[level], at[level]
        size = here.shape[0]
        if item == size - 1:
            levels.pop()
            called.pop()
            level -= 1
            continue
        at[level] += 1
        length = depth + level + 2
        prefix[length - 2] = called[level][item]
        child_names = np.empty(size - 1 - item, dtype=np.int32)
        child = np.empty((size - 1 - item if length < longest else 0, words), dtype=np.uint64)
        found = 0
        for other in range(item + 1, size):
            count = 0
            for word in range(words):
                count += _ones(here[item, word] & here[other, word])
            if count < minimum:
                continue
            if used == rows.shape[0]:
                rows, counts = _larger(rows, counts, used)
            rows[used, : length - 1] = prefix[: length - 1]
            rows[used, length - 1] = called[level][other]
            counts[used] = count
            used += 1
            if length < longest:
                for word in range(words):
                    child[found, word] = here[item, word] & here[other, word]
                child_names[found] = called[level][other]
                found += 1
        if found > 1:
            levels.append(child[:found].copy())
            called.append(child_names[:found].copy())
            level += 1
            at[level] = 0
    return rows, counts, used


@kernel()
def _projected(offsets, items, baskets, owners, item, number, room):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Some baskets, of them the items above ``item`` that have a new number (``room`` or fewer), where two are left."""
    new_offsets = np.zeros(baskets.shape[0] + 1, dtype=np.int64)
    new_items = np.empty(room, dtype=np.int32)
    new_owners = np.empty(baskets.shape[0], dtype=np.int32)
    kept, at = 0, 0
    for basket in baskets:
        stop = offsets[basket + 1]
        place = stop
        while items[place - 1] > item:
            place -= 1
        begun = at
        while place < stop:
            if number[items[place]] >= 0:
                new_items[at] = number[items[place]]
                at += 1
            place += 1
        if at - begun > 1:
            new_owners[kept] = owners[basket]
            kept += 1
            new_offsets[kept] = at
        else:
            at = begun
    return new_offsets[: kept + 1], new_items[:at], new_owners[:kept]


@kernel()
def below(  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    offsets, items, starts, lists, owners, single, names, first, end, longest, minimum, limit, rows, counts, used
):
    """Itemsets of an item of ``first:end`` and one or more items of higher numbers.

    Occurrence deliver (Uno, Kiyomi and Arimura, FIMI 2004): every basket that holds the prefix tells the items that
    could follow, so what is held is one projected database per level; a dense one goes on as bitmaps. The levels stand
    on a stack, since a compiled function that calls itself cannot be kept on disk (numba issue 6061).

    Args:
        single: whether every basket has an owner of its own.
        names: what each item is called in the result.
        longest: items of an itemset.
        limit: stop soon after as many itemsets.
        rows, counts, used: (n, longest) int32 names, -1 after the last, and the counts so far; grown where needed.
    """
    prefix = np.empty(longest, dtype=np.int32)
    tally = np.zeros(starts.shape[0] - 1, dtype=np.int32)
    seen = np.full(starts.shape[0] - 1, -1, dtype=np.int32)
    number = np.full(starts.shape[0] - 1, -1, dtype=np.int32)
    levels = [(offsets, items, starts, lists, owners, names)]
    at, ends = np.empty(longest, dtype=np.int64), np.empty(longest, dtype=np.int64)
    at[0], ends[0] = first, end
    level = 0
    while level >= 0 and used <= limit:
        item = at[level]
        if item == ends[level]:
            levels.pop()
            level -= 1
            continue
        at[level] += 1
        offsets, items, starts, lists, owners, names = levels[level]
        size = starts.shape[0] - 1
        prefix[level] = names[item]
        baskets = lists[starts[item] : starts[item + 1]]
        room = 0
        tally[item + 1 : size] = 0
        seen[item + 1 : size] = -1
        for basket in baskets:
            owner = np.int32(0) if single else owners[basket]
            place = offsets[basket + 1] - 1
            while items[place] > item:
                other = items[place]
                if single or seen[other] != owner:
                    seen[other] = owner
                    tally[other] += 1
                room += not single
                place -= 1
        found = 0
        found_names = np.empty(size, dtype=np.int32)
        for other in range(item + 1, size):
            number[other] = -1
            if tally[other] < minimum:
                continue
            number[other] = found
            found_names[found] = names[other]
            room += tally[other] if single else 0
            found += 1
            if used == rows.shape[0]:
                rows, counts = _larger(rows, counts, used)
            rows[used, : level + 1] = prefix[: level + 1]
            rows[used, level + 1] = names[other]
            counts[used] = tally[other]
            used += 1
        if found < 2 or level + 2 >= longest:
            continue
        found_names = found_names[:found].copy()
        inner_offsets, inner_items, inner_owners = _projected(offsets, items, baskets, owners, item, number, room)
        count = inner_owners.shape[0]
        if single and inner_items.shape[0] > _DENSE * count * found:
            bits = np.zeros((found, (count + 63) // 64), dtype=np.uint64)
            for basket in range(count):
                for place in range(inner_offsets[basket], inner_offsets[basket + 1]):
                    bits[inner_items[place], basket >> 6] |= np.uint64(1) << np.uint64(basket & 63)
            rows, counts, used = _dense(bits, found_names, prefix, level + 1, minimum, limit, rows, counts, used)
            continue
        inner_starts, inner_lists = transposed(inner_offsets, inner_items, found)
        levels.append((inner_offsets, inner_items, inner_starts, inner_lists, inner_owners, found_names))
        level += 1
        at[level], ends[level] = 0, found
    return rows, counts, used
