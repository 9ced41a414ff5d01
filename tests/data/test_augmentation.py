"""Augmentation: columns stay with their events, the clock goes on, and only what happened is a target."""

from __future__ import annotations

from collections import Counter
from dataclasses import fields, replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.augmentation import Augmenter, Similar, Tool
from segue.data.batches import Batch, TrainingWindows
from segue.data.histories import Histories

TOOLS = get_args(Tool)
MAX_LENGTH = 12
INVENTED = 10_000  # added to an item to make its similar one, so that what was put in can be told
lengths_of = st.lists(st.integers(0, 30), min_size=1, max_size=8).filter(lambda each: max(each) > 1)


class Told(Similar):
    """Similar items that say whose they are."""

    def __init__(self) -> None:
        super().__init__(np.zeros((0, 0)))

    def draw(self, items: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.where(items > 0, items + INVENTED, 0)


def batches(lengths: list[int], clock: bool = True) -> list[Batch]:
    """Of histories whose items count 1, 2, 3, ... and whose other columns follow from the item."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    items = np.arange(1, offsets[-1] + 1)
    columns: dict[str, Any] = {"timestamps": items * 7_200_000_000} if clock else {}
    histories = Histories(offsets, items, actions=items % 5 + 1, values=items.astype(np.float32), **columns)
    return list(TrainingWindows(histories, MAX_LENGTH, 100).epoch(0, 0))


def augmented(batch: Batch, *tools: Tool, seed: int = 0, share: float = 1.0) -> Batch:
    return Augmenter(tools, share, MAX_LENGTH, Told())(batch, np.random.default_rng(seed))


def sequences(batch: Batch) -> list[list[int]]:
    """Inputs of each row and its last target."""
    last = batch.targets[np.arange(len(batch.lengths)), batch.lengths - 1]
    return [[*row[:n].tolist(), int(end)] for row, n, end in zip(batch.inputs, batch.lengths, last, strict=True)]


def learnt(batch: Batch) -> list[int]:
    return sorted(batch.targets[batch.targets > 0].tolist())


def equal(left: Batch, right: Batch) -> bool:
    return all(
        np.array_equal(getattr(left, each.name), getattr(right, each.name), equal_nan=each.name == "values")
        for each in fields(Batch)
    )


@given(lengths_of, st.sampled_from(TOOLS), st.integers(0, 5))
def test_columns_stay_with_their_events(lengths: list[int], tool: Tool, seed: int) -> None:
    for batch in batches(lengths):
        new = augmented(batch, tool, seed=seed)
        inside = np.arange(new.inputs.shape[1]) < new.lengths[:, None]
        for each in fields(Batch):
            column = getattr(new, each.name)
            if getattr(batch, each.name) is None:
                assert column is None
                continue
            assert column.shape == (new.lengths.shape if each.name in ("lengths", "rows") else new.inputs.shape), (
                each.name
            )
            assert column.dtype == getattr(batch, each.name).dtype, each.name
        assert ((new.inputs > 0) == inside).all()
        assert new.inputs.shape[1] == new.lengths.max() <= MAX_LENGTH
        item = new.inputs % INVENTED
        # What is put in carries the action and value of the event before it.
        assert (new.actions[inside] == item[inside] % 5 + 1).all()
        value = new.values
        known = inside & ~np.isnan(value)
        assert (value[known] == item[known]).all()
        at_target = new.targets > 0
        assert (new.wanted[at_target] == new.targets[at_target] % 5 + 1).all()
        assert not new.times[~inside].any()
        assert np.isnan(value[~inside]).all()


@given(lengths_of, st.sampled_from(TOOLS), st.integers(0, 5))
def test_what_a_target_counts_for_moves_with_it(lengths: list[int], tool: Tool, seed: int) -> None:
    for batch in batches(lengths):
        weighed = replace(batch, weights=np.where(batch.targets > 0, batch.targets % 3, 0).astype(np.float32))
        new = augmented(weighed, tool, seed=seed)
        assert new.weights is not None
        counted = new.targets > 0
        assert (new.weights[counted] == new.targets[counted] % 3).all()
        assert (new.weights[counted] > 0).all(), "what counts for nothing is not learnt"


@given(lengths_of, st.sampled_from(TOOLS), st.integers(0, 5))
def test_the_clock_goes_on(lengths: list[int], tool: Tool, seed: int) -> None:
    for batch in batches(lengths):
        new = augmented(batch, tool, seed=seed)
        inside = np.arange(new.inputs.shape[1]) < new.lengths[:, None]
        assert (new.asked >= new.times)[inside].all()
        later = inside[:, 1:]
        assert (new.asked[:, :-1] == new.times[:, 1:])[later].all(), "each request is at the next event"


@given(lengths_of, st.sampled_from(TOOLS), st.integers(0, 5))
def test_only_what_happened_and_was_to_be_learnt_is_a_target(lengths: list[int], tool: Tool, seed: int) -> None:
    for batch in batches(lengths):
        new = augmented(batch, tool, seed=seed)
        assert (new.targets < INVENTED).all()
        assert ((new.targets > 0).any(1)).all(), "a row always has something to learn"
        if tool in ("reverse", "mirror"):
            oldest = batch.inputs[batch.targets[:, 0] > 0, 0].tolist()
            assert set(learnt(new)) <= {*learnt(batch), *oldest}
        else:
            assert Counter(learnt(new)) <= Counter(learnt(batch)), "what overlaps is still learnt in one window"
        if tool in ("substitute", "insert"):
            assert learnt(new) == learnt(batch)


def one(tool: Tool, length: int = 8, seed: int = 0) -> tuple[list[int], Batch]:
    (batch,) = batches([length])
    new = augmented(batch, tool, seed=seed)
    return sequences(new)[0], new


def test_a_crop_is_a_contiguous_part() -> None:
    starts = set()
    for seed in range(20):
        part, _ = one("crop", 10, seed)
        assert part == list(range(part[0], part[0] + 6))
        starts.add(part[0])
    assert starts == {1, 2, 3, 4, 5}


def test_a_mask_leaves_events_out_and_keeps_the_order_of_the_others() -> None:
    left, new = one("mask", 10)
    assert left == sorted(set(left))
    assert len(left) == 7
    assert new.targets[0, :6].tolist() == left[1:], "the target is the next event that is left"
    assert (new.times == new.inputs * 7_200).all(), "an event leaves with its moment"


def test_a_reorder_shuffles_one_part_and_learns_nothing_in_it() -> None:
    shuffled = 0
    for seed in range(20):
        row, new = one("reorder", 10, seed)
        assert sorted(row) == list(range(1, 11))
        moved = [place for place, item in enumerate(row) if item != place + 1]
        shuffled += bool(moved)
        if moved:
            assert moved[-1] - moved[0] < 3
            assert moved[-1] < 9, "the newest event stays the newest"
            assert not new.targets[0, [place - 1 for place in moved if place]].any()
        assert new.times[0].tolist() == [7_200 * place for place in range(1, 10)]
    assert shuffled > 10


def test_reverse_reads_and_learns_backwards_in_forward_time() -> None:
    row, new = one("reverse", 5)
    assert row == [5, 4, 3, 2, 1]
    assert new.targets.tolist() == [[4, 3, 2, 1]]
    assert new.times.tolist() == [[7_200, 14_400, 21_600, 28_800]]
    assert np.isnan(new.values[0, 0]), "the value of the newest event is not in the batch"


def test_mirror_goes_there_and_back_as_far_as_there_is_room() -> None:
    row, new = one("mirror", 4)
    assert row == [1, 2, 3, 4, 3, 2, 1]
    assert new.times.tolist() == [[7_200 * place for place in range(1, 7)]]
    assert (new.calendar[0, 3:] == 0).all(), "the calendar of moments that never were is not known"
    assert one("mirror", 10)[0] == [*range(1, 11), 9, 8, 7]
    assert one("mirror", MAX_LENGTH + 1)[0] == list(range(1, MAX_LENGTH + 2))


def test_a_substitute_is_read_and_what_happened_is_learnt() -> None:
    (batch,) = batches([12])
    read = [augmented(batch, "substitute", seed=seed) for seed in range(20)]
    assert all((new.inputs % INVENTED == batch.inputs).all() for new in read)
    assert all((new.targets == batch.targets).all() for new in read)
    replaced = np.mean([(new.inputs > INVENTED).mean() for new in read])
    assert 0.1 < replaced < 0.3


def test_an_inserted_item_follows_its_like_and_comes_before_what_really_happened_next() -> None:
    for seed in range(10):
        (batch,) = batches([9])
        new = augmented(batch, "insert", seed=seed)
        row = new.inputs[0].tolist()
        for place, item in enumerate(row):
            if item > INVENTED:
                assert item == row[place - 1] + INVENTED
                assert new.targets[0, place] == row[place - 1] + 1
                assert new.targets[0, place - 1] == 0
                assert new.times[0, place] == new.times[0, place - 1]
        assert [item for item in row if item < INVENTED] == list(range(1, 9))


def test_rows_that_are_not_chosen_stay_as_they_were() -> None:
    for batch in batches([5, 30, 2, 9]):
        assert equal(augmented(batch, *TOOLS, share=1e-12), batch)


def test_a_share_of_the_rows_is_changed() -> None:
    (batch,) = TrainingWindows(Histories(np.arange(0, 4_001, 4), np.tile([1, 2, 3, 4], 1_000)), 8, 4_000).epoch(0, 0)
    new = augmented(batch, "reverse", share=0.3)
    assert 0.25 < (new.inputs[:, 0] == 4).mean() < 0.35


def test_two_events_are_few_enough_for_every_tool() -> None:
    for tool in TOOLS:
        for batch in batches([2, 2, 3]):
            new = augmented(batch, tool)
            assert (new.lengths >= 1).all()
            assert (new.targets > 0).any(1).all()


def test_the_generator_decides() -> None:
    batch = batches([20, 9, 30, 4])[0]
    assert equal(augmented(batch, *TOOLS, seed=3), augmented(batch, *TOOLS, seed=3))
    assert not all(equal(augmented(batch, *TOOLS, seed=3), augmented(batch, *TOOLS, seed=seed)) for seed in range(5))


@pytest.mark.parametrize("tool", TOOLS)
def test_a_log_with_items_alone_is_augmented_too(tool: Tool) -> None:
    offsets = np.array([0, 9, 14])
    for batch in TrainingWindows(Histories(offsets, np.arange(1, 15)), MAX_LENGTH, 100).epoch(0, 0):
        new = augmented(batch, tool)
        assert new.times is new.asked is new.actions is new.values is None


# -- similar items -----------------------------------------------------------------------------------------------


def test_similar_items_are_neighbours_in_training_the_nearest_first() -> None:
    rows = [[1, 2, 1, 2, 3], [4, 5], [3, 4]]
    histories = Histories(np.cumsum([0, *map(len, rows)]), np.concatenate(rows))
    similar = Similar.of(histories, 6, k=2)
    assert similar.codes[1].tolist() == [2, 0]
    assert similar.codes[2].tolist() == [1, 3]
    assert similar.codes[4].tolist() == [5, 3], "across the end of a history nothing is near"
    assert not similar.codes[[0, 6]].any()
    drawn = similar.draw(np.full(1_000, 2), np.random.default_rng(0))
    assert set(drawn.tolist()) == {1, 3}
    assert not similar.draw(np.array([0, 6]), np.random.default_rng(0)).any()


def test_counting_similar_items_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.data.augmentation._PAIRS", 10)
    histories = Histories(np.array([0, 101]), np.tile([1, 2, 3], 34)[:101])
    codes = Similar.of(histories, 3).codes
    assert codes.any()


@pytest.mark.parametrize("lengths", [[0], [1], [1, 0, 1]])
def test_a_log_without_neighbours_has_no_similar_items(lengths: list[int]) -> None:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    assert not Similar.of(Histories(offsets, np.ones(offsets[-1], dtype=np.int64)), 2).codes.any()
