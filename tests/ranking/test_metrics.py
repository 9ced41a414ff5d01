"""Metrics against slow references that follow their definitions word by word, and against worked examples."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.histories import Histories
from segue.ranking.metrics import PER_USER, Hits, auc, graded_ndcg, serendipity


def hit_rate(ranked: list[int], wanted: set[int], k: int) -> float:
    return float(any(item in wanted for item in ranked[:k]))


def recall(ranked: list[int], wanted: set[int], k: int) -> float:
    return len(wanted & set(ranked[:k])) / len(wanted) if wanted else 0.0


def precision(ranked: list[int], wanted: set[int], k: int) -> float:
    return len(wanted & set(ranked[:k])) / k


def ndcg(ranked: list[int], wanted: set[int], k: int) -> float:
    gain = sum(1 / math.log2(place + 1) for place, item in enumerate(ranked[:k], 1) if item in wanted)
    ideal = sum(1 / math.log2(place + 1) for place in range(1, min(len(wanted), k) + 1))
    return gain / ideal if ideal else 0.0


def mrr(ranked: list[int], wanted: set[int], k: int) -> float:
    return next((1 / place for place, item in enumerate(ranked[:k], 1) if item in wanted), 0.0)


def average_precision(ranked: list[int], wanted: set[int], k: int) -> float:
    found = [precision(ranked, wanted, place) for place, item in enumerate(ranked[:k], 1) if item in wanted]
    return sum(found) / min(len(wanted), k) if wanted else 0.0


def r_precision(ranked: list[int], wanted: set[int], k: int) -> float:
    first = min(len(wanted), k)
    return precision(ranked, wanted, first) if first else 0.0


SLOW: dict[str, Callable[[list[int], set[int], int], float]] = {
    "hit_rate": hit_rate,
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "mrr": mrr,
    "map": average_precision,
    "r_precision": r_precision,
}


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]], int]:
    users, k = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    ranked = [draw(st.lists(st.integers(1, 12), unique=True, max_size=k)) for _ in range(users)]
    wanted = [draw(st.lists(st.integers(1, 15), max_size=6)) for _ in range(users)]
    return ranked, wanted, k


def hits_of(ranked: list[list[int]], wanted: list[list[int]], k: int) -> Hits:
    lists = np.array([row + [0] * (k - len(row)) for row in ranked], dtype=np.int64).reshape(len(ranked), k)
    rows = np.repeat(np.arange(len(wanted)), [len(row) for row in wanted]).astype(np.int64)
    flat = np.array([item for row in wanted for item in row], dtype=np.int64)
    return Hits.of(lists, Histories.from_rows(rows, flat, len(wanted)))


@pytest.mark.parametrize("name", PER_USER)
@given(case=cases(), data=st.data())
def test_a_metric_is_its_definition(
    name: str, case: tuple[list[list[int]], list[list[int]], int], data: st.DataObject
) -> None:
    ranked, wanted, k = case
    cut = data.draw(st.integers(1, k + 3))
    found = PER_USER[name](hits_of(ranked, wanted, k), cut)
    slow = [SLOW[name](row, set(targets), cut) for row, targets in zip(ranked, wanted, strict=True)]
    assert found == pytest.approx(slow)
    assert found.shape == (len(ranked),)


@pytest.mark.parametrize("name", PER_USER)
@given(case=cases())
def test_a_metric_lies_between_nothing_and_all(name: str, case: tuple[list[list[int]], list[list[int]], int]) -> None:
    ranked, wanted, k = case
    found = PER_USER[name](hits_of(ranked, wanted, k), k)
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()


@pytest.mark.parametrize(
    ("name", "value"),
    [("hit_rate", 1), ("recall", 2 / 3), ("precision", 0.5), ("mrr", 0.5), ("map", (1 / 2 + 2 / 4) / 3),
     ("r_precision", 1 / 3),
     ("ndcg", (1 / math.log2(3) + 1 / math.log2(5)) / (1 + 1 / math.log2(3) + 0.5))],
)  # fmt: skip
def test_a_worked_example(name: str, value: float) -> None:
    hits = hits_of([[4, 7, 5, 9]], [[7, 9, 1]], 4)
    assert PER_USER[name](hits, 4) == pytest.approx([value])


def test_a_target_met_twice_counts_once() -> None:
    assert hits_of([[3, 4]], [[3, 3]], 2).targets.tolist() == [1]
    assert PER_USER["recall"](hits_of([[3, 4]], [[3, 3]], 2), 2).tolist() == [1.0]


def test_the_padding_of_a_short_list_is_no_hit_even_if_a_target_is_unknown() -> None:
    assert not hits_of([[]], [[0]], 3).marks.any()


def test_a_target_of_another_user_is_no_hit() -> None:
    assert not hits_of([[1], [2]], [[2], [1]], 1).marks.any()


@pytest.mark.parametrize("metric", PER_USER)
def test_nobody_gives_no_values(metric: str) -> None:
    hits = Hits.of(
        np.zeros((0, 3), dtype=np.int64), Histories(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64))
    )
    assert PER_USER[metric](hits, 3).shape == (0,)


# -- AUC -----------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=1, max_size=30))
def test_auc_is_the_share_of_pairs_in_the_right_order(pairs: list[tuple[int, bool]]) -> None:
    up = [score for score, label in pairs if label]
    down = [score for score, label in pairs if not label]
    found = auc(np.array([score for score, _ in pairs], dtype=float), np.array([label for _, label in pairs]))
    if not up or not down:
        assert math.isnan(found)
        return
    right = sum((u > d) + 0.5 * (u == d) for u in up for d in down)
    assert found == pytest.approx(right / (len(up) * len(down)))


def test_auc_of_a_perfect_a_reversed_and_a_constant_score() -> None:
    labels = np.array([0, 0, 1, 1])
    assert auc(np.array([1, 2, 3, 4]), labels) == 1.0
    assert auc(np.array([4, 3, 2, 1]), labels) == 0.0
    assert auc(np.zeros(4), labels) == 0.5


def test_r_precision_is_the_precision_of_as_many_places_as_there_are_targets() -> None:
    hits = hits_of([[7, 3, 4, 8, 9]], [[3, 4, 9]], 5)
    assert PER_USER["r_precision"](hits, 5).tolist() == pytest.approx([2 / 3])
    assert PER_USER["r_precision"](hits, 2).tolist() == pytest.approx([1 / 2])
    short = Hits.of(np.array([[3, 0]]), Histories(np.array([0, 3]), np.array([3, 4, 9])))
    assert PER_USER["r_precision"](short, 10).tolist() == pytest.approx([1 / 3])


def test_graded_ndcg_has_the_values_of_targets_as_gains() -> None:
    # User 0: gains 3 at place 1 and 5 at place 3 (item 4 twice, the larger counts), 1 not listed. User 1: no gain.
    lists = np.array([[3, 8, 4], [5, 6, 7]])
    items = np.array([3, 4, 4, 9, 5, 6])
    values = np.array([3, 2, 5, 1, -1, np.nan], dtype=np.float32)
    targets = Histories(np.array([0, 4, 6]), items, values=values)
    hits = Hits.of(lists, targets).graded(lists, targets)
    got, ideal = 3 / np.log2(2) + 5 / np.log2(4), 5 / np.log2(2) + 3 / np.log2(3) + 1 / np.log2(4)
    assert graded_ndcg(hits, 3) == pytest.approx([got / ideal, 0.0])
    assert graded_ndcg(hits, 1) == pytest.approx([3 / 5, 0.0])


def test_graded_ndcg_of_equal_values_is_ndcg() -> None:
    rng = np.random.default_rng(0)
    lists = np.stack([rng.permutation(20)[:6] + 1 for _ in range(30)])
    items = np.concatenate([rng.permutation(20)[:4] + 1 for _ in range(30)])
    targets = Histories(np.arange(31) * 4, items, values=np.full(120, 2.5, dtype=np.float32))
    hits = Hits.of(lists, targets).graded(lists, targets)
    for k in (1, 3, 6):
        assert graded_ndcg(hits, k) == pytest.approx(PER_USER["ndcg"](hits, k))


def test_serendipity_counts_targets_listed_above_their_rank_by_popularity() -> None:
    # Of four items, 2 is the most popular, then 1, 4 and 3; 4 at place 1 is two ranks ahead, 2 at place 2 is behind.
    lists = np.array([[4, 2, 1], [3, 4, 0]])
    counts = np.array([0, 5, 9, 0, 1])
    targets = Histories(np.array([0, 2, 3]), np.array([4, 2, 1]))
    hits = Hits.of(lists, targets).surprising(lists, counts)
    assert serendipity(hits, 1) == pytest.approx([2 / 4, 0])
    assert serendipity(hits, 3) == pytest.approx([2 / 4 / 3, 0])
    popular = np.array([[2, 1, 4], [2, 1, 4]])
    assert serendipity(Hits.of(popular, targets).surprising(popular, counts), 3) == pytest.approx([0, 0])
