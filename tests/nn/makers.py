"""Vectors and inputs for the tests of this room: rows of several lengths with moments, behaviour and questions."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor

from segue.nn.inputs import UNKNOWN_TIME, Inputs

SIZE, WIDTH, ROWS, ITEMS = 8, 7, 5, 30
LENGTHS = torch.tensor([7, 1, 4, 6, 2])


def vectors(seed: int = 1, width: int = WIDTH) -> Tensor:
    """(rows, width, d)."""
    return torch.randn(ROWS, width, SIZE, generator=torch.Generator().manual_seed(seed))


def asked_of(seed: int = 0, width: int = WIDTH, lengths: Tensor = LENGTHS) -> Inputs:
    """Every column filled, also beyond the length of a row; some moments are not known."""
    dice = torch.Generator().manual_seed(seed)

    def whole(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (len(lengths), width), generator=dice)

    times = 1_600_000_000 + whole(1, 400_000).cumsum(1)
    asked = torch.cat([times[:, 1:], times[:, -1:] + 3_600], dim=1)
    asked[1, 0] = UNKNOWN_TIME
    times[4, 0] = UNKNOWN_TIME
    values = whole(0, 6).float()
    values[2, 1] = float("nan")
    return Inputs(
        items=whole(1, ITEMS),
        lengths=lengths,
        times=times,
        asked=asked,
        calendar=whole(0, 2_017),
        actions=whole(0, 3),
        wanted=whole(0, 3),
        values=values,
    )


def mixed(first: Inputs, second: Inputs, place: int) -> Inputs:
    """Columns of the first before a place, of the second from there on."""
    columns: dict[str, Any] = {}
    for field in fields(Inputs):
        left, right = getattr(first, field.name), getattr(second, field.name)
        if left is not None and field.name != "lengths":
            columns[field.name] = torch.cat([left[:, :place], right[:, place:]], dim=1)
    return replace(first, **columns)


def of_row(inputs: Inputs, row: int) -> Inputs:
    """One row without its padding."""
    length = int(inputs.lengths[row])
    columns: dict[str, Any] = {"lengths": inputs.lengths[row : row + 1]}
    for field in fields(Inputs):
        column = getattr(inputs, field.name)
        if column is not None and field.name != "lengths":
            columns[field.name] = column[row : row + 1, :length]
    return Inputs(**columns)


def without_time(inputs: Inputs) -> Inputs:
    return replace(inputs, times=None, asked=None, calendar=None)
