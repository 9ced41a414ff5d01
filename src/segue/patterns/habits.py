"""Habits: what people took within a few events of a context, such as Z after X then Y, counted once per user.

A context is one item or several in order, with others between them where they lie within a window. Counting goes level
by level: what followed a context often enough is a longer context of the next level. Which habits of a history speak
for what comes next, and how loudly, is left to ``recommenders.patterns``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
from scipy import sparse

from segue.data.histories import Histories
from segue.data.jit import FEW_ROWS, interpreted, kernel

ENTRIES = 8_000_000  # occurrences that are counted at a time (about 200 MB)
Walk = Callable[..., Any]
_LEARNT = ("keys", "of", "offsets", "items", "support", "weights", "days")


@dataclass(frozen=True, eq=False)
class Habits:
    """Contexts, each with what followed it. The first ``size`` contexts are the single items, by their code.

    Attributes:
        size: items and the padding, code 0.
        keys: (contexts - size,) int64, ascending: ``shorter context * size + item`` of each longer one.
        of: (contexts,) int32 users with the context.
        offsets: (contexts + 1,) int64 into the four that follow.
        items: (habits,) int32 what followed, ascending within a context.
        support: (habits,) int32 users whom it followed.
        weights: (habits,) float32 the same, each user counted by how near the events were.
        days: (habits,) float32 the median time from the context's end; NaN where the log knows order alone.
    """

    size: int
    keys: np.ndarray
    of: np.ndarray
    offsets: np.ndarray
    items: np.ndarray
    support: np.ndarray
    weights: np.ndarray
    days: np.ndarray

    @cached_property
    def children(self) -> np.ndarray:
        """(contexts + 1,) int64 where the longer contexts of each context stand among the keys."""
        return np.searchsorted(self.keys, np.arange(len(self.of) + 1) * self.size)

    def contexts(self) -> np.ndarray:
        """The context of every habit."""
        return np.repeat(np.arange(len(self.of)), np.diff(self.offsets))

    def codes(self, context: int) -> list[int]:
        """The items of a context, oldest first."""
        found: list[int] = []
        while context >= self.size:
            context, item = divmod(int(self.keys[context - self.size]), self.size)
            found.append(item)
        return [context, *reversed(found)]

    def matrix(self, values: np.ndarray) -> sparse.csr_matrix:
        """(contexts, size) with one value for each habit."""
        return sparse.csr_matrix((values, self.items, self.offsets), shape=(len(self.of), self.size))

    def larger(self, size: int) -> Habits:
        """With room for items that nothing is known of."""
        more = size - self.size
        shorter, item = np.divmod(self.keys, self.size)
        of = np.insert(self.of, self.size, np.zeros(more, dtype=self.of.dtype))
        offsets = np.insert(self.offsets, self.size, np.full(more, self.offsets[self.size]))
        keys = (shorter + more * (shorter >= self.size)) * size + item
        return replace(self, size=size, keys=keys, of=of, offsets=offsets)

    def arrays(self) -> dict[str, np.ndarray]:
        """For an artefact."""
        return {name: getattr(self, name) for name in _LEARNT}

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray], size: int) -> Habits:
        """What :meth:`arrays` gave; raises ``ValueError`` where it does not fit together."""
        made = cls(size, *(arrays[name] for name in _LEARNT))
        same = {len(made.items), len(made.support), len(made.weights), len(made.days), int(made.offsets[-1])}
        shape = len(made.of) == size + len(made.keys) == len(made.offsets) - 1
        bounds = made.items.min(initial=0) >= 0 and made.items.max(initial=0) < size
        if len(same) > 1 or not shape or not bounds or (np.diff(made.offsets) < 0).any():
            raise ValueError("its habits do not fit its items")
        return made


@dataclass(frozen=True, eq=False)
class Matches:
    """Contexts found in the newest events of histories; one entry for each place where one stands.

    Attributes:
        rows, contexts: the number of the history and of the context.
        back: how many events before the newest its last event is.
        nearness: of its events to each other, as in ``Habits.weights``; 1 for one item.
        count: of histories.
    """

    rows: np.ndarray
    contexts: np.ndarray
    back: np.ndarray
    nearness: np.ndarray
    count: int

    def matrix(self, decay: float, contexts: int) -> sparse.csr_matrix:
        """(histories, contexts) how loudly each context speaks: ``nearness * decay ** back``, summed."""
        weights = (self.nearness * decay**self.back).astype(np.float32)
        return sparse.csr_matrix((weights, (self.rows, self.contexts)), shape=(self.count, contexts))


def count_habits(
    histories: Histories,
    size: int,
    *,
    max_length: int = 3,
    window: int = 10,
    spread: float = 1.0,
    followers: int = 500,
    min_support: int = 2,
    backward: bool = False,
    timed: bool = True,
) -> Habits:
    """Count what followed each context of up to ``max_length - 1`` items, within ``window`` events of its first.

    Of a user's several occurrences the nearest counts: with ``steps ** -spread`` for each of its steps. Memory holds
    ``followers`` habits for each context (the weightiest) and, while counting, some eight million occurrences and all
    contexts of one level.

    Args:
        histories: one row per user.
        size: items and the padding.
        min_support: users that a context of several items needs.
        backward: count what came before an item instead; single items alone have that.
        timed: whether timestamps are microseconds.
    """
    size = int(size)
    pairs = np.unique(histories.rows() * size + histories.items)
    of = [np.bincount(pairs % size, minlength=size).astype(np.int32)]
    keys = np.zeros(0, dtype=np.int64)
    levels: list[list[np.ndarray]] = []
    times = histories.timestamps if timed and histories.timestamps is not None else np.zeros(0, dtype=np.int64)
    fading = np.concatenate([[1.0], np.arange(1.0, window + 1) ** -spread]).astype(np.float32)
    first = 0  # context of this level
    for level in range(1, 2 if backward else max_length):
        children = np.searchsorted(keys, np.arange(size + len(keys) + 1) * size)
        log = (histories.offsets, histories.items, times, children, keys, size, level, fading, backward)
        walk: Walk = partial(_occurrences, *log)
        last = size + len(keys)
        found, counts, longer = [], [], []
        for low, high in _parts(walk, size):
            part, support = _counted(walk, low, high, size)
            longer.append(part[0][support >= min_support])
            counts.append(support[support >= min_support])
            found.append(_weightiest(part, followers, size))
        entries = [np.concatenate(columns) for columns in zip(*found, strict=True)]
        entries[0] = np.bincount(entries[0] // size - first, minlength=last - first)
        levels.append([entries[0], (np.concatenate([part[0] for part in found]) % size).astype(np.int32), *entries[1:]])
        first = last
        if level + 1 < max_length and not backward:
            keys = np.concatenate([keys, *longer])
            of.append(np.concatenate(counts))
    lengths, items, support, weights, days = (np.concatenate(columns) for columns in zip(*levels, strict=True))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Habits(size, keys, np.concatenate(of), offsets, items, support, weights, days)


def match(habits: Habits, histories: Histories, last: int, window: int, spread: float) -> Matches:
    """The contexts that stand in the newest ``last`` events of each history, near as in :func:`count_habits`."""
    fading = np.concatenate([[1.0], np.arange(1.0, window + 1) ** -spread]).astype(np.float32)
    log = (histories.offsets, histories.items, habits.children, habits.keys, habits.size, fading, last)
    nothing = np.zeros(0, dtype=np.int64)
    walk = interpreted(_match) if len(histories) <= FEW_ROWS else _match
    count = walk(*log, nothing, nothing, nothing, np.zeros(0, dtype=np.float32))
    rows, contexts, back = (np.empty(count, dtype=np.int64) for _ in range(3))
    nearness = np.empty(count, dtype=np.float32)
    walk(*log, rows, contexts, back, nearness)
    return Matches(rows, contexts, back, nearness, len(histories))


def _parts(walk: Walk, size: int) -> list[tuple[int, int]]:
    """Ranges of first items with about ``ENTRIES`` occurrences each."""
    counts = np.zeros(size, dtype=np.int64)
    nothing = np.zeros(0, dtype=np.int64)
    walk(0, size, counts, nothing, nothing, np.zeros(0, np.float32), np.zeros(0, np.float32))
    part = np.concatenate([[0], np.cumsum(counts)[:-1]]) // ENTRIES
    cuts = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), size]
    return list(pairwise(cuts))


def _counted(walk: Walk, low: int, high: int, size: int) -> tuple[list[np.ndarray], np.ndarray]:
    """Keys (context * size + follower, ascending), support, weights and days of one part, and the support again."""
    counts = np.zeros(size, dtype=np.int64)
    nothing, none = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
    walk(low, high, counts, nothing, nothing, none, none)
    total = int(counts.sum())
    keys, users = np.empty(total, dtype=np.int64), np.empty(total, dtype=np.int64)
    nearness, days = np.empty(total, dtype=np.float32), np.empty(total, dtype=np.float32)
    walk(low, high, counts, keys, users, nearness, days)
    order = np.argsort(keys, kind="stable")  # users stay in order within a key
    keys = keys[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    support, weights, medians = _folded(np.append(starts, total), users[order], nearness[order], days[order])
    return [keys[starts], support, weights, medians], support


def _weightiest(part: list[np.ndarray], followers: int, size: int) -> list[np.ndarray]:
    """At most so many of each context."""
    contexts = part[0] // size
    order = np.lexsort((-part[2], contexts))
    rank = np.arange(len(order)) - np.searchsorted(contexts, contexts)
    kept = np.sort(order[rank < followers])
    return [column[kept] for column in part]


@kernel()
def _child(keys, low, high, key):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Where a key stands in an ascending range of keys; -1 where it does not."""
    end = high
    while low < high:
        middle = (low + high) >> 1
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    return low if low < end and keys[low] == key else -1


