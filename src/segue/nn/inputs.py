"""What a sequence model reads, as tensors: items and, where the log has them, moments and behaviour."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

UNKNOWN_TIME = torch.iinfo(torch.int64).min
"""Stands where a moment is not known."""


@dataclass(frozen=True)
class Inputs:
    """Padded rows, (rows, width) each but for ``lengths``; the columns of ``segue.data.batches.Batch``.

    Attributes:
        items: codes, 0 for padding (on the right).
        lengths: (rows,) events per row.
        times: seconds since 1970 of each event.
        asked: of the request that follows each event.
        calendar: code of the month, weekday and hour of ``asked``.
        actions, wanted: code of the action of each event, and of the one that is asked for.
        values: float, NaN where there is none.
    """

    items: Tensor
    lengths: Tensor
    times: Tensor | None = None
    asked: Tensor | None = None
    calendar: Tensor | None = None
    actions: Tensor | None = None
    wanted: Tensor | None = None
    values: Tensor | None = None

    @classmethod
    def of(cls, batch: Any, device: torch.device | str = "cpu") -> Inputs:
        """From a batch of numpy arrays."""
        columns: dict[str, Any] = {field.name: getattr(batch, field.name, None) for field in fields(cls)}
        columns["items"] = batch.inputs
        for name, array in columns.items():
            columns[name] = None if array is None else torch.from_numpy(array).to(device)
        return cls(**columns)

    def replaced(self, **columns: Tensor | None) -> Inputs:
        """The same with other columns."""
        return replace(self, **columns)  # type: ignore[arg-type]
