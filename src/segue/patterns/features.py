"""Histories as rows of features: where sequential patterns occur in them, how often and when, and plain counts.

A pattern occurs in a history as a subsequence: its symbols stand there in order, at later and later places, with
anything between. Which patterns are worth a column is left to ``selection``, and what to learn from them to
``classification``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from segue.data.histories import Histories
from segue.data.jit import kernel
from segue.errors import NoClock
from segue.patterns.mining import FOREVER
from segue.patterns.sequences import Sequences
from segue.patterns.spans import DAY

_CELLS = 4_000_000  # (rows x patterns) counted at once, 80 MB


@dataclass(frozen=True, eq=False)
class Patterns:
    """Patterns as flat arrays: number ``p`` is ``symbols[offsets[p]:offsets[p + 1]]``."""

    offsets: np.ndarray
    symbols: np.ndarray

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> Patterns:
        """From rows of codes."""
        listed = [tuple(row) for row in rows]
        offsets = np.cumsum([0, *(len(row) for row in listed)]).astype(np.int64)
        return cls(offsets, np.array([code for row in listed for code in row], dtype=np.int32))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def rows(self) -> list[tuple[int, ...]]:
        """The codes of each."""
        return [tuple(part.tolist()) for part in np.split(self.symbols, self.offsets[1:-1])] if len(self) else []

    def take(self, index: np.ndarray) -> Patterns:
        """Some of them, in the order given."""
        rows = self.rows()
        return Patterns.of(rows[number] for number in index)


@dataclass(frozen=True, eq=False)
class Features:
    """Columns with names.

    Attributes:
        matrix: (histories, columns) float64.
        names: such as ``"printer > ink: present"``.
        patterns: (columns,) the number of the pattern that a column is about, -1 where it is about none.
    """

    matrix: sparse.csr_array
    names: list[str]
    patterns: np.ndarray

    def beside(self, other: Features) -> Features:
        """The columns of both."""
        matrix = sparse.hstack([self.matrix, other.matrix], format="csr")
        return Features(matrix, self.names + other.names, np.concatenate([self.patterns, other.patterns]))


@kernel()
def _count(offsets, symbols, places, times, starts, codes, max_gap, max_span, first, seen, counts, gaps, lasts):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """Non-overlapping occurrences of each pattern, the one that ends earliest first, which finds the most.

    For every prefix of a pattern its matches are kept with their end and the latest moment they can have begun:
    exact also where a gap and a span are bounded together.
    """
    width, longest = 1, 1
    for pattern in range(starts.shape[0] - 1):
        width = max(width, starts[pattern + 1] - starts[pattern])
    for row in range(first, first + counts.shape[0]):
        longest = max(longest, offsets[row + 1] - offsets[row])
    ends, begins = np.empty((width, longest), np.int64), np.empty((width, longest), np.int64)
    spots, sizes = np.empty((width, longest), np.int32), np.zeros(width, np.int64)
    apart = np.empty(longest)
    for number in range(counts.shape[0]):
        low, high = offsets[first + number], offsets[first + number + 1]
        for entry in range(low, high):
            seen[symbols[entry]] = first + number
        for pattern in range(starts.shape[0] - 1):
            start, length = starts[pattern], starts[pattern + 1] - starts[pattern]
            possible = True
            for code in codes[start : start + length]:
                if seen[code] != first + number:
                    possible = False
            if not possible:
                continue
            sizes[:length] = 0
            found, after = 0, -1
            for entry in range(low, high):
                if places[entry] <= after:
                    continue
                now = times[entry]
                for level in range(length - 1, -1, -1):
                    if symbols[entry] != codes[start + level]:
                        continue
                    fits, begin = level == 0, now
                    if level > 0:
                        for before in range(sizes[level - 1] - 1, -1, -1):
                            if now - ends[level - 1, before] > max_gap:
                                break
                            if spots[level - 1, before] < places[entry]:
                                if not fits or begins[level - 1, before] > begin:
                                    fits, begin = True, begins[level - 1, before]
                                if max_gap == FOREVER:  # the newest has begun latest
                                    break
                    if not fits or now - begin > max_span:
                        continue
                    if level == length - 1:
                        apart[found] = (now - begin) / max(length - 1, 1)
                        found += 1
                        lasts[number, pattern] = now
                        after = places[entry]
                        sizes[:length] = 0
                        break
                    size = sizes[level]
                    ends[level, size], begins[level, size], spots[level, size] = now, begin, places[entry]
                    sizes[level] = size + 1
            counts[number, pattern] = found
            if found > 0:
                gaps[number, pattern] = np.median(apart[:found])


def occurrences(
    found: Sequences, patterns: Patterns, max_gap: int | None = None, max_span: int | None = None
) -> tuple[sparse.csr_array, sparse.csr_array, sparse.csr_array]:
    """How often, how spread and how late each pattern stands in each history.

    Args:
        max_gap: microseconds that neighbouring elements may be apart at most.
        max_span: microseconds that the first and the last element may be apart at most.

    Returns:
        Three (rows, patterns) matrices with the same cells: the number of non-overlapping occurrences; the median over
        them of the mean time between neighbouring elements; the moment of the last one's end. Times are days since
        1970, or places in the history where the log knows order alone.

    Raises:
        NoClock: a bound on a log without times.
    """
    if found.times is None and (max_gap is not None or max_span is not None):
        raise NoClock(what="A largest gap or span")
    times, unit = (found.places.astype(np.int64), 1) if found.times is None else (found.times, DAY)
    seen = np.full(found.size, -1, dtype=np.int64)
    far = (FOREVER if max_gap is None else max_gap, FOREVER if max_span is None else max_span)
    parts: list[list[sparse.csr_array]] = [[], [], []]
    step = max(1, _CELLS // max(len(patterns), 1))
    for first in range(0, max(len(found), 1), step):
        shape: tuple[int, int] = (min(step, len(found) - first), len(patterns))
        counts, gaps, lasts = np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape)
        history = (found.offsets, found.symbols, found.places, times)
        _count(*history, patterns.offsets, patterns.symbols, *far, first, seen, counts, gaps, lasts)
        rows, columns = np.nonzero(counts)
        blocks: list[np.ndarray] = [counts, gaps / unit, lasts / unit]
        for kept, block in zip(parts, blocks, strict=True):
            kept.append(sparse.csr_array((block[rows, columns].astype(np.float64), (rows, columns)), shape=shape))
    count, gap, last = (sparse.vstack(each, format="csr") for each in parts)
    return count, gap, last


def pattern_features(
    found: Sequences,
    patterns: Patterns,
    at: int | np.ndarray | None = None,
    *,
    moments: bool = True,
    counted: np.ndarray | None = None,
    max_gap: int | None = None,
    max_span: int | None = None,
) -> Features:
    """What patterns say of each history.

    Columns: ``present`` (0 or 1), ``count`` (non-overlapping occurrences) and, with ``moments``, ``gap`` (median days
    between the elements, of patterns of two or more) and ``since`` (days since the last occurrence ended). Without a
    clock both are in events. A pattern that is absent has zeros in all of them: ``present`` tells which.

    Args:
        at: microseconds; the moment of asking, one for all or one for each row. None: the end of each history.
        counted: (patterns,) which have a column ``count``; all by default.

    Raises:
        NoClock: see :func:`occurrences`.
    """
    count, gap, last = occurrences(found, patterns, max_gap, max_span)
    kinds = [(count > 0).astype(np.float64), count]
    words = ["present", "count"]
    if moments:
        rows = np.repeat(np.arange(len(found)), np.diff(last.indptr))
        since = sparse.csr_array((_asked(found, at)[rows] - last.data, last.indices, last.indptr), shape=last.shape)
        kinds += [gap, since]
        words += ["gap", "since"]
    names = [pattern_name(found.labels.gather(list(row)).to_list()) for row in patterns.rows()]
    every = np.ones(len(patterns), dtype=bool)
    some = {"gap": np.diff(patterns.offsets) > 1, "count": every if counted is None else counted}
    picked = [np.flatnonzero(some.get(word, every)) for word in words]
    matrix = sparse.hstack([kind.tocsc()[:, which] for kind, which in zip(kinds, picked, strict=True)], format="csr")
    told = [f"{names[number]}: {word}" for word, which in zip(words, picked, strict=True) for number in which]
    return Features(matrix, told, np.concatenate(picked))


def plain_features(
    histories: Histories,
    clocked: bool,
    at: int | np.ndarray | None = None,
    *,
    actions: Sequence[str] = (),
    categories: Sequences | None = None,
    moments: bool = True,
) -> Features:
    """What can be said of a history without patterns.

    Columns: ``length``, ``distinct items``, ``mean gap`` and ``since the last event`` (days; with ``moments`` and a
    clock), ``NAME: events`` of each kind of action, and ``NAME: share`` of the entries of each category.

    Args:
        clocked: whether the timestamps are microseconds, and not an order.
        at: microseconds; the moment of asking. None: the end of each history.
        actions: names by the codes that ``histories.actions`` has, from 1.
        categories: the same rows over categories; every label has a column.
    """
    lengths, rows = histories.lengths.astype(np.float64), histories.rows()
    columns = {"length": lengths, "distinct items": _distinct(histories).astype(np.float64)}
    if moments and clocked and histories.timestamps is not None:
        ends = _ends(histories.offsets, histories.timestamps / DAY, last=True)
        begins = _ends(histories.offsets, histories.timestamps / DAY, last=False)
        asked = ends if at is None else np.broadcast_to(np.asarray(at) / DAY, ends.shape)
        columns["mean gap"] = (ends - begins) / np.maximum(lengths - 1, 1)
        columns["since the last event"] = np.where(lengths > 0, asked - ends, 0.0)
    for code, name in enumerate(actions, start=1):
        if histories.actions is not None:
            done = np.bincount(rows[histories.actions == code], minlength=len(histories)).astype(np.float64)
        else:
            done = np.zeros(len(histories))
        columns[f"{name}: events"] = done
    made = Features(sparse.csr_array(np.stack(list(columns.values()), axis=1)), list(columns), _none(len(columns)))
    return made if categories is None else made.beside(_shares(categories))


def bag(found: Sequences) -> sparse.csr_array:
    """(rows, symbols + 1) how often each symbol stands in each history, whatever the order."""
    shape = (len(found), found.size)
    return sparse.csr_array((np.ones(len(found.symbols)), (found.rows(), found.symbols)), shape=shape)


def relabelled(found: Sequences, labels: pl.Series) -> Sequences:
    """The same histories in other codes: those of ``labels``, whose entry 0 is none; what is not among them goes.

    Ids are compared as text, so that 7 and "7" are one.
    """
    codes = {label_key(label): code for code, label in enumerate(labels.to_list()) if code}
    table = np.array([codes.get(label_key(label), 0) for label in found.labels.to_list()], dtype=np.int32)
    table[0] = 0
    symbols = table[found.symbols]
    return replace(found, symbols=symbols, labels=labels).keep(symbols > 0)


def label_key(label: Any) -> Any:
    """A label as it is compared: text, or a pair of texts where action and item together are a symbol."""
    return tuple(str(part) for part in label.values()) if isinstance(label, dict) else str(label)


def pattern_name(labels: Iterable[Any]) -> str:
    """``"printer > ink"``, or ``"view printer > purchase ink"``."""
    keys = [label_key(label) for label in labels]
    return " > ".join(key if isinstance(key, str) else " ".join(key) for key in keys)


def _asked(found: Sequences, at: int | np.ndarray | None) -> np.ndarray:
    """(rows,) the moment of asking in days, or the place of the last event where the log knows order alone."""
    if found.times is None:
        return _ends(found.offsets, found.places.astype(np.float64), last=True)
    if at is None:
        return _ends(found.offsets, found.times / DAY, last=True)
    return np.broadcast_to(np.asarray(at, dtype=np.float64) / DAY, (len(found),))


def _ends(offsets: np.ndarray, values: np.ndarray, last: bool) -> np.ndarray:
    """The first or the last value of each row; 0 where it is empty."""
    index = offsets[1:] - 1 if last else offsets[:-1]
    filled = np.concatenate([values, [0.0]])
    return np.where(np.diff(offsets) > 0, filled[np.clip(index, 0, len(values))], 0.0)


def _distinct(histories: Histories) -> np.ndarray:
    width = int(histories.items.max(initial=0)) + 1
    pairs = np.unique(histories.rows() * width + histories.items)
    return np.bincount(pairs // width, minlength=len(histories))


def _shares(categories: Sequences) -> Features:
    counts = bag(categories)[:, 1:].tocsr()
    share = sparse.diags_array(1 / np.maximum(counts.sum(1), 1)) @ counts
    names = [f"{label}: share" for label in categories.labels.to_list()[1:]]
    return Features(sparse.csr_array(share), names, _none(len(names)))


def _none(columns: int) -> np.ndarray:
    return np.full(columns, -1)
