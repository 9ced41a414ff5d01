"""Dropout whose random numbers are cheap on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Module):
    """Dropout that draws one random byte per element, eight to a 64-bit draw.

    torch draws a number per element one after the other, which shows in the time of a step. The rate is rounded
    to 1/256 and the scale matches the rounded rate, so that the expectation is exact.
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.threshold = round(rate * 256)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.threshold == 0:
            return x
        draws = torch.empty((x.numel() + 7) // 8, dtype=torch.int64, device=x.device).random_(-(2**63), None)
        kept = draws.view(torch.uint8)[: x.numel()].view(x.shape) >= self.threshold
        return x * kept * (256 / (256 - self.threshold))

    def extra_repr(self) -> str:
        return f"rate={self.threshold / 256:g}"
