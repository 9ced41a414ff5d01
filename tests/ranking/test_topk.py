"""The best k: the same as a stable sort of the whole row, whatever the scores, ties, priors and seen items."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segue.ranking.topk import top_k

_FEW = 12  # with it blocks of neighbouring scores have a bound for all, beyond it there are too few of them

# Few distinct values, so that most rows have ties; and all values that floats have besides numbers.
scores_of = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 8), st.integers(2, 30)),  # few rows go another way than many
    elements=st.sampled_from([0.0, -0.0, 1.0, 1.0, 2.0, -3.5, 1e30, np.inf, -np.inf, np.nan]),
)


def reference(
    scores: np.ndarray, k: int, prior: np.ndarray | None = None, seen: list[list[int]] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Row by row: drop what cannot be listed, then one stable sort by score and prior."""
    items = np.zeros((len(scores), k), dtype=np.int64)
    values = np.full((len(scores), k), -np.inf, dtype=np.float32)
    for row, line in enumerate(scores):
        able = [i for i in range(1, len(line)) if line[i] > -np.inf and (seen is None or i not in seen[row])]
        able.sort(key=lambda i: (-line[i], -(0.0 if prior is None else prior[i])))
        for place, item in enumerate(able[:k]):
            items[row, place], values[row, place] = item, line[item]
    return items, values


def same(found: tuple[np.ndarray, np.ndarray], wanted: tuple[np.ndarray, np.ndarray]) -> bool:
    return np.array_equal(found[0], wanted[0]) and np.array_equal(found[1], wanted[1])


@given(scores_of, st.sampled_from([1, 2, 5, 30, _FEW, _FEW + 1, _FEW + 50, 128, 129, 178]), st.data())
def test_the_list_is_that_of_a_stable_sort(scores: np.ndarray, k: int, data: st.DataObject) -> None:
    rows, width = scores.shape
    priors = st.sampled_from([0.0, 1.0, 2.0])
    prior = data.draw(st.none() | hnp.arrays(np.float32, width, elements=priors))
    seen = data.draw(
        st.none() | st.lists(st.lists(st.integers(0, width - 1), max_size=5), min_size=rows, max_size=rows)
    )
    wanted = reference(scores, k, prior, seen)
    offsets, flat = None, None
    if seen is not None:
        offsets = np.concatenate([[0], np.cumsum([len(row) for row in seen])]).astype(np.int64)
        flat = np.array([item for row in seen for item in row], dtype=np.int64)
    assert same(top_k(scores.copy(), k, prior, offsets, flat), wanted)


@pytest.mark.parametrize("able", [0, 3, 20, 49, 50, 51, 400])
def test_a_row_that_leaves_out_most_items_is_sorted_alike(able: int) -> None:
    rng = np.random.default_rng(able)
    scores = np.full((2, 400), -np.inf, dtype=np.float32)
    for row in scores:
        row[rng.permutation(400)[:able]] = rng.integers(0, 5, able)
    prior = rng.integers(0, 3, 400).astype(np.float32)
    assert same(top_k(scores.copy(), 10, prior), reference(scores, 10, prior))


def test_a_sort_that_is_not_stable_would_be_seen() -> None:
    scores = np.zeros((1, 60), dtype=np.float32)
    wanted = reference(scores, 10)
    turned = np.argsort(scores[0, 1:][::-1], kind="stable")[::-1][:10][None] + 1
    assert same(top_k(scores.copy(), 10), wanted)
    assert not same((turned, np.zeros((1, 10), dtype=np.float32)), wanted)


@pytest.mark.parametrize("seed", range(5))
def test_inserting_and_sorting_give_the_same_list(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 50, (20, 400)).astype(np.float32)
    prior = rng.integers(0, 3, 400).astype(np.float32)
    few, many = top_k(scores.copy(), _FEW, prior), top_k(scores.copy(), _FEW + 1, prior)
    assert same(few, (many[0][:, :_FEW], many[1][:, :_FEW]))
    assert same(few, reference(scores, _FEW, prior))


@pytest.mark.parametrize("k", [3, _FEW + 1])
def test_padding_is_never_listed_however_good(k: int) -> None:
    items, scores = top_k(np.array([[9.0, 1.0, 2.0]], dtype=np.float32), k)
    assert items[0, :3].tolist() == [2, 1, 0]
    assert scores[0, 2] == -np.inf


@pytest.mark.parametrize("k", [2, _FEW + 1])
def test_a_row_with_nothing_to_list_is_empty(k: int) -> None:
    bad = np.array([[0, np.nan, -np.inf], [0, np.nan, np.nan], [0, -np.inf, 5]], dtype=np.float32)
    items, scores = top_k(bad, k, None, np.array([0, 0, 0, 1]), np.array([2]))
    assert not items.any()
    assert (scores == -np.inf).all()


@pytest.mark.parametrize("k", [2, _FEW + 1])
def test_no_rows_give_no_lists(k: int) -> None:
    items, scores = top_k(np.zeros((0, 5), dtype=np.float32), k)
    assert items.shape == scores.shape == (0, k)


def test_scores_of_another_type_or_layout_are_ranked_alike() -> None:
    scores = np.random.default_rng(0).integers(0, 9, (6, 20))
    wanted = reference(scores.astype(np.float32), 5)
    for form in (scores, scores.astype(np.float64), np.asfortranarray(scores.astype(np.float32))):
        assert same(top_k(form, 5), wanted)
