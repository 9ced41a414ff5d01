from __future__ import annotations

import math

import numpy as np
import pytest

from segue.numeric import as_python, share_of


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (np.int64(3), 3),
        (np.uint8(3), 3),
        (np.float32(0.1), 0.1),
        (np.float64(0.1), 0.1),
        (np.bool_(True), True),
        (np.array(7), 7),
        (np.array([1, 2]), [1, 2]),
        (np.array([0.1], dtype=np.float32), [0.1]),
        ("text", "text"),
        (None, None),
    ],
)
def test_a_numpy_number_is_the_python_number_it_prints_as(value: object, plain: object) -> None:
    assert as_python(value) == plain
    assert type(as_python(value)) is type(plain)


def test_shares_written_as_decimals_and_as_quotients_are_whole_where_they_should_be() -> None:
    for count in (7, 10, 30, 100, 1_000):
        for number in range(1, count):
            assert share_of(number / count, count) == number
            assert share_of(1 - number / count, count) == count - number
    assert share_of(np.float32(0.1), 30) == 3
    assert share_of(0.1 + 0.2, 10) == 3
    assert math.ceil(share_of(0.55, 101)) == 56
    assert math.floor(share_of(0.55, 101)) == 55
