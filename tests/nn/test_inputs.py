from __future__ import annotations

import numpy as np
import torch

from segue.data.batches import inference_batches
from segue.data.histories import UNKNOWN_TIME as KNOWN_TO_THE_BATCHES
from segue.data.histories import Histories
from segue.nn.inputs import UNKNOWN_TIME, Inputs


def histories(**columns: np.ndarray) -> Histories:
    return Histories(np.array([0, 2, 3]), np.array([4, 5, 6]), **columns)


def test_the_columns_of_a_batch_become_tensors_under_their_names() -> None:
    full = histories(
        timestamps=np.array([1, 2, 3]) * 1_000_000,
        actions=np.array([1, 0, 2]),
        values=np.array([0.5, np.nan, 2], dtype=np.float32),
    )
    (_, batch), *_ = inference_batches(full, 10, 100)
    inputs = Inputs.of(batch)
    assert torch.equal(inputs.items, torch.from_numpy(batch.inputs))
    for name in ("lengths", "times", "asked", "calendar", "actions", "wanted", "values"):
        np.testing.assert_array_equal(getattr(inputs, name).numpy(), getattr(batch, name))


def test_what_a_log_lacks_stays_absent() -> None:
    (_, batch), *_ = inference_batches(histories(), 10, 100)
    inputs = Inputs.of(batch)
    lacking = [inputs.times, inputs.asked, inputs.calendar, inputs.actions, inputs.wanted, inputs.values]
    assert lacking == [None] * 6


def test_unknown_moments_are_written_alike_in_numpy_and_torch() -> None:
    assert UNKNOWN_TIME == KNOWN_TO_THE_BATCHES


def test_a_replaced_column_leaves_the_others_and_the_original() -> None:
    inputs = Inputs(torch.ones(1, 2, dtype=torch.int64), torch.tensor([2]))
    moved = inputs.replaced(times=torch.zeros(1, 2, dtype=torch.int64))
    assert inputs.times is None
    assert moved.times is not None
    assert moved.items is inputs.items
