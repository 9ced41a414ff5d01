from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import segue
from segue.data.histories import Histories
from segue.data.questions import draw_by_popularity, of_training
from segue.patterns.evidence import WINDOW, PairEvidence
from tests.patterns.habit_logs import histories_of

TEA, POT, CUP, SAW = 1, 2, 3, 4
PEOPLE = [[TEA, POT, CUP], [TEA, CUP], [TEA, SAW], [POT, TEA]]


def evidence() -> PairEvidence:
    return PairEvidence.counted(histories_of(PEOPLE), 5)


def told(context: list[int], item: int, own: list[int] | None = None) -> tuple[int, int, int]:
    found = evidence().told(histories_of([context]), np.array([[item]]), None if own is None else histories_of([own]))
    return tuple(int(part[0, 0]) for part in found)  # type: ignore[return-value]


def test_the_most_telling_item_of_the_history_is_named() -> None:
    assert told([TEA], CUP) == (TEA, 2, 4)
    assert told([SAW, TEA, POT], CUP) == (TEA, 2, 4)


def test_what_nobody_did_has_no_evidence() -> None:
    assert told([SAW], CUP) == (0, 0, 0)
    assert told([], CUP) == (0, 0, 0)


def test_what_the_person_added_is_left_out() -> None:
    assert told([TEA], CUP, own=PEOPLE[0]) == (TEA, 1, 3)
    assert told([TEA], CUP, own=PEOPLE[2]) == (TEA, 2, 3)
    assert told([TEA], SAW, own=PEOPLE[2]) == (0, 0, 0)


def test_a_person_who_never_took_the_item_leaves_the_counts_alone() -> None:
    assert told([TEA], CUP, own=[SAW]) == (TEA, 2, 4)


def test_only_the_newest_items_speak_and_pairs_lie_within_the_window() -> None:
    far = [TEA, *[SAW] * WINDOW, CUP]
    assert PairEvidence.counted(histories_of([far, far]), 5).told(histories_of([[TEA]]), np.array([[CUP]]))[1] == 0
    assert told([TEA, *[SAW] * WINDOW], CUP) == (0, 0, 0)


def test_new_items_have_none_and_others_keep_theirs() -> None:
    grown = evidence().larger(8)
    items = np.array([[CUP, 7]])
    np.testing.assert_array_equal(grown.told(histories_of([[TEA]]), items)[1], [[2, 0]])


def test_it_survives_arrays() -> None:
    again = PairEvidence.restored(evidence().arrays(), 5)
    np.testing.assert_array_equal(again.told(histories_of([[TEA]]), np.array([[CUP]]))[2], [[4]])


@pytest.fixture(scope="module")
def chance() -> segue.Dataset:
    """A log in which nothing follows from anything."""
    rng = np.random.default_rng(0)
    rows = [(user, int(item), n) for user in range(150) for n, item in enumerate(rng.permutation(400)[:8])]
    return segue.Dataset.from_frames(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))


def right_guesses(data: segue.Dataset, own: Histories | None) -> float:
    """How often more speaks for what was taken than for what was not; 0.5 where evidence tells nothing."""
    questions = of_training(data, "next")
    others = draw_by_popularity(data.item_counts, questions.items, 1, np.random.default_rng(1))
    counted = PairEvidence.counted(data.histories, len(data.item_vocabulary) + 1)
    items = np.concatenate([questions.items[:, None], others], axis=1)
    left_out = None if own is None else own.take(questions.users)
    _, support, of = counted.told(questions.contexts, items, left_out)
    share = support / np.maximum(of, 1)
    return float(np.where(share[:, 0] == share[:, 1], 0.5, share[:, 0] > share[:, 1]).mean())


def test_in_chance_the_evidence_of_others_tells_nothing(chance: segue.Dataset) -> None:
    assert right_guesses(chance, chance.histories) == pytest.approx(0.5, abs=0.05)


def test_the_broken_twin_that_leaves_nobody_out_tells_the_answer(chance: segue.Dataset) -> None:
    assert right_guesses(chance, None) > 0.9
