from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.patterns.mining import Bounds, frequent
from segue.patterns.redundancy import telling
from tests.patterns.histories import rows, rows_of_events, sequences_of, spelt


def holds(longer: tuple[int, ...], shorter: tuple[int, ...]) -> bool:
    rest = iter(longer)
    return len(longer) > len(shorter) and all(symbol in rest for symbol in shorter)


@settings(max_examples=300, deadline=None)
@given(
    rows_of_events, st.integers(1, 3), st.one_of(st.none(), st.integers(1, 3)), st.sampled_from(["closed", "maximal"])
)
def test_what_no_longer_pattern_says_is_kept(steps, least, gap, kind):
    tree = frequent(sequences_of(rows(steps)), least, 5, Bounds(gap=gap))
    found = spelt(tree)
    told = {
        pattern
        for pattern, users in found.items()
        if not any(holds(other, pattern) and (kind == "maximal" or found[other] == users) for other in found)
    }
    kept = telling(tree, kind, gaps=gap is not None)
    assert {pattern for pattern, stays in zip(found, kept, strict=True) if stays} == told


@pytest.mark.parametrize("kind", ["closed", "maximal"])
def test_parts_one_symbol_shorter_do_not_do_where_gaps_are_bounded(kind):
    # (1, 4) is rarer by way of 2 and 3 than by itself: all parts of (1, 2, 3, 4) have to be looked up.
    made = rows([[(1, 0, 0), (2, 1, 0), (3, 1, 0), (4, 1, 0)], [(1, 0, 0), (4, 1, 0)]])
    tree = frequent(sequences_of(made), 1, 4, Bounds(gap=1))
    found = list(spelt(tree))
    right, hasty = telling(tree, kind, gaps=True), telling(tree, kind, gaps=False)
    assert (right <= hasty).all()
    assert dict(zip(found, right, strict=True))[(1, 2, 3, 4)]