@kernel()
def _occurrences(  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    offsets, items, times, children, keys, size, level, fading, backward, low, high, counts, out, users, nearness, days
):
    """Every follower of every context of ``level`` items that begins with an item from ``low`` to below ``high``.

    Contexts are walked item by item. Where ``out`` is empty they are only counted, by their first item.
    """
    window = len(fading) - 1
    context = np.empty(level, dtype=np.int64)
    ends, nexts = np.empty(level, dtype=np.int64), np.empty(level, dtype=np.int64)
    near = np.empty(level, dtype=np.float32)
    place = 0
    for user in range(len(offsets) - 1):
        for start in range(offsets[user], offsets[user + 1]):
            if items[start] < low or items[start] >= high:
                continue
            stop = min(offsets[user + 1], start + window + 1)
            context[0], ends[0], nexts[0], near[0] = items[start], start, start + 1, 1.0
            depth = 0
            while depth >= 0:
                if depth == level - 1:
                    end = ends[depth]
                    here, there = end + 1, stop
                    if backward:
                        here, there = max(offsets[user], start - window), start
                    if len(out) == 0:
                        counts[items[start]] += max(there - here, 0)
                    else:
                        for other in range(here, there):
                            out[place] = context[depth] * size + items[other]
                            users[place] = user
                            nearness[place] = near[depth] * fading[abs(other - end)]
                            days[place] = abs(times[other] - times[end]) / 86_400e6 if len(times) else np.nan
                            place += 1
                    depth -= 1
                elif nexts[depth] >= stop:
                    depth -= 1
                else:
                    other = nexts[depth]
                    nexts[depth] += 1
                    row = context[depth]
                    child = _child(keys, children[row], children[row + 1], row * size + items[other])
                    if child >= 0:
                        near[depth + 1] = near[depth] * fading[other - ends[depth]]
                        depth += 1
                        context[depth], ends[depth], nexts[depth] = size + child, other, other + 1


