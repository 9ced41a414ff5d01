"""Frequent itemsets, exactly: which items stand in how many baskets together.

The counting is compiled (``itemset_kernels``); this module numbers the items, shares the work among threads and holds
what was found so that the support of a part of any itemset can be looked up. What a basket is, and what is made of the
itemsets, is left to ``rules``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from segue import progress
from segue.data.jit import n_threads
from segue.errors import TooManyItemsets
from segue.patterns.itemset_kernels import ascending, below, transposed

MOST = 20_000_000
"""More itemsets than this are no answer to anything."""
_PIECES = 64  # of the work, so that threads end together and a bar moves


@dataclass(frozen=True, eq=False)
class Itemsets:
    """Frequent itemsets by length.

    Attributes:
        symbols: (items,) the codes of the frequent items, by their number: the rarest is number 0.
        rows: for each length k from 1 an (itemsets, k) array of numbers, ascending within a row and between rows.
        counts: for each length the supports, int64.
        keys: for each length one ascending number per row: where its first k - 1 items stand among the rows one item
            shorter, times the number of items, plus its last item.
    """

    symbols: np.ndarray
    rows: list[np.ndarray]
    counts: list[np.ndarray]
    keys: list[np.ndarray]

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Where each row (ascending numbers, all of one length) stands among the itemsets of its length, or -1."""
        place = rows[:, 0].astype(np.int64)
        for length in range(2, rows.shape[1] + 1):
            known = self.keys[length - 1]
            keys = place * len(self.symbols) + rows[:, length - 1]
            at = np.minimum(np.searchsorted(known, keys), max(len(known) - 1, 0))
            place = np.where((place >= 0) & (known[at] == keys), at, -1) if len(known) else np.full(len(rows), -1)
        return np.asarray(place)

    def support(self, rows: np.ndarray) -> np.ndarray:
        """The support of each row; all must be frequent."""
        return np.asarray(self.counts[rows.shape[1] - 1][self.find(rows)])


def frequent_itemsets(
    baskets: np.ndarray, symbols: np.ndarray, count: int, minimum: int, longest: int, show: bool = True
) -> Itemsets:
    """All itemsets of up to ``longest`` items that stand in ``minimum`` baskets or more.

    Eclat with occurrence deliver (Zaki, IEEE TKDE 2000; Uno, Kiyomi and Arimura, FIMI 2004), exact. Held are two
    copies of the entries whose items are frequent (4 bytes each), for each thread the baskets of one item and those
    below it (a fraction of a copy, at most one per further item of the longest itemset), and the itemsets found
    (4 bytes for each of ``longest`` items and 4 for the count).

    Args:
        baskets, symbols: (entries,) the basket of each entry, from 0 and never falling, and its code from 1; a code
            that is in a basket twice counts once.
        count: of baskets.

    Raises:
        TooManyItemsets: there are more than 20 million.
    """
    offsets = np.zeros(count + 1, dtype=np.int64)
    np.cumsum(np.bincount(baskets, minlength=count), out=offsets[1:])
    starts, _ = transposed(offsets, symbols, int(symbols.max(initial=0)) + 1)
    often = np.diff(starts)
    frequent = np.flatnonzero(often >= minimum)
    frequent = frequent[np.argsort(often[frequent], kind="stable")]
    number = np.full(len(often), -1, dtype=np.int32)
    number[frequent] = np.arange(len(frequent))
    starts, lists = transposed(offsets, number[symbols], len(frequent))
    offsets, items = ascending(starts, lists, count)
    owners = np.arange(count, dtype=np.int32)
    names = np.arange(len(frequent), dtype=np.int32)

    def mine(first: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        rows, counts = np.full((1_024, longest), -1, dtype=np.int32), np.empty(1_024, dtype=np.int32)
        database = (offsets, items, starts, lists, owners, True, names)
        rows, counts, used = below(*database, first, end, longest, minimum, MOST, rows, counts, 0)
        return rows[:used].copy(), counts[:used].copy()

    work = np.diff(starts) if longest > 1 else starts[:0]
    found = gathered(in_pieces(mine, work, "Counting itemsets", show), longest)
    return by_length(frequent, np.diff(starts), *found, longest)


Piece = tuple[np.ndarray, np.ndarray]
"""Rows and their counts."""


def in_pieces(mine: Callable[[int, int], Piece], work: np.ndarray, title: str, show: bool) -> Iterator[Piece]:
    """``mine(first, end)`` over ranges of about equal work, by as many threads as Numba would take, in order."""
    done = np.concatenate([[0], np.cumsum(work + 1)])
    ends = np.unique(np.searchsorted(done, np.linspace(0, done[-1], min(_PIECES, len(work)) + 1)))
    with ThreadPoolExecutor(n_threads()) as pool:
        jobs = pool.map(mine, ends[:-1].tolist(), ends[1:].tolist())
        yield from progress.track(jobs, title, len(ends) - 1, show)


def gathered(pieces: Iterable[Piece], width: int) -> Piece:
    """All pieces as one, with (n, ``width``) rows; raises ``TooManyItemsets``."""
    kept = [(np.empty((0, width), dtype=np.int32), np.empty(0, dtype=np.int32))]
    found = 0
    for piece in pieces:
        found += len(piece[1])
        if found > MOST:
            raise TooManyItemsets(most=f"{MOST:,}")
        kept.append(piece)
    rows, counts = zip(*kept, strict=True)
    return np.concatenate(rows), np.concatenate(counts)


def by_length(symbols: np.ndarray, often: np.ndarray, rows: np.ndarray, counts: np.ndarray, longest: int) -> Itemsets:
    """Itemsets of two items and more, in any order of rows, beside the single items."""
    singles = np.arange(len(symbols))
    made = Itemsets(symbols, [singles.astype(np.int32)[:, None]], [often.astype(np.int64)], [singles])
    lengths = (rows >= 0).sum(axis=1)
    for length in range(2, longest + 1):
        these = lengths == length
        part, support = rows[these][:, :length], counts[these].astype(np.int64)
        keys = made.find(part[:, :-1]) * len(symbols) + part[:, -1]
        order = np.argsort(keys)
        made.keys.append(keys[order])
        made.rows.append(part[order])
        made.counts.append(support[order])
    return made
