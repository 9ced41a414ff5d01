"""Training windows: every event but the first of a history learnt exactly once, from what came right before it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.batches import Batch, TrainingWindows, inference_batches
from segue.data.calendar import calendar_codes
from segue.data.histories import UNKNOWN_TIME, Histories

lengths_of = st.lists(st.integers(0, 40), max_size=12)


def numbered(lengths: list[int]) -> Histories:
    """Histories whose items are 1, 2, 3, ... through all of them, so that an item says where it stood."""
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Histories(offsets, np.arange(1, offsets[-1] + 1))


def targets_of(histories: Histories) -> list[int]:
    return [int(item) for row in range(len(histories)) for item in histories.row(row)[1:]]


def learnt(batches: list[Batch]) -> list[int]:
    return sorted(int(target) for batch in batches for target in batch.targets[batch.targets > 0])


@given(lengths_of, st.integers(1, 20), st.integers(1, 100), st.integers(0, 3))
def test_every_event_but_the_first_is_a_target_exactly_once(
    lengths: list[int], max_length: int, tokens: int, epoch: int
) -> None:
    histories = numbered(lengths)
    windows = TrainingWindows(histories, max_length, tokens)
    batches = list(windows.epoch(seed=1, epoch=epoch))
    assert learnt(batches) == targets_of(histories)
    assert windows.targets == len(targets_of(histories))
    assert windows.batches_per_epoch == len(batches)


def test_windows_that_do_not_overlap_rightly_would_be_seen() -> None:
    histories = numbered([30])
    windows = TrainingWindows(histories, 8, 100)
    windows.firsts = windows.starts  # the twin: every window learns all of its targets
    assert learnt(list(windows.epoch(1, 0))) != targets_of(histories)
    windows.firsts = windows.ends - 3  # and one that learns too few
    assert learnt(list(windows.epoch(1, 0))) != targets_of(histories)


@given(lengths_of, st.integers(1, 20), st.integers(1, 100))
def test_a_target_follows_its_input_in_the_same_history(lengths: list[int], max_length: int, tokens: int) -> None:
    histories = numbered(lengths)
    owner = np.concatenate([[-1], histories.rows()])
    for batch in TrainingWindows(histories, max_length, tokens).epoch(0, 0):
        assert batch.inputs.shape == batch.targets.shape
        assert batch.inputs.shape[1] == batch.lengths.max() <= max_length
        learning = batch.targets > 0
        assert (batch.targets[learning] == batch.inputs[learning] + 1).all()
        assert (owner[batch.targets[learning]] == owner[batch.inputs[learning]]).all()
        inside = np.arange(batch.inputs.shape[1]) < batch.lengths[:, None]
        assert ((batch.inputs > 0) == inside).all()
        steps = np.diff(batch.inputs, axis=1)[inside[:, 1:]]
        assert (steps == 1).all()


@given(st.integers(2, 200), st.integers(1, 20))
def test_no_target_has_less_than_half_a_window_before_it_unless_the_history_begins(
    length: int, max_length: int
) -> None:
    for batch in TrainingWindows(numbered([length]), max_length, 1_000).epoch(0, 0):
        rows, places = np.nonzero(batch.targets)
        available = batch.inputs[rows, places]  # items are numbered from the beginning of the history
        assert (places + 1 >= np.minimum(available, (max_length + 1) // 2)).all()


@given(lengths_of, st.integers(1, 20), st.integers(1, 100))
def test_a_batch_stays_about_within_its_token_budget(lengths: list[int], max_length: int, tokens: int) -> None:
    for batch in TrainingWindows(numbered(lengths), max_length, tokens).epoch(0, 0):
        rows, width = batch.inputs.shape
        assert rows == 1 or rows * width <= tokens * 1.5 + max_length + rows


def test_a_batch_can_be_picked_up_anywhere() -> None:
    windows = TrainingWindows(numbered([7, 30, 2, 12, 5] * 6), 8, 64)
    whole = list(windows.epoch(seed=4, epoch=2))
    for skip in (0, 1, len(whole) - 1, len(whole)):
        rest = list(windows.epoch(seed=4, epoch=2, skip=skip))
        assert len(rest) == len(whole) - skip
        for left, right in zip(whole[skip:], rest, strict=True):
            assert np.array_equal(left.inputs, right.inputs)
            assert np.array_equal(left.targets, right.targets)


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    windows = TrainingWindows(numbered([7, 30, 2, 12, 5] * 6), 8, 64)

    def picture(seed: int, epoch: int) -> bytes:
        return b"".join(batch.inputs.tobytes() for batch in windows.epoch(seed, epoch))

    np.random.seed(1)
    first = picture(0, 0)
    np.random.seed(2)
    assert picture(0, 0) == first
    assert len({first, picture(0, 1), picture(1, 0)}) == 3


@pytest.mark.parametrize("lengths", [[], [0], [1], [1, 0, 1]])
def test_histories_with_nothing_to_learn_give_no_batches(lengths: list[int]) -> None:
    windows = TrainingWindows(numbered(lengths), 8, 64)
    assert (windows.targets, windows.batches_per_epoch, list(windows.epoch(0, 0))) == (0, 0, [])


@given(lengths_of, st.integers(1, 20), st.integers(1, 100))
def test_every_history_with_events_is_asked_once_with_its_newest(
    lengths: list[int], max_length: int, tokens: int
) -> None:
    histories = numbered(lengths)
    asked = []
    for rows, batch in inference_batches(histories, max_length, tokens):
        assert len(rows) == 1 or batch.inputs.size <= tokens
        for row, items, length in zip(rows, batch.inputs, batch.lengths, strict=True):
            assert items[:length].tolist() == histories.row(row)[-max_length:].tolist()
            assert not items[length:].any()
            asked.append(int(row))
    assert sorted(asked) == [row for row, length in enumerate(lengths) if length]


SECOND = 1_000_000


def with_columns(lengths: list[int]) -> Histories:
    """As ``numbered``; event n happens n hours after 2020 began, with action n % 3 and value n."""
    histories = numbered(lengths)
    items = histories.items
    return Histories(
        histories.offsets,
        items,
        timestamps=(1_577_836_800 + 3_600 * items) * SECOND,
        actions=items % 3,
        values=items.astype(np.float32),
    )


def hour_of(items: np.ndarray) -> np.ndarray:
    return 1_577_836_800 + 3_600 * items


@given(lengths_of, st.integers(1, 20), st.integers(1, 100))
def test_a_training_position_is_asked_about_the_event_that_follows_it(
    lengths: list[int], max_length: int, tokens: int
) -> None:
    for batch in TrainingWindows(with_columns(lengths), max_length, tokens).epoch(0, 0):
        inside = batch.inputs > 0
        event, following = batch.inputs[inside], batch.inputs[inside] + 1
        assert batch.times is not None
        assert batch.asked is not None
        assert batch.calendar is not None
        assert batch.actions is not None
        assert batch.wanted is not None
        assert batch.values is not None
        assert (batch.times[inside] == hour_of(event)).all()
        assert (batch.asked[inside] == hour_of(following)).all()
        assert (batch.calendar[inside] == calendar_codes(hour_of(following) * SECOND)).all()
        assert (batch.actions[inside] == event % 3).all()
        assert (batch.wanted[inside] == following % 3).all()
        assert (batch.values[inside] == event).all()
        assert batch.values.dtype == np.float32
        for column in (batch.times, batch.asked, batch.calendar, batch.actions, batch.wanted):
            assert not column[~inside].any()
        assert np.isnan(batch.values[~inside]).all()


def test_the_newest_event_is_asked_about_what_its_row_asks() -> None:
    histories = with_columns([3, 0, 2, 1])
    moment = 1_600_000_000
    at = np.array([moment, 5, UNKNOWN_TIME, moment + 60])
    at[at > 5] *= SECOND
    wanted = np.array([2, 0, 1, 0])
    asked = Histories(**{**vars(histories), "at": at, "wanted": wanted})
    for rows, batch in inference_batches(asked, 2, 100):
        assert batch.asked is not None
        assert batch.wanted is not None
        assert batch.calendar is not None
        for place, row in enumerate(rows):
            length, items = batch.lengths[place], histories.row(row)[-2:]
            newest = UNKNOWN_TIME if at[row] == UNKNOWN_TIME else at[row] // SECOND
            assert batch.asked[place, :length].tolist() == [*hour_of(items[1:]), newest]
            assert batch.wanted[place, :length].tolist() == [*(items[1:] % 3), wanted[row]]
            code = 0 if at[row] == UNKNOWN_TIME else calendar_codes(at[row : row + 1])[0]
            assert batch.calendar[place, length - 1] == code


def test_a_question_that_says_nothing_is_about_an_unknown_moment_and_any_action() -> None:
    for _, batch in inference_batches(with_columns([3, 1]), 5, 100):
        assert batch.asked is not None
        assert batch.wanted is not None
        newest = np.arange(len(batch.lengths)), batch.lengths - 1
        assert (batch.asked[newest] == UNKNOWN_TIME).all()
        assert not batch.wanted[newest].any()


def test_a_moment_that_is_not_known_stays_unknown_in_seconds() -> None:
    histories = with_columns([3])
    assert histories.timestamps is not None
    histories.timestamps[1] = UNKNOWN_TIME
    ((_, batch),) = inference_batches(histories, 5, 100)
    assert batch.times is not None
    assert batch.asked is not None
    assert batch.calendar is not None
    assert batch.times[0, 1] == batch.asked[0, 0] == UNKNOWN_TIME
    assert batch.calendar[0, 0] == 0


def test_the_calendar_is_that_of_the_time_zone() -> None:
    def calendars(zone: str) -> list[int]:
        windows = TrainingWindows(with_columns([4]), 5, 100, zone)
        (batch,) = windows.epoch(0, 0)
        assert batch.calendar is not None
        return batch.calendar[0].tolist()

    moments = hour_of(np.array([2, 3, 4])) * SECOND
    assert calendars("Asia/Tokyo") == calendar_codes(moments, "Asia/Tokyo").tolist() != calendars("UTC")


def test_columns_that_a_log_lacks_are_absent() -> None:
    (batch,) = TrainingWindows(numbered([4]), 5, 100).epoch(0, 0)
    lacking = [batch.times, batch.asked, batch.calendar, batch.actions, batch.wanted, batch.values]
    assert lacking == [None] * 6


def test_events_of_weight_zero_are_inputs_alone() -> None:
    histories = numbered([5])
    weights = np.array([1, 0, 2, 0, 1], dtype=np.float32)
    windows = TrainingWindows(histories, 10, 100, weights=weights)
    (batch,) = windows.epoch(seed=0, epoch=0)
    assert batch.inputs.tolist() == [[1, 2, 3, 4]]
    assert batch.targets.tolist() == [[0, 3, 0, 5]]
    assert batch.weights is not None
    assert batch.weights.tolist() == [[0, 2, 0, 1]]
    assert windows.targets == 2


@given(lengths_of, st.integers(1, 20), st.integers(0, 9))
def test_with_weights_every_event_that_counts_is_a_target_exactly_once(
    lengths: list[int], max_length: int, seed: int
) -> None:
    histories = numbered(lengths)
    weights = (np.random.default_rng(seed).random(sum(lengths)) < 0.2).astype(np.float32)
    windows = TrainingWindows(histories, max_length, 60, weights=weights)
    batches = list(windows.epoch(seed=1, epoch=0))
    assert learnt(batches) == [item for item in targets_of(histories) if weights[item - 1]]
    assert windows.targets == len(learnt(batches))
    assert all((batch.targets > 0).any(1).all() for batch in batches)


def test_long_rows_are_asked_with_representatives_where_that_is_wanted() -> None:
    ((_, batch),) = inference_batches(numbered([40]), 8, 100, long_history="representatives")
    assert batch.inputs[0, -6:].tolist() == [35, 36, 37, 38, 39, 40]
    assert (batch.inputs[0, :2] < 35).all()
