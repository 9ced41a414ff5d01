from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.histories import Histories
from segue.language.pairs import NextText, TextLog, found, known_pairs, pairs_within

LENGTHS = st.lists(st.integers(0, 30), min_size=1, max_size=20)


def log_of(*rows: list[int], texts: int = 10) -> TextLog:
    items = np.array([item for row in rows for item in row], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return TextLog([f"t{n}" for n in range(texts)], Histories(offsets, items))


def test_items_that_say_the_same_are_one_and_those_that_say_nothing_are_left_out() -> None:
    histories = Histories(np.array([0, 4, 5]), np.array([1, 2, 3, 4, 2]))
    log = TextLog.of(["", "tea", "  ", "tea", "cup"], histories)
    assert log.texts == ["cup", "tea"]
    assert log.histories.row(0).tolist() == [1, 1, 0]
    assert log.histories.row(1).tolist() == []


def test_pairs_are_of_one_person_within_the_window_and_never_a_text_with_itself() -> None:
    log = log_of([1, 2, 2, 3], [4, 5])
    one = set(zip(*(side.tolist() for side in log.pairs(1)), strict=True))
    assert one == {(1, 2), (2, 3), (4, 5)}
    two = set(zip(*(side.tolist() for side in log.pairs(2)), strict=True))
    assert two == {(1, 2), (2, 3), (4, 5)}
    three = set(zip(*(side.tolist() for side in log.pairs(3)), strict=True))
    assert three == {(1, 2), (2, 3), (4, 5), (1, 3)}


@pytest.mark.parametrize("window", [1, 50])
def test_a_log_of_nothing_has_no_pairs(window: int) -> None:
    assert [len(side) for side in log_of([], [3]).pairs(window)] == [0, 0]


def test_known_pairs_hold_both_ways() -> None:
    matrix = known_pairs(log_of([1, 2], [2, 3], [1, 2]).pairs(1), 10).toarray()
    assert matrix.sum() == 4
    assert (matrix == matrix.T).all()
    assert matrix[2, 1] == matrix[1, 2] == matrix[3, 2] == 1


@given(LENGTHS, st.integers(1, 40), st.integers(0, 5))
def test_an_epoch_has_every_event_once_in_batches_of_about_the_size_asked(
    lengths: list[int], size: int, seed: int
) -> None:
    starts = np.cumsum([0, *lengths])
    log = log_of(*[list(range(start, start + length)) for start, length in zip(starts, lengths, strict=False)])
    batches = list(log.batches(size, np.random.default_rng(seed)))
    events = [int(code) for _, codes in batches for code in codes]
    assert sorted(events) == list(range(sum(lengths)))
    assert all(len(codes) <= size + 8 for _, codes in batches)
    assert len(batches) <= log.steps(size)
    person = np.searchsorted(starts, np.arange(sum(lengths)), "right")
    for rows, codes in batches:
        left, right = pairs_within(rows, codes, 1)
        assert (right - left == 1).all()
        assert (person[left] == person[right]).all()


def test_batches_hold_many_people_and_cut_histories_elsewhere_each_time() -> None:
    log = log_of(*[list(range(100 * user, 100 * user + 100)) for user in range(20)])
    rng = np.random.default_rng(0)
    codes = next(log.batches(64, rng))[1]
    assert len(np.unique(codes // 100)) >= 5
    kept = []
    for _ in range(2):
        pairs = [pairs_within(*batch, 1)[0] for batch in log.batches(64, rng)]
        kept.append(set(np.concatenate(pairs).tolist()))
    assert kept[0] != kept[1]
    assert len(kept[0] | kept[1]) > len(kept[0])


def test_users_held_out_are_in_one_part_and_have_pairs() -> None:
    log = log_of(*[[user, user + 1] for user in range(8)], [9], [4, 4])
    learnt, stopping, reported = log.held_out(0.5, 100, np.random.default_rng(0))
    assert (len(learnt.histories), len(stopping.histories), len(reported.histories)) == (6, 2, 2)
    assert (stopping.histories.lengths == 2).all()
    everything = np.concatenate([part.histories.items for part in (learnt, stopping, reported)])
    assert sorted(everything.tolist()) == sorted(log.histories.items.tolist())
    assert not len(log.held_out(0.1, 100, np.random.default_rng(0))[1].histories)


def test_what_is_found_counts_places_among_all_other_texts() -> None:
    vectors = np.array([[1, 0], [0.9, 0.1], [0.5, 0.5], [0, 1]], dtype=np.float32)
    every = found((np.array([0, 0]), np.array([1, 3])), vectors)
    assert every == {"recall@10": 1.0, "mrr": pytest.approx((1 + 1 / 3) / 2)}


def test_vectors_that_are_all_the_same_find_nothing() -> None:
    assert found((np.array([0]), np.array([1])), np.ones((50, 3), dtype=np.float32)) == {
        "recall@10": 0.0,
        "mrr": pytest.approx(1 / 49),
    }


def test_a_large_catalogue_is_sampled_and_what_is_asked_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.language.pairs._CANDIDATES", 20)
    stopping, reported = log_of([1, 2], texts=1_000), log_of([500, 900], texts=1_000)
    pairs = NextText.of(stopping, reported, np.random.default_rng(0))
    assert len(pairs.candidates) == 20
    assert pairs.candidates[pairs.stopping[0]].tolist() == [1]
    assert pairs.candidates[pairs.reported[1]].tolist() == [900]