@kernel()
def _folded(starts, users, nearness, days):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Users, the sum of their nearest occurrences, and the median time of those, for each run of one key."""
    count = len(starts) - 1
    support = np.zeros(count, dtype=np.int32)
    weights = np.zeros(count, dtype=np.float32)
    medians = np.zeros(count, dtype=np.float32)
    for number in range(count):
        first, last = starts[number], starts[number + 1]
        held = np.empty(last - first, dtype=np.float32)
        found = 0
        best = np.float32(0)
        for place in range(first, last):
            if place == first or users[place] != users[place - 1]:
                weights[number] += best
                best = nearness[place]
                held[found] = days[place]
                found += 1
            elif nearness[place] > best:
                best = nearness[place]
                held[found - 1] = days[place]
        weights[number] += best
        support[number] = found
        ordered = np.sort(held[:found])
        medians[number] = (ordered[(found - 1) // 2] + ordered[found // 2]) / 2
    return support, weights, medians


@kernel()
def _match(offsets, items, children, keys, size, fading, last, rows, contexts, back, nearness):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Walk the contexts of the newest events; where ``rows`` is empty they are only counted."""
    window = len(fading) - 1
    context, ends, nexts = (np.empty(last, dtype=np.int64), np.empty(last, dtype=np.int64), np.empty(last, np.int64))
    near = np.empty(last, dtype=np.float32)
    place = 0
    for row in range(len(offsets) - 1):
        newest = offsets[row + 1] - 1
        for start in range(max(offsets[row], newest + 1 - last), newest + 1):
            stop = min(newest + 1, start + window)  # what is to come needs a place within the window too
            context[0], ends[0], nexts[0], near[0] = items[start], start, start + 1, 1.0
            depth, entered = 0, True
            while depth >= 0:
                if entered:
                    if len(rows):
                        rows[place], contexts[place] = row, context[depth]
                        back[place], nearness[place] = newest - ends[depth], near[depth]
                    place += 1
                    entered = False
                if nexts[depth] >= stop:
                    depth -= 1
                    continue
                other = nexts[depth]
                nexts[depth] += 1
                above = context[depth]
                child = _child(keys, children[above], children[above + 1], above * size + items[other])
                if child >= 0:
                    near[depth + 1] = near[depth] * fading[other - ends[depth]]
                    depth += 1
                    context[depth], ends[depth], nexts[depth] = size + child, other, other + 1
                    entered = True
    return place
