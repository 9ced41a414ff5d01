"""Whether an order is more than chance: the supports of patterns, also in histories whose events are shuffled.

Which habits are tested is left to the miners; tests of what goes together are in ``chance``.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from segue.data.jit import kernel, n_threads
from segue.errors import PatternsUnknown, PermutationsUnusable
from segue.patterns.chance import adjusted
from segue.patterns.sequences import Sequences
from segue.progress import track


@kernel()
def _random(state):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """The next number of splitmix64 (Steele, Lea and Flood, OOPSLA 2014), and the state after it."""
    state += np.uint64(0x9E3779B97F4A7C15)
    made = state
    made = (made ^ (made >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    made = (made ^ (made >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return made ^ (made >> np.uint64(31)), state


@kernel()
def _count(shuffled, seed, offsets, symbols, places, size, pattern_offsets, pattern_symbols, starts, first):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    """In how many rows each pattern stands; with ``shuffled`` the places of every row are put in a random order first.

    Every pattern waits for its next symbol: the first symbol of a row that it waits for moves it on, which is exact,
    since nothing limits the gaps. ``starts`` and ``first``: the patterns by their first symbol.
    """
    patterns = pattern_offsets.shape[0] - 1
    support = np.zeros(patterns, dtype=np.int64)
    reached = np.zeros(patterns, dtype=np.int64)
    after = np.full(patterns, -1, dtype=np.int64)  # the next pattern that waits for the same symbol
    head = np.full(size, -1, dtype=np.int64)
    line = np.full(size, -1, dtype=np.int64)  # the row that a head is of
    begun = np.full(size, -1, dtype=np.int64)
    moved = np.empty(patterns, dtype=np.int64)
    longest = 0
    for row in range(offsets.shape[0] - 1):
        longest = max(longest, offsets[row + 1] - offsets[row])
    event = np.empty(longest + 1, dtype=np.int64)
    for row in range(offsets.shape[0] - 1):
        begin, end = offsets[row], offsets[row + 1]
        events = 0
        for entry in range(begin, end):
            if entry == begin or places[entry] != places[entry - 1]:
                event[events] = entry
                events += 1
        if shuffled:
            state, _ = _random(np.uint64(seed) ^ (np.uint64(row) * np.uint64(0xD1342543DE82EF95)))
            for number in range(events - 1, 0, -1):
                drawn, state = _random(state)
                other = np.int64(drawn % np.uint64(number + 1))
                event[number], event[other] = event[other], event[number]
        for number in range(events):
            entry = event[number]
            place = places[entry]
            moves = 0
            while entry < end and places[entry] == place:
                symbol = symbols[entry]
                if begun[symbol] != row:
                    begun[symbol] = row
                    for each in range(starts[symbol], starts[symbol + 1]):
                        reached[first[each]] = 0
                        moved[moves] = first[each]
                        moves += 1
                waiting = head[symbol] if line[symbol] == row else -1
                head[symbol] = -1
                while waiting >= 0:
                    moved[moves] = waiting
                    moves += 1
                    waiting = after[waiting]
                entry += 1
            # They wait for a later place, so they are put in line when this one is over.
            for each in range(moves):
                pattern = moved[each]
                reached[pattern] += 1
                at = pattern_offsets[pattern] + reached[pattern]
                if at == pattern_offsets[pattern + 1]:
                    support[pattern] += 1
                else:
                    wanted = pattern_symbols[at]
                    after[pattern] = head[wanted] if line[wanted] == row else -1
                    head[wanted] = pattern
                    line[wanted] = row
    return support


def patterns_of(found: Sequences, patterns: Sequence[Sequence[Any]] | pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Patterns written as lists of labels, such as the column ``pattern`` of a result, as flat arrays.

    Returns:
        (patterns + 1,) offsets and the codes of their symbols.

    Raises:
        PatternsUnknown: a label is of no symbol of these sequences.
    """
    lists = patterns.to_list() if isinstance(patterns, pl.Series) else [list(pattern) for pattern in patterns]
    lengths = np.array([len(pattern) for pattern in lists], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    said = [label for pattern in lists for label in pattern]
    try:
        labels = pl.Series("label", said, dtype=found.labels.dtype, strict=True)
    except (TypeError, pl.exceptions.PolarsError):
        labels = pl.Series("label", said).cast(found.labels.dtype, strict=False)
    codes = pl.DataFrame({"label": found.labels[1:], "code": np.arange(1, found.size, dtype=np.int32)})
    symbols = pl.DataFrame({"label": labels}).join(codes, on="label", how="left", maintain_order="left")["code"]
    if symbols.null_count():
        wrong = int(symbols.is_null().arg_max() or 0)
        raise PatternsUnknown(label=said[wrong], number=int(np.searchsorted(offsets, wrong, side="right")))
    return offsets, symbols.to_numpy()


def support_of(found: Sequences, offsets: np.ndarray, symbols: np.ndarray) -> np.ndarray:
    """How many rows hold each pattern: its symbols at places one after the other, with anything between.

    Args:
        offsets, symbols: pattern ``p`` is ``symbols[offsets[p]:offsets[p + 1]]``, one symbol or more.

    Returns:
        (patterns,) int64, exact. Memory: some numbers per pattern and per symbol; time: the entries, and every step
        that a row goes along any pattern.
    """
    return np.asarray(_count(False, 0, *_asked(found, offsets, symbols)))


def _asked(found: Sequences, offsets: np.ndarray, symbols: np.ndarray) -> tuple[Any, ...]:
    """What the counter reads: rows, patterns, and patterns by their first symbol."""
    offsets, symbols = np.asarray(offsets, dtype=np.int64), np.asarray(symbols, dtype=np.int32)
    begin = symbols[offsets[:-1]]
    first = np.argsort(begin, kind="stable")
    starts = np.searchsorted(begin[first], np.arange(found.size + 1))
    return found.offsets, found.symbols, found.places, found.size, offsets, symbols, starts, first


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """Sequential patterns against histories in random order; an array of one value per pattern each.

    Attributes:
        support: rows that hold the pattern.
        expected: the mean of the same over the permutations.
        p_value: how often a permutation reaches the support, itself counted in: (reached + 1) / (permutations + 1).
        adjusted_p_value: the same, corrected for the number of patterns.
    """

    support: np.ndarray
    expected: np.ndarray
    p_value: np.ndarray
    adjusted_p_value: np.ndarray


def permutation_p_values(
    found: Sequences,
    offsets: np.ndarray,
    symbols: np.ndarray,
    *,
    permutations: int = 999,
    correction: str = "benjamini-hochberg",
    hypotheses: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> PermutationTest:
    """Whether the order within histories makes patterns frequent, or the items alone would.

    Null hypothesis: every order of a user's events is as likely as any other. Each permutation shuffles the events of
    every user, who keeps all items; symbols of one event (or one moment, where ties are together) stay together. A
    pattern of one symbol has a p value of 1: it has no order. The log counts as a permutation
    too, so that no p value is 0 (Phipson and Smyth, 2010).

    Args:
        offsets, symbols: patterns as in ``support_of``.
        permutations: how many; a p value can be no lower than 1 / (permutations + 1), so that with many patterns and
            few permutations nothing can be found.
        hypotheses: how many patterns were looked at to find these; by default as many as are given. Who tests only the
            most frequent patterns of a mining run gives the number of all.
        seed: the result is a function of it, whatever the number of threads.

    Raises:
        PermutationsUnusable: a number that is none, or below 1.
        ChoiceUnknown: there is no such correction.
    """
    _whole("permutations", permutations)
    _whole("hypotheses", 1 if hypotheses is None else hypotheses)
    adjusted(np.empty(0), correction)
    asked = _asked(found, offsets, symbols)
    support = np.asarray(_count(False, 0, *asked))
    reached, total = np.zeros(len(support), dtype=np.int64), np.zeros(len(support), dtype=np.int64)
    seeds = np.random.SeedSequence(seed).generate_state(permutations, np.uint64)
    with ThreadPoolExecutor(n_threads()) as pool:
        counts = pool.map(lambda each: _count(True, each, *asked), seeds)
        for count in track(counts, "Shuffling histories", permutations, progress):
            reached += count >= support
            total += count
    p_values = (reached + 1) / (permutations + 1)
    return PermutationTest(support, total / permutations, p_values, adjusted(p_values, correction, hypotheses))


def _whole(name: str, value: object) -> None:
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < 1:
        raise PermutationsUnusable(name=name, value=value)
