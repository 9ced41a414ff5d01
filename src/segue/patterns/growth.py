"""The kernels of sequential patterns: prefixes grown one symbol at a time over the rows that hold them (PrefixSpan).

A node of the search is a prefix and its projection: for each row that holds it, where a match of it ends. All children
of a node are counted in one pass over what follows, and the frequent ones get their projections in a second. Memory is
that of the projections on one path of the search, at most the entries behind the first symbol per level, and of the
patterns found: 12 bytes each. Which prefixes are asked for, in which order and thread, is left to ``mining``.

Source: Pei et al., "PrefixSpan", ICDE 2001; bounded gaps and spans as in Pei, Han & Wang, CIKM 2002.
"""

from __future__ import annotations

import numpy as np

from segue.data.jit import kernel

RUNNING, STOPPED = 0, 1
_FAR = np.iinfo(np.int64).max // 8  # bounds above are none


@kernel()
def supports(offsets, symbols, size):  # type: ignore[no-untyped-def]
    """(size,) rows that hold each symbol."""
    count = np.zeros(size, np.int64)
    last = np.full(size, -1, np.int64)
    for row in range(len(offsets) - 1):
        for i in range(offsets[row], offsets[row + 1]):
            x = symbols[i]
            if last[x] != row:
                last[x] = row
                count[x] += 1
    return count


@kernel()
def links(offsets, symbols, places, size):  # type: ignore[no-untyped-def]
    """Per entry: where the next place begins, the row's end, and where its symbol stood before in the row (or -1)."""
    entries = len(symbols)
    later = np.empty(entries, np.int32)
    ends = np.empty(entries, np.int32)
    before = np.empty(entries, np.int32)
    last = np.full(size, -1, np.int32)
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        following = end
        for i in range(end - 1, start - 1, -1):
            if i + 1 < end and places[i + 1] != places[i]:
                following = i + 1
            later[i] = following
            ends[i] = end
        for i in range(start, end):
            x = symbols[i]
            before[i] = last[x] if last[x] >= start else -1
            last[x] = i
    return later, ends, before


@kernel()
def first_places(offsets, symbols, size):  # type: ignore[no-untyped-def]
    """For each symbol the entries where it stands first in a row: flat, with offsets (size + 1,)."""
    starts = np.zeros(size + 1, np.int64)
    count = supports(offsets, symbols, size)
    for symbol in range(size):
        starts[symbol + 1] = starts[symbol] + count[symbol]
    place = starts[:-1].copy()
    entries = np.empty(starts[size], np.int32)
    last = np.full(size, -1, np.int64)
    for row in range(len(offsets) - 1):
        for i in range(offsets[row], offsets[row + 1]):
            x = symbols[i]
            if last[x] != row:
                last[x] = row
                entries[place[x]] = i
                place[x] += 1
    return starts, entries


@kernel()
def longer(array, least):  # type: ignore[no-untyped-def]
    """The array, with room for at least so many values."""
    if least <= len(array):
        return array
    made = np.empty(max(least, 2 * len(array)), array.dtype)
    for i in range(len(array)):  # a slice would compile the texts of its errors too
        made[i] = array[i]
    return made


@kernel()
def rows_ended(offsets, symbols, places, size):  # type: ignore[no-untyped-def]
    """The rows one after the other, each ended by a 0: symbols, places, and where a symbol stood before (or -1).

    Also the entries where each symbol stands first in a row: flat, with offsets (size + 1,).
    """
    rows = len(offsets) - 1
    word = np.zeros(len(symbols) + rows, np.int32)
    place = np.full(len(word), -1, np.int32)
    before = np.full(len(word), -1, np.int32)
    starts = np.zeros(size + 1, np.int64)
    count = supports(offsets, symbols, size)
    for symbol in range(size):
        starts[symbol + 1] = starts[symbol] + count[symbol]
    free = starts[:-1].copy()
    firsts = np.empty(starts[size], np.int32)
    last = np.full(size, -1, np.int32)
    for row in range(rows):
        for i in range(offsets[row], offsets[row + 1]):
            x, at = symbols[i], i + row
            word[at], place[at] = x, places[i]
            if last[x] >= offsets[row] + row:
                before[at] = last[x]
            else:
                firsts[free[x]] = at
                free[x] += 1
            last[x] = at
    return word, place, before, starts, firsts


