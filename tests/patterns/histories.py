"""Small logs for miners, and a miner that tries everything."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence

import numpy as np
import polars as pl
from hypothesis import strategies as st

from segue.patterns.mining import PatternTree
from segue.patterns.sequences import Sequences

Row = list[tuple[int, int, int]]  # symbol, place, time

# Rows of small symbols; a step of 0 to the next place is an event with several symbols.
rows_of_events = st.lists(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 2), st.integers(0, 3)), max_size=6), max_size=7
)


def rows(steps: Sequence[Sequence[tuple[int, int, int]]]) -> list[Row]:
    """From (symbol, step of the place, step of the time) to absolute places and times; one place has one moment."""
    made = []
    for each in steps:
        place = time = 0
        row = []
        for number, (symbol, step, wait) in enumerate(each):
            if number and step:
                place, time = place + step, time + wait
            row.append((symbol, place, time))
        made.append(row)
    return made


def sequences_of(made: Sequence[Row]) -> Sequences:
    flat = np.array([event for row in made for event in row], dtype=np.int64).reshape(-1, 3)
    offsets = np.cumsum([0, *(len(row) for row in made)])
    labels = pl.Series([None, *"abcd"])
    return Sequences(offsets, flat[:, 0].astype(np.int32), flat[:, 1].astype(np.int32), flat[:, 2].copy(), labels)


def tried(
    made: Sequence[Row],
    least: int,
    longest: int,
    gap: int | None = None,
    span: int | None = None,
    gap_time: int | None = None,
    span_time: int | None = None,
    least_time: int | None = None,
) -> dict[tuple[int, ...], int]:
    """Frequent patterns by looking at every choice of events."""

    def allowed(chosen: tuple[tuple[int, int, int], ...]) -> bool:
        steps = list(itertools.pairwise(chosen))
        return (
            all(b[1] > a[1] for a, b in steps)
            and (gap is None or all(b[1] - a[1] <= gap for a, b in steps))
            and (gap_time is None or all(b[2] - a[2] <= gap_time for a, b in steps))
            and (least_time is None or all(b[2] - a[2] >= least_time for a, b in steps))
            and (span is None or chosen[-1][1] - chosen[0][1] <= span)
            and (span_time is None or chosen[-1][2] - chosen[0][2] <= span_time)
        )

    count: Counter[tuple[int, ...]] = Counter()
    for row in made:
        choices = (chosen for n in range(1, longest + 1) for chosen in itertools.combinations(row, n))
        count.update({tuple(event[0] for event in chosen) for chosen in choices if allowed(chosen)})
    return {pattern: users for pattern, users in count.items() if users >= least}


def spelt(tree: PatternTree) -> dict[tuple[int, ...], int]:
    offsets, symbols = tree.flat()
    bounds = itertools.pairwise(offsets)
    found = [tuple(symbols[a:b].tolist()) for a, b in bounds]
    assert len(set(found)) == len(found)
    return dict(zip(found, tree.supports.tolist(), strict=True))
