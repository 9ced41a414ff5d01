from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segue.patterns import mining
from segue.patterns.mining import Bounds, expected, frequent
from tests.patterns.histories import rows, rows_of_events, sequences_of, spelt, tried

bound = st.one_of(st.none(), st.integers(1, 4))


@settings(max_examples=600, deadline=None)
@given(rows_of_events, st.integers(1, 3), st.integers(1, 5))
def test_without_bounds_every_pattern_and_its_users_are_found(steps, least, longest):
    made = rows(steps)
    assert spelt(frequent(sequences_of(made), least, longest)) == tried(made, least, longest)


@settings(max_examples=900, deadline=None)
@given(
    rows_of_events,
    st.integers(1, 3),
    st.integers(1, 5),
    st.fixed_dictionaries(dict.fromkeys(("gap", "span", "gap_time", "span_time", "least_time"), bound)),
)
def test_under_any_bounds_every_pattern_and_its_users_are_found(steps, least, longest, bounds):
    made = rows(steps)
    found = frequent(sequences_of(made), least, longest, Bounds(**bounds))
    assert spelt(found) == tried(made, least, longest, **bounds)


@settings(max_examples=100, deadline=None)
@given(rows_of_events, st.integers(1, 3))
def test_a_bound_that_nothing_reaches_changes_nothing(steps, least):
    made = sequences_of(rows(steps))
    assert spelt(frequent(made, least, 6, Bounds(gap=1_000))) == spelt(frequent(made, least, 6))


@settings(max_examples=50, deadline=None)
@given(rows_of_events, st.integers(1, 3))
def test_the_number_of_threads_changes_nothing(steps, least):
    made = sequences_of(rows(steps))
    one, four = (frequent(made, least, 4, threads=threads) for threads in (1, 4))
    assert np.array_equal(one.codes, four.codes)
    assert np.array_equal(one.supports, four.supports)


def test_many_tasks_find_what_one_finds(monkeypatch):
    made = random_log()
    whole = spelt(frequent(made, 20, 3))
    monkeypatch.setattr(mining, "_WORK", 1)
    assert spelt(frequent(made, 20, 3)) == whole


def random_log(users: int = 300, seed: int = 0):
    draw = np.random.default_rng(seed)
    return sequences_of([[(int(x), n, n) for n, x in enumerate(draw.integers(1, 5, 12))] for _ in range(users)])


def test_the_order_is_support_then_length_then_symbols():
    tree = frequent(random_log(), 100, 3)
    order = tree.order(np.arange(len(tree)))
    offsets, symbols = tree.flat(order)
    keys = [
        (-tree.supports[node], len(word), tuple(word))
        for node, word in zip(order, np.split(symbols, offsets[1:-1]), strict=True)
    ]
    assert keys == sorted(keys)


def test_an_empty_log_has_no_patterns():
    for made in ([], [[]], [[], []]):
        tree = frequent(sequences_of(made), 1, 3)
        assert len(tree) == 0
        assert tree.complete


def test_a_million_identical_histories_are_mined_as_one():
    one = sequences_of([[(1, 0, 0), (2, 1, 1), (3, 2, 2)]])
    made = one.take(np.zeros(1_000_000, dtype=np.int64))
    found = spelt(frequent(made, 1_000_000, 3))
    assert set(found) == {(1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)}
    assert set(found.values()) == {1_000_000}


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(span=8)])
def test_at_the_limit_finished_first_symbols_are_whole_and_others_absent(monkeypatch, bounds):
    monkeypatch.setattr(mining, "_WORK", 1)
    made = random_log()
    whole = spelt(frequent(made, 10, 4, bounds))
    cut = frequent(made, 10, 4, bounds, limit=len(whole) // 2, threads=1)
    assert not cut.complete
    assert 0 < cut.done < cut.roots
    begins = {pattern[0] for pattern in spelt(cut)}
    assert len(begins) == cut.done
    assert spelt(cut) == {pattern: users for pattern, users in whole.items() if pattern[0] in begins}


@pytest.mark.parametrize("bounds", [Bounds(), Bounds(span=8)])
def test_memory_is_a_limit_too(bounds):
    made = random_log(2_000)
    assert frequent(made, 10, 4, bounds, memory=100).complete
    assert not frequent(made, 10, 4, bounds, memory=0.01).complete


def test_ctrl_c_returns_what_is_complete(monkeypatch):
    monkeypatch.setattr(mining, "_WORK", 1)
    made, calls = random_log(), []
    whole = spelt(frequent(made, 10, 4))

    def tell(share: float, found: int) -> None:
        calls.append(found)
        if len(calls) == 2:
            raise KeyboardInterrupt

    tree = frequent(made, 10, 4, threads=1, tell=tell)
    assert tree.stopped
    assert not tree.complete
    assert 2 <= tree.done < tree.roots
    begins = {pattern[0] for pattern in spelt(tree)}
    assert spelt(tree) == {pattern: users for pattern, users in whole.items() if pattern[0] in begins}


def test_what_is_told_adds_up(monkeypatch):
    monkeypatch.setattr(mining, "_WORK", 1)
    told: list[tuple[float, int]] = []
    tree = frequent(random_log(), 10, 3, tell=lambda share, found: told.append((share, found)))
    assert sum(share for share, _ in told) == pytest.approx(1)
    assert told[-1][1] == len(tree)


def test_the_estimate_is_of_the_right_size_and_says_when_it_gave_up(monkeypatch):
    monkeypatch.setattr(mining, "_PATIENCE", 60.0)
    made = random_log()
    count, more = expected(made, 10, 4)
    assert not more
    assert count == len(frequent(made, 10, 4))  # four first symbols, a layer each
    monkeypatch.setattr(mining, "_PROBED", 10)
    count, more = expected(made, 10, 4)
    assert more
    assert count == 40


def test_an_estimate_can_be_interrupted(monkeypatch):
    def interrupted(futures, timeout):
        raise KeyboardInterrupt

    monkeypatch.setattr(mining, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        expected(random_log(), 10, 4)


def test_what_takes_too_long_is_not_taken_for_much(monkeypatch):
    monkeypatch.setattr(mining, "_PATIENCE", 0.0)
    made = random_log(3_000)
    count, more = expected(made, 10, 6)
    assert not more
    assert count < len(frequent(made, 10, 6))