@kernel()
def _counted(word, place, before, shared, ends, count, met):  # type: ignore[no-untyped-def]
    """Count in how many rows each symbol follows a match that ``ends`` there; which, and the entries read."""
    several, read = 0, 0
    for k in range(len(ends)):
        s = ends[k] + 1
        while shared and place[s] == place[ends[k]]:
            s += 1
        i = s
        while word[i]:
            if before[i] < s:
                x = word[i]
                if count[x] == 0:
                    met[several] = x
                    several += 1
                count[x] += 1
            i += 1
        read += i - s + 1
    return several, read


@kernel()
def _followed(word, place, before, shared, ends, count, free, last, words, places_, befores, projected, top):  # type: ignore[no-untyped-def]
    """Copy what follows to the end of ``words``, frequent symbols alone, and note where each first matches."""
    for k in range(len(ends)):
        i = ends[k] + 1
        while shared and place[i] == place[ends[k]]:
            i += 1
        begin = top
        while word[i]:
            x = word[i]
            if count[x]:
                words[top] = x
                if shared:
                    places_[top] = place[i]
                if last[x] >= begin:
                    befores[top] = last[x]
                else:
                    befores[top] = -1
                    projected[free[x]] = top
                    free[x] += 1
                last[x] = top
                top += 1
            i += 1
        if top > begin:
            words[top] = 0
            if shared:
                places_[top] = -1
            top += 1
    return top


@kernel()
def grow(word, place, before, shared, starts, firsts, roots, least, longest, room, space, state):  # type: ignore[no-untyped-def]
    """All frequent patterns that begin with one of the ``roots``, with no bound on gaps.

    Where a match ends first is all that counts: whatever follows a later match follows that one. What follows is copied
    at every node without the symbols that are not frequent there, since no longer pattern can hold them.

    Args:
        word, place, before, starts, firsts: of :func:`rows_ended`.
        shared: whether several entries of a row may have one place.
        roots: codes to begin with, each frequent.
        least: rows that a pattern needs.
        longest: symbols in a pattern, at most.
        room: patterns to find before giving up.
        space: entries of projections to hold before giving up.
        state: (1,) shared; another thread sets it to ``STOPPED`` to make this one give up.

    Returns:
        ``parents`` (index of the prefix, -1 for none), ``codes`` (last symbol), ``counts`` (rows) of each pattern, and
        how many of the ``roots`` are complete. Children of one prefix stand together, their codes rising.
    """
    size = len(starts) - 1
    count = np.zeros(size, np.int32)
    free = np.zeros(size, np.int64)
    last = np.full(size, -1, np.int32)
    met = np.empty(size, np.int32)
    parents, codes, counts = np.empty(1024, np.int32), np.empty(1024, np.int32), np.empty(1024, np.int32)
    found = 0
    words, befores = np.empty(1024, np.int32), np.empty(1024, np.int32)  # what follows: one region per open family
    places_ = np.empty(1024 if shared else 0, np.int32)
    projected = np.empty(1024, np.int32)  # entries where matches end: one slice per open node
    open_node, open_depth = np.empty(256, np.int32), np.empty(256, np.int32)  # the next one to grow at the top
    open_start, open_end, open_top = np.empty(256, np.int64), np.empty(256, np.int64), np.empty(256, np.int64)
    for number in range(len(roots)):
        root = roots[number]
        kept = found
        held = starts[root + 1] - starts[root]
        parents, codes, counts = longer(parents, found + 1), longer(codes, found + 1), longer(counts, found + 1)
        parents[found], codes[found], counts[found] = -1, root, held
        open_node[0], open_depth[0], open_start[0], open_end[0], open_top[0] = found, 1, 0, 0, 0
        found += 1
        top = 1 if longest > 1 else 0
        while top:
            top -= 1
            node, depth, b, words_top = open_node[top], open_depth[top], open_end[top], open_top[top]
            if depth == 1:
                ends = firsts[starts[root] : starts[root + 1]]
                several, read = _counted(word, place, before, shared, ends, count, met)
            else:
                ends = projected[open_start[top] : b]
                several, read = _counted(words, places_, befores, shared, ends, count, met)
            frequent, total = 0, 0
            for m in range(several):
                x = met[m]
                if count[x] >= least:
                    met[frequent] = x
                    frequent += 1
                    total += count[x]
                else:
                    count[x] = 0
            children = np.sort(met[:frequent])
            if found + frequent - kept > room or words_top + read > space or state[0] == STOPPED:
                return parents[:kept].copy(), codes[:kept].copy(), counts[:kept].copy(), number
            parents, codes = longer(parents, found + frequent), longer(codes, found + frequent)
            counts = longer(counts, found + frequent)
            for x in children:
                parents[found], codes[found], counts[found] = node, x, count[x]
                found += 1
            if depth + 1 < longest and frequent:
                grown = longer(projected, b + total)
                words, befores = longer(words, words_top + read), longer(befores, words_top + read)
                if shared:
                    places_ = longer(places_, words_top + read)
                if top + frequent > len(open_node):
                    open_node, open_depth = longer(open_node, top + frequent), longer(open_depth, top + frequent)
                    open_start, open_end = longer(open_start, top + frequent), longer(open_end, top + frequent)
                    open_top = longer(open_top, top + frequent)
                end = b
                for x in children:
                    free[x] = end
                    last[x] = -1
                    end += count[x]
                where = (words, places_, befores, grown, words_top)
                if depth == 1:
                    after = _followed(word, place, before, shared, ends, count, free, last, *where)
                else:
                    after = _followed(words, places_, befores, shared, ends, count, free, last, *where)
                projected = grown
                for c in range(frequent):
                    x = children[c]
                    open_node[top], open_depth[top] = found - frequent + c, depth + 1
                    open_start[top], open_end[top], open_top[top] = free[x] - count[x], free[x], after
                    top += 1
            for x in children:
                count[x] = 0
        room -= found - kept
        if room < 0:
            return parents[:kept].copy(), codes[:kept].copy(), counts[:kept].copy(), number
    return parents[:found].copy(), codes[:found].copy(), counts[:found].copy(), len(roots)


