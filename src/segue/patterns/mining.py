"""Frequent sequential patterns: from sequences and bounds to a tree of patterns, over all cores.

The search is split by the first symbol of a pattern; threads take the parts one after the other and run the kernels of
``growth``. What a user may ask for, and the frame that comes back, are ``mine``'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from segue.data.jit import kernel
from segue.patterns.growth import STOPPED, grow, grow_bounded, links, rows_ended, supports
from segue.patterns.sequences import Sequences

FOREVER = np.iinfo(np.int64).max // 4
_WORK = 200_000  # entries of the log that one task reads, about
_PATTERN, _PROJECTED = 48, 16  # bytes of a pattern, while parts are put together, and of an entry of a projection
_PATIENCE = 0.25  # seconds for each of them
_NONE = np.zeros(0, np.int64)
_LAYERS, _PROBED = 8, 20_000  # of an estimate: first symbols that are asked, and patterns of each at most
_TICK = 0.1  # seconds between two looks at what has been found


@dataclass(frozen=True)
class Bounds:
    """How far the symbols of a pattern may lie from each other; None is no bound.

    Attributes:
        gap, span: places from one symbol to the next, and from the first to the last.
        gap_time, span_time: the same in microseconds.
        least_time: microseconds from one symbol to the next, at least.
    """

    gap: int | None = None
    span: int | None = None
    gap_time: int | None = None
    span_time: int | None = None
    least_time: int | None = None

    @property
    def any(self) -> bool:
        """Whether anything is bounded."""
        return any(bound is not None for bound in vars(self).values())

    @property
    def on_time(self) -> bool:
        """Whether moments are needed."""
        return any(bound is not None for bound in (self.gap_time, self.span_time, self.least_time))

    @property
    def array(self) -> np.ndarray:
        """For the kernel."""
        most = [self.gap, self.span, self.gap_time, self.span_time]
        least = 0 if self.least_time is None else self.least_time
        return np.array([*(FOREVER if bound is None else bound for bound in most), least], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class PatternTree:
    """Patterns as a tree of prefixes: every prefix of a pattern is a pattern, and stands before it.

    Attributes:
        parents: (patterns,) index of the pattern without its last symbol, -1 where it has one symbol alone.
        codes: (patterns,) the last symbol.
        supports: (patterns,) rows that hold the pattern.
        users: rows that hold anything.
        complete: whether nothing was cut off.
        stopped: whether the user asked to stop.
        roots, done: first symbols there are, and those whose patterns are all here.
        joined: (patterns,) whether the last symbol stands in one element with the one before it; None: nowhere.
    """

    parents: np.ndarray
    codes: np.ndarray
    supports: np.ndarray
    users: int
    complete: bool = True
    stopped: bool = False
    roots: int = 0
    done: int = 0
    joined: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.parents)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(patterns,) symbols of each."""
        lengths: np.ndarray = _lengths(self.parents)
        return lengths

    def flat(self, chosen: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and symbols of some patterns, or of all."""
        chosen = np.arange(len(self)) if chosen is None else chosen
        offsets = np.concatenate([[0], np.cumsum(self.lengths[chosen])])
        return offsets, _spelt(self.parents, self.codes, chosen, offsets)

    def elements(self, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Offsets of some patterns in their elements, and of these in the symbols of :meth:`flat`."""
        offsets, _ = self.flat(chosen)
        joined = np.zeros(len(self), dtype=np.int64) if self.joined is None else self.joined.astype(np.int64)
        begins = _spelt(self.parents, joined, chosen, offsets) == 0
        starts = np.append(np.flatnonzero(begins), offsets[-1])
        return np.concatenate([[0], np.cumsum(begins)])[offsets], starts

    def order(self, chosen: np.ndarray) -> np.ndarray:
        """Some patterns with the most frequent first; of equals the shorter, then by the codes of their symbols."""
        offsets, symbols = self.flat(chosen)
        lengths = np.diff(offsets)
        width = int(lengths.max()) if len(lengths) else 0
        keys = np.zeros((width, len(chosen)), dtype=np.int32)
        for place in range(width):
            there = lengths > place
            keys[place, there] = symbols[offsets[:-1][there] + place]
        return np.asarray(chosen[np.lexsort((*keys[::-1], lengths, -self.supports[chosen]))])


def frequent(
    made: Sequences,
    least: int,
    longest: int,
    bounds: Bounds | None = None,
    *,
    limit: int | None = None,
    memory: float = 2_000,
    threads: int | None = None,
    tell: Callable[[float, int], None] | None = None,
) -> PatternTree:
    """All patterns of up to ``longest`` symbols that at least ``least`` rows hold; support is counted once per row.

    Args:
        limit: patterns to find before giving up; what is complete by then is returned.
        memory: megabytes that patterns and projections may take before giving up; the log itself comes on top.
        threads: None: all cores, or ``$OMP_NUM_THREADS``.
        tell: called with the share of the work done since the last call, and with the patterns found in all.

    ``KeyboardInterrupt`` ends the search, and returns what is complete: the patterns of finished first symbols.
    """
    search, names = _prepared(made, least, longest, bounds)
    room = int(min(FOREVER if limit is None else limit, memory * 5e5 / _PATTERN))
    workers = threads or int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
    search.space = int(memory * 5e5 / _PROJECTED / workers)
    found, stopped = _searched(search, room, workers, tell)
    found = [part for part in found if part is not None]
    sizes = np.concatenate([[0], np.cumsum([len(part[0]) for part in found])]).astype(np.int64)
    parents = np.concatenate([np.where(p < 0, -1, p + sizes[n]) for n, (p, _, _, _) in enumerate(found)] or [_NONE])
    codes = np.concatenate([part[1] for part in found] or [_NONE]).astype(np.int64)
    counts = np.concatenate([part[2] for part in found] or [_NONE]).astype(np.int64)
    done = sum(part[3] for part in found)
    names = np.concatenate([[0], names]).astype(np.int32)
    joined = codes >= len(names) if made.sets else None
    codes = codes % len(names) if made.sets else codes
    users = made.users
    complete = done == len(names) - 1
    state = (users, complete, stopped, len(names) - 1, done)
    return PatternTree(parents.astype(np.int64), names[codes], counts, *state, joined)


def expected(made: Sequences, least: int, longest: int, bounds: Bounds | None = None) -> tuple[int, bool]:
    """About how many patterns there are, from a few first symbols; and whether there may be many more.

    First symbols are put in order of what follows them, cut into layers, and one of each layer is asked, up to 20,000
    patterns or a quarter of a second (stratified sampling; an estimate of whether a search explodes, not of its exact
    size).
    """
    search, _ = _prepared(made, least, longest, bounds)
    roots = np.concatenate(search.tasks() or [np.zeros(0, np.int32)])
    total, more = 0, False
    # In a thread, so that time and Ctrl-C can end it: a kernel hears neither.
    with ThreadPoolExecutor(1) as pool:
        for layer in np.array_split(roots, min(_LAYERS, len(roots)) or 1) if len(roots) else []:
            asked = pool.submit(search.run, layer[len(layer) // 2 : len(layer) // 2 + 1], _PROBED)
            try:
                quick = wait([asked], timeout=_PATIENCE).done
            finally:
                search.state[0] = STOPPED
            parents, _, _, done = asked.result()
            search.state[0] = 0
            if quick:  # of what was stopped nothing is known but that it takes long
                total += (len(parents) if done else _PROBED) * len(layer)
                more |= not done
    return total, more


def _prepared(made: Sequences, least: int, longest: int, bounds: Bounds | None) -> tuple[_Search, np.ndarray]:
    """What threads read, with the frequent symbols alone, and which those are: its code 1 is the first of them."""
    held = supports(made.offsets, made.symbols, made.size)
    names = np.flatnonzero(held >= max(least, 1)).astype(np.int32)
    short = np.zeros(made.size, dtype=np.int32)
    short[names] = np.arange(1, len(names) + 1)
    some = made.keep(short[made.symbols] > 0)
    some = replace(some, symbols=short[some.symbols])
    return _Search(some, len(names) + 1, least, longest, bounds or Bounds()), names


class _Search:
    """What all threads read."""

    def __init__(self, made: Sequences, size: int, least: int, longest: int, bounds: Bounds) -> None:
        self.made, self.size, self.least, self.longest, self.bounds = made, size, least, longest, bounds
        symbols, offsets = made.symbols, made.offsets
        self.state = np.zeros(1, dtype=np.int64)
        self.space = FOREVER
        self.follow = np.repeat(offsets[1:], np.diff(offsets)) - np.arange(len(symbols))  # entries from here on
        self.bounded = bounds.any or made.sets
        if self.bounded:
            self.later, self.ends, _ = links(offsets, symbols, made.places, size)
            self.rows = made.rows().astype(np.int32)
            self.times = np.zeros(len(symbols), np.int64) if made.times is None else made.times
            self.firsts = np.argsort(symbols, kind="stable").astype(np.int32)
            self.starts = np.concatenate([[0], np.cumsum(np.bincount(symbols, minlength=size))])
        else:
            found = rows_ended(offsets, symbols, made.places, size)
            self.word, self.place, self.before, self.starts, self.firsts = found
            same = (made.places[1:] == made.places[:-1]) & (made.rows()[1:] == made.rows()[:-1])
            self.shared = bool(same.any())

    def tasks(self) -> list[np.ndarray]:
        """Groups of first symbols with about as much to read, the largest first."""
        if self.size < 2:
            return []
        follow = np.bincount(self.made.symbols, weights=self.follow, minlength=self.size)[1:]
        order = np.argsort(-follow, kind="stable").astype(np.int32)
        group = np.cumsum(follow[order]) // _WORK
        return np.split(order + 1, np.flatnonzero(np.diff(group)) + 1)

    def run(self, roots: np.ndarray, room: int) -> Any:
        """One task; see the kernels."""
        roots = roots.astype(np.int32)
        symbols, common = self.made.symbols, (self.starts, self.firsts, roots, self.least, self.longest)
        if not self.bounded:
            return grow(self.word, self.place, self.before, self.shared, *common, room, self.space, self.state)
        where = (self.rows, self.later, self.ends, self.made.places, self.times)
        return grow_bounded(symbols, *where, *common, self.bounds.array, self.made.sets, room, self.space, self.state)


def _searched(
    search: _Search, limit: int, workers: int, tell: Callable[[float, int], None] | None
) -> tuple[list[Any], bool]:
    """What each task found, in the order of the tasks; and whether the user stopped it."""
    tasks = search.tasks()
    results: list[Any] = [None] * len(tasks)
    waiting = list(enumerate(tasks))[::-1]
    running: dict[Future[Any], int] = {}
    total, stopped = 0, False
    pool = ThreadPoolExecutor(workers)
    try:
        while waiting or running:
            while waiting and len(running) < workers and total <= limit:
                number, roots = waiting.pop()
                running[pool.submit(search.run, roots, limit - total)] = number
            done, _ = wait(running, timeout=_TICK, return_when=FIRST_COMPLETED)
            for future in done:
                number = running.pop(future)
                results[number] = future.result()
                total += len(results[number][0])
                if results[number][3] < len(tasks[number]):
                    total = max(total, limit + 1)
                if tell is not None:
                    tell(1 / len(tasks), min(total, limit))
            if total > limit:
                search.state[0] = STOPPED
                waiting.clear()
    except KeyboardInterrupt:
        stopped = True
        search.state[0] = STOPPED
        for future in running:
            results[running[future]] = future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return results, stopped


@kernel()
def _lengths(parents):  # type: ignore[no-untyped-def]
    lengths = np.ones(len(parents), np.int32)
    for node in range(len(parents)):
        if parents[node] >= 0:
            lengths[node] = lengths[parents[node]] + 1
    return lengths


@kernel()
def _spelt(parents, codes, chosen, offsets):  # type: ignore[no-untyped-def]
    symbols = np.empty(offsets[-1], np.int32)
    for number in range(len(chosen)):
        node = chosen[number]
        place = offsets[number + 1]
        while node >= 0:
            place -= 1
            symbols[place] = codes[node]
            node = parents[node]
    return symbols
