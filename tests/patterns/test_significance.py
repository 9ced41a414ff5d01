"""What chance explains is told from what it does not; supports of given patterns are exact."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import segue
from segue import errors
from segue.patterns.chance import adjusted, fisher
from segue.patterns.sequences import Sequences, sequences
from segue.patterns.significance import patterns_of, permutation_p_values, support_of

SYMBOLS = 4
PATTERNS = [list(p) for k in (1, 2, 3) for p in itertools.product(range(1, SYMBOLS + 1), repeat=k)]


def made(rows: list[list[tuple[int, int]]]) -> Sequences:
    """Rows of (place, symbol), in order of place."""
    lengths = [len(row) for row in rows]
    entries = [entry for row in rows for entry in sorted(row)]
    places, symbols = (np.array([entry[side] for entry in entries], dtype=np.int32) for side in (0, 1))
    labels = pl.Series("pattern", [None, *"abcd"[:SYMBOLS]])
    return Sequences(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), symbols, places, None, labels)


def stands_in(pattern: list[int], row: list[tuple[int, int]]) -> bool:
    choices = ([place for place, symbol in row if symbol == wanted] for wanted in pattern)
    return any(all(a < b for a, b in itertools.pairwise(chosen)) for chosen in itertools.product(*choices))


def flat(patterns: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = [len(pattern) for pattern in patterns]
    return np.concatenate([[0], np.cumsum(lengths)]), np.array([s for pattern in patterns for s in pattern])


entries = st.tuples(st.integers(0, 4), st.integers(1, SYMBOLS))


@settings(max_examples=300)
@given(st.lists(st.lists(entries, max_size=8), min_size=1, max_size=4))
def test_supports_are_those_of_trying_every_choice_of_places(rows: list[list[tuple[int, int]]]) -> None:
    wanted = [sum(stands_in(pattern, row) for row in rows) for pattern in PATTERNS]
    assert support_of(made(rows), *flat(PATTERNS)).tolist() == wanted


def test_long_patterns_and_repeats_are_counted() -> None:
    row = [(place, 1 + place % 2) for place in range(20)]
    patterns = [[1, 2] * 10, [1, 2] * 10 + [1], [1] * 10, [1] * 11, [2, 1] * 9 + [2]]
    assert support_of(made([row]), *flat(patterns)).tolist() == [1, 0, 1, 0, 1]


@settings(max_examples=300)
@given(st.integers(1, 400), st.data())
def test_fisher_is_the_upper_tail_of_the_hypergeometric_distribution(total: int, data: Any) -> None:
    left, right = data.draw(st.integers(1, total)), data.draw(st.integers(1, total))
    both = data.draw(st.integers(max(0, left + right - total), min(left, right)))
    exact = stats.hypergeom.sf(both - 1, total, left, right)
    assert fisher(np.array([both]), np.array([left]), np.array([right]), total)[0] == pytest.approx(exact, 1e-9, 1e-300)


def test_fisher_holds_for_a_million_baskets() -> None:
    both, left, right = np.array([120, 10_000, 100, 80, 2_500]), np.full(5, 10_000), np.full(5, 10_000)
    right[1:2] = 990_000
    found = fisher(both, left, right, 1_000_000)
    assert found[0] == pytest.approx(stats.hypergeom.sf(119, 1_000_000, 10_000, 10_000), rel=1e-6)
    assert found[1] == pytest.approx(stats.hypergeom.sf(9_999, 1_000_000, 990_000, 10_000), rel=1e-6)
    assert found[2:4] == pytest.approx(stats.hypergeom.sf([99, 79], 1_000_000, 10_000, 10_000), rel=1e-6)
    assert 0 <= found[4] < 1e-300


@settings(max_examples=100)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.integers(0, 30))
def test_corrections_are_those_of_scipy_and_of_bonferroni(p_values: list[float], more: int) -> None:
    tested = len(p_values) + more
    exact = stats.false_discovery_control([*p_values, *[1.0] * more])[: len(p_values)]
    assert adjusted(np.array(p_values), hypotheses=tested) == pytest.approx(exact)
    bonferroni = adjusted(np.array(p_values), "bonferroni", tested)
    assert bonferroni == pytest.approx(np.minimum(1, np.array(p_values) * tested))
    assert adjusted(np.array(p_values), "none", tested).tolist() == p_values


def ordered_log() -> pl.DataFrame:
    """Everybody takes a, b, c, d; a is always before b, and the others come in any order."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(200):
        order = rng.permutation(list("abcd")).tolist()
        first, second = sorted((order.index("a"), order.index("b")))
        order[first], order[second] = "a", "b"
        rows += [(user, item, moment) for moment, item in enumerate(order)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


def test_only_what_the_order_makes_frequent_is_significant() -> None:
    found = sequences(segue.Dataset.from_frames(ordered_log()))
    patterns = [["a", "b"], ["b", "a"], ["c", "d"], ["d", "c"], ["a"], ["a", "b", "c", "d"]]
    test = permutation_p_values(found, *patterns_of(found, patterns), permutations=199, progress=False)
    assert test.support[0] == 200
    assert test.expected[0] == pytest.approx(100, abs=3)
    assert test.p_value[0] == 1 / 200
    assert test.p_value[5] < 0.05  # it holds a before b
    assert test.p_value[4] == 1
    assert test.p_value[1] == 1
    assert (test.p_value[[2, 3]] > 0.01).all()
    assert (test.adjusted_p_value >= test.p_value).all()
    assert (test.adjusted_p_value[:4] <= 0.05).tolist() == [True, False, False, False]


def test_p_values_of_shuffled_histories_are_spread_evenly() -> None:
    """Under the null hypothesis a p value is below x with a chance of at most x."""
    rng = np.random.default_rng(1)
    low, tests = 0, 100
    for number in range(tests):
        rows = [[(place, int(s)) for place, s in enumerate(rng.permutation([1, 2, 3, 4]))] for _ in range(40)]
        test = permutation_p_values(made(rows), *flat([[1, 2]]), permutations=99, seed=number, progress=False)
        low += test.p_value[0] <= 0.2
    assert stats.binomtest(low, tests, 0.2, alternative="greater").pvalue > 0.001
    assert low > 0


def test_symbols_of_one_event_stay_together() -> None:
    rows = [[(0, 1), (0, 2), (1, 3)]] * 30
    test = permutation_p_values(made(rows), *flat([[1, 2], [1, 3], [2, 3]]), permutations=50, progress=False)
    assert test.expected[0] == 0
    assert test.expected[1] == test.expected[2]


def test_the_test_is_a_function_of_its_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    found = sequences(segue.Dataset.from_frames(ordered_log()))
    asked = patterns_of(found, [["a", "c"], ["b", "d"]])
    one = permutation_p_values(found, *asked, permutations=50, seed=3, progress=False)
    monkeypatch.setattr("segue.patterns.significance.n_threads", lambda: 4)
    again = permutation_p_values(found, *asked, permutations=50, seed=3, progress=False)
    other = permutation_p_values(found, *asked, permutations=50, seed=4, progress=False)
    assert (one.expected == again.expected).all()
    assert (one.expected != other.expected).any()


def test_users_of_one_event_have_one_order() -> None:
    rows = [[(0, 1)], [], [(0, 2)]]
    test = permutation_p_values(made(rows), *flat([[1], [1, 2]]), permutations=9, progress=False)
    assert test.support.tolist() == [1, 0]
    assert test.p_value.tolist() == [1, 1]


def test_no_patterns_have_no_p_values() -> None:
    test = permutation_p_values(made([[(0, 1)]]), *flat([]), permutations=9, progress=False)
    assert len(test.p_value) == len(test.adjusted_p_value) == 0


def test_patterns_are_read_as_they_are_shown() -> None:
    log = pl.DataFrame(
        {"user_id": [1, 1], "item_id": [7, 9], "timestamp": [0, 1], "action": ["view", "buy"]}
    )  # fmt: skip
    data = segue.Dataset.from_frames(log)
    for of, pattern in {"item": [7, 9], "action": ["view", "buy"]}.items():
        found = sequences(data, of)
        assert support_of(found, *patterns_of(found, [pattern, pattern[::-1]])).tolist() == [1, 0]
    both = sequences(data, "action+item")
    shown = pl.Series([[{"action": "view", "item_id": 7}, {"action": "buy", "item_id": 9}]])
    assert support_of(both, *patterns_of(both, shown)).tolist() == [1]


@pytest.mark.parametrize("label", ["z", None])
def test_a_label_that_nobody_has_is_named(label: Any) -> None:
    with pytest.raises(errors.PatternsUnknown, match="pattern number 2"):
        patterns_of(made([[(0, 1)]]), [["a"], ["b", label]])


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "many"])
def test_numbers_that_are_none_are_refused(wrong: Any) -> None:
    with pytest.raises(errors.PermutationsUnusable):
        permutation_p_values(made([[(0, 1)]]), *flat([[1]]), permutations=wrong)
    with pytest.raises(errors.PermutationsUnusable):
        permutation_p_values(made([[(0, 1)]]), *flat([[1]]), hypotheses=wrong)


def test_a_correction_that_is_none_is_refused() -> None:
    with pytest.raises(errors.ChoiceUnknown):
        permutation_p_values(made([[(0, 1)]]), *flat([[1]]), correction="holm")