@kernel()
def grow_bounded(  # type: ignore[no-untyped-def]
    symbols, rows, later, ends, places, times, starts, firsts, roots, least, longest, bounds, sets, room, space, state
):
    """As :func:`grow` with bounds on gaps and spans.

    A match is told by where it ends and by where it begins, as late as possible: of two that end at one entry the one
    that began later can do all the other can. So all ends count, with one beginning each.

    Args:
        rows: (entries,) the row of each entry.
        places, times: (entries,) of each entry.
        starts, firsts: all entries of each symbol, row by row.
        bounds: (5,) at most: places between neighbours, places from first to last, time between neighbours, time from
            first to last; at least: time between neighbours.
        sets: whether symbols of one place form one element (itemsets as elements: GSP, Srikant and Agrawal, EDBT 1996).
            Entries of one place have rising codes then. A code found at ``size`` or above is that of a symbol, plus
            ``size``, in the element of the symbol before it.
    """
    size = len(starts) - 1
    entries = len(symbols)
    codes_ = 2 * size if sets else size
    gap, span, gap_time, span_time, least_time = bounds
    count = np.zeros(codes_, np.int32)
    ending = np.zeros(codes_, np.int64)
    last = np.full(codes_, -1, np.int32)
    place = np.zeros(codes_, np.int64)
    met = np.empty(codes_, np.int32)
    free = least_time <= 0
    for k in range(4):
        free = free and bounds[k] >= _FAR
    # The latest beginning of a match that ends at an entry; behind them, of one that grew within its last element.
    latest = np.full(2 * entries if sets else entries, -1, np.int32)
    parents = np.empty(1024, np.int32)
    codes = np.empty(1024, np.int32)
    counts = np.empty(1024, np.int32)
    found = 0
    stop = np.empty(1024, np.int32)  # where matches end and begin: one slice per open node
    begin = np.empty(1024, np.int32)
    reached = np.empty(1024, np.int32)  # entries that one node's matches reach
    began = np.empty(1024, np.int32)
    open_node = np.empty(256, np.int32)
    open_depth = np.empty(256, np.int32)
    open_start = np.empty(256, np.int64)
    open_end = np.empty(256, np.int64)
    for number in range(len(roots)):
        root = roots[number]
        kept = found
        held = starts[root + 1] - starts[root]
        stop, begin = longer(stop, held), longer(begin, held)
        stop[:held] = firsts[starts[root] : starts[root + 1]]
        begin[:held] = stop[:held]
        distinct = 0
        for k in range(held):
            distinct += k == 0 or rows[stop[k]] != rows[stop[k - 1]]
        parents, codes, counts = longer(parents, found + 1), longer(codes, found + 1), longer(counts, found + 1)
        parents[found], codes[found], counts[found] = -1, root, distinct
        open_node[0], open_depth[0], open_start[0], open_end[0] = found, 1, 0, held
        found += 1
        top = 1 if longest > 1 else 0
        while top:
            top -= 1
            node, depth, a, b = open_node[top], open_depth[top], open_start[top], open_end[top]
            several, some = 0, 0
            k = a
            while k < b:
                row = rows[stop[k]]
                first, k_first = some, k
                while k < b and rows[stop[k]] == row:
                    e, s = stop[k], begin[k]
                    # Without bounds whatever follows a later match follows the first one of the row.
                    for i in range(later[e], ends[e] if k == k_first or not free else later[e]):
                        if places[i] - places[e] > gap or places[i] - places[s] > span:
                            break
                        if times[i] - times[e] > gap_time or times[i] - times[s] > span_time:
                            break
                        if times[i] - times[e] < least_time:
                            continue
                        if latest[i] < 0:
                            reached = longer(reached, some + 1)
                            reached[some] = i
                            some += 1
                            latest[i] = s
                        elif s > latest[i]:
                            latest[i] = s
                    if sets:
                        for j in range(e + 1, later[e]):
                            i = entries + j
                            if latest[i] < 0:
                                reached = longer(reached, some + 1)
                                reached[some] = i
                                some += 1
                                latest[i] = s
                            elif s > latest[i]:
                                latest[i] = s
                    k += 1
                began = longer(began, some)
                for m in range(first, some):
                    i = reached[m]
                    began[m] = latest[i]
                    latest[i] = -1
                    x = symbols[i] if i < entries else symbols[i - entries] + size
                    if ending[x] == 0:
                        met[several] = x
                        several += 1
                        last[x] = -1
                    ending[x] += 1
                    if last[x] != row:
                        last[x] = row
                        count[x] += 1
            frequent, total = 0, 0
            for m in range(several):
                x = met[m]
                if count[x] >= least:
                    met[frequent] = x
                    frequent += 1
                    total += ending[x]
                else:
                    count[x], ending[x] = 0, 0
            children = np.sort(met[:frequent])
            if found + frequent - kept > room or b + total > space or state[0] == STOPPED:
                return parents[:kept].copy(), codes[:kept].copy(), counts[:kept].copy(), number
            parents, codes = longer(parents, found + frequent), longer(codes, found + frequent)
            counts = longer(counts, found + frequent)
            for x in children:
                parents[found], codes[found], counts[found] = node, x, count[x]
                found += 1
            if depth + 1 < longest and frequent:
                stop, begin = longer(stop, b + total), longer(begin, b + total)
                if top + frequent > len(open_node):
                    open_node, open_depth = longer(open_node, top + frequent), longer(open_depth, top + frequent)
                    open_start, open_end = longer(open_start, top + frequent), longer(open_end, top + frequent)
                end = b
                for c in range(frequent):
                    x = children[c]
                    place[x] = end
                    open_node[top], open_depth[top] = found - frequent + c, depth + 1
                    open_start[top], open_end[top] = end, end + ending[x]
                    end += ending[x]
                    top += 1
                for m in range(some):
                    i = reached[m] if reached[m] < entries else reached[m] - entries
                    x = symbols[i] if i == reached[m] else symbols[i] + size
                    if count[x]:
                        stop[place[x]], begin[place[x]] = i, began[m]
                        place[x] += 1
            for x in children:
                count[x], ending[x] = 0, 0
        room -= found - kept
        if room < 0:
            return parents[:kept].copy(), codes[:kept].copy(), counts[:kept].copy(), number
    return parents[:found].copy(), codes[:found].copy(), counts[:found].copy(), len(roots)
