from __future__ import annotations

import itertools

import numpy as np

from segue.data.histories import Histories
from segue.evaluation.slices import by_slice


def ragged(*rows: list[int]) -> Histories:
    return Histories.from_rows(
        np.repeat(np.arange(len(rows)), [len(r) for r in rows]),
        np.array([*itertools.chain(*rows)], dtype=np.int64),
        len(rows),
    )


# Item 1 has half of all events, 2 and 3 share most of the rest, 4 is rare and 5 was never met.
COUNTS = np.array([0, 50, 20, 20, 10, 0])
CONTEXTS = ragged([1], [1, 2, 3], [1] * 5, [1] * 10, [1] * 25, [1] * 70)
TARGETS = ragged([1], [2], [4, 5], [1], [4], [3])
LISTS = np.array([[1, 2], [3, 4], [5, 1], [2, 3], [4, 1], [3, 1]])


def rows(name: str) -> dict[str, dict[str, object]]:
    return {str(row["part"]): row for row in by_slice(LISTS, CONTEXTS, TARGETS, COUNTS, 2) if row["slice"] == name}


def test_users_are_sliced_by_the_length_of_their_history() -> None:
    parts = rows("history length")
    assert {part: row["users"] for part, row in parts.items()} == {
        "1 to 4 events": 2,
        "5 to 9 events": 1,
        "10 to 19 events": 1,
        "20 to 49 events": 1,
        "50 events and more": 1,
    }
    assert parts["1 to 4 events"]["hit_rate@2"] == 0.5
    assert parts["50 events and more"]["ndcg@2"] == 1.0


def test_targets_are_sliced_by_their_popularity_in_thirds_of_events() -> None:
    parts = rows("target popularity")
    assert {part.partition(" (")[0]: row["targets"] for part, row in parts.items()} == {
        "popular": 2,
        "in between": 2,
        "rare": 2,
    }
    assert parts["popular (a third of all events)"]["hit_rate@2"] == 0.5


def test_cold_targets_stand_beside_the_warm_ones_of_the_same_test() -> None:
    parts = rows("cold items")
    cold, warm = parts["cold targets among all items"], parts["warm targets"]
    assert (cold["users"], cold["targets"], cold["hit_rate@2"]) == (1, 1, 1.0)
    assert (warm["users"], warm["targets"]) == (6, 6)


def test_among_cold_items_their_own_lists_count() -> None:
    among = np.zeros_like(LISTS)
    among[2] = [3, 5]
    made = by_slice(LISTS, CONTEXTS, TARGETS, COUNTS, 2, among)
    (row,) = [each for each in made if each["part"] == "cold targets among cold items"]
    assert (row["users"], row["ndcg@2"]) == (1, 1 / np.log2(3))


def test_parts_without_users_are_left_out() -> None:
    short = by_slice(LISTS[:1], ragged([1]), ragged([1]), COUNTS, 2)
    assert [row["part"] for row in short] == ["1 to 4 events", "popular (a third of all events)"]


def test_every_target_is_in_exactly_one_part_of_popularity() -> None:
    counted = sum(
        int(str(row["targets"]))
        for name in ("target popularity", "cold items")
        for part, row in rows(name).items()
        if part != "warm targets"
    )
    assert counted == len(TARGETS.items)


def test_a_log_without_events_has_no_popular_items() -> None:
    made = by_slice(LISTS[:1], ragged([1]), ragged([1]), np.zeros(6, dtype=np.int64), 2)
    assert [row["slice"] for row in made] == ["history length", "cold items"]


def test_people_without_a_history_are_in_no_part_of_length() -> None:
    made = by_slice(LISTS[:2], ragged([], [1]), ragged([1], [2]), COUNTS, 2)
    assert sum(row["users"] for row in made if row["slice"] == "history length") == 1
