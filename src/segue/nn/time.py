"""Time as an input: gaps, the moment of the request, calendar cycles and sessions, and a bias in attention.

Gaps fall into buckets of equal width in the logarithm, two to an octave, from a second to a century, so that minutes
tell a session and years tell a stranger with one small table. A moment that is not known has a code of its own,
which training visits by forgetting some moments.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from torch import Tensor, nn

from segue.nn.inputs import UNKNOWN_TIME, Inputs

BUCKETS = 64
SESSION_SECONDS = 30 * 60
_PLACES = 32  # places inside a session that are told apart


def log_bucket(seconds: Tensor) -> Tensor:
    """Bucket of a span (any shape, seconds), 0 to ``BUCKETS`` - 1; what runs backwards counts as no time."""
    return (2 * torch.log2(1 + seconds.clamp(min=0).float())).to(torch.int64).clamp_(max=BUCKETS - 1)


def forget_moments(inputs: Inputs, rate: float) -> Inputs:
    """Forget the moment of some requests, and of some rows every moment, so that not knowing them is learnt too."""
    if inputs.times is None or inputs.asked is None or rate == 0:
        return inputs
    rows, width = inputs.items.shape
    device = inputs.items.device
    all_of_row = torch.rand(rows, 1, device=device) < rate / 2
    request = (torch.rand(rows, width, device=device) < rate) | all_of_row
    calendar = inputs.calendar
    return inputs.replaced(
        times=inputs.times.masked_fill(all_of_row, UNKNOWN_TIME),
        asked=inputs.asked.masked_fill(request, UNKNOWN_TIME),
        calendar=None if calendar is None else calendar.masked_fill(request, 0),
    )


class MomentInputs(nn.Module):
    """Vectors added to the item vectors: what the clock says at each event and at the request after it.

    Args:
        size: d.
        parts: any of ``"gaps"`` (since the event before), ``"request"`` (from the event to the request), ``"calendar"``
            (hour, weekday and month of the request) and ``"sessions"`` (place in a session; one ends after 30 minutes).
    """

    def __init__(self, size: int, parts: Collection[str]) -> None:
        super().__init__()
        self.gap = nn.Embedding(BUCKETS + 1, size) if "gaps" in parts else None
        self.request = nn.Embedding(BUCKETS + 1, size) if "request" in parts else None
        self.place = nn.Embedding(_PLACES + 1, size) if "sessions" in parts else None
        cycles = "calendar" in parts
        self.hour = nn.Embedding(24 + 1, size) if cycles else None
        self.weekday = nn.Embedding(7 + 1, size) if cycles else None
        self.month = nn.Embedding(12 + 1, size) if cycles else None

    def forward(self, x: Tensor, inputs: Inputs) -> Tensor:
        """(rows, width, d) to the same."""
        if self.gap is not None or self.place is not None:
            before = _gap_codes(inputs)
            if self.gap is not None:
                x = x + self.gap(before)
            if self.place is not None:
                x = x + self.place(_places(before))
        if self.request is not None:
            x = x + self.request(_span_codes(inputs.times, inputs.asked, x))
        if self.hour is not None and self.weekday is not None and self.month is not None:
            code = torch.zeros_like(inputs.items) if inputs.calendar is None else inputs.calendar.long()
            known, code = code > 0, (code - 1).clamp(min=0)
            for table, cycle in ((self.hour, code % 24), (self.weekday, code // 24 % 7), (self.month, code // 168)):
                x = x + table((cycle + 1) * known)
        return x


def _gap_codes(inputs: Inputs) -> Tensor:
    """0 for the first event of a row and where moments are not known."""
    codes = torch.zeros_like(inputs.items)
    if inputs.times is not None:
        earlier, later = inputs.times[:, :-1], inputs.times[:, 1:]
        known = (earlier != UNKNOWN_TIME) & (later != UNKNOWN_TIME)
        codes[:, 1:] = (log_bucket(later - earlier) + 1) * known
    return codes


def _span_codes(times: Tensor | None, asked: Tensor | None, like: Tensor) -> Tensor:
    if times is None or asked is None:
        return torch.zeros(like.shape[:2], dtype=torch.int64, device=like.device)
    known = (times != UNKNOWN_TIME) & (asked != UNKNOWN_TIME)
    return (log_bucket(asked - times) + 1) * known


def _places(gap_codes: Tensor) -> Tensor:
    """How many events of its session come before each event, from 1; 0 where gaps are not known."""
    boundary = int(log_bucket(torch.tensor(SESSION_SECONDS))) + 1
    index = torch.arange(gap_codes.shape[1], device=gap_codes.device).expand_as(gap_codes)
    starts = torch.where((gap_codes > boundary) | (index == 0), index, 0).cummax(1).values
    place = (index - starts + 1).clamp(max=_PLACES)
    return place * ((gap_codes > 0) | (index == starts))


class RelativeTime(nn.Module):
    """A learned bias on attention by the time from each event seen to the request that is answered.

    After the relative attention bias of HSTU (Zhai et al., "Actions Speak Louder than Words", 2024, sec. 3.2). Where
    the moment of the request is not known, or not to be used, time is counted to the newest event in view.
    """

    def __init__(self, heads: int, both_ways: bool = False) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.zeros(heads, (2 if both_ways else 1) * BUCKETS + 1))

    def forward(self, buckets: Tensor) -> Tensor:
        """(rows, queries, keys) of :func:`time_buckets` to (rows, heads, queries, keys)."""
        bias: Tensor = _TableBias.apply(self.table, buckets)  # type: ignore[no-untyped-call]
        return bias


def time_buckets(inputs: Inputs, request: bool, only: Tensor | None = None, both_ways: bool = False) -> Tensor:
    """(rows, width, width) bucket from each key's event to each query's moment; 0 where one is not known.

    Args:
        request: count to the request after the query's event, where that is known.
        only: (rows,) one query position per row; then (rows, 1, width).
        both_ways: tell events after the moment by the time until them, in buckets of their own.
    """
    rows, width = inputs.items.shape
    if inputs.times is None:
        return torch.zeros(rows, width if only is None else 1, width, dtype=torch.int64, device=inputs.items.device)
    moments = inputs.times
    if request and inputs.asked is not None:
        moments = torch.where(inputs.asked != UNKNOWN_TIME, inputs.asked, moments)
    if only is not None:
        moments = moments.gather(1, only[:, None])
    known = (moments != UNKNOWN_TIME)[:, :, None] & (inputs.times != UNKNOWN_TIME)[:, None, :]
    span = moments[:, :, None] - inputs.times[:, None, :]
    if both_ways:
        return (log_bucket(span.abs()) + 1 + BUCKETS * (span < 0)) * known
    return (log_bucket(span) + 1) * known


class _TableBias(torch.autograd.Function):
    """Rows of a small table by index; its gradient is a count, far cheaper than a scatter of rows."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, buckets: Tensor) -> Tensor:
        ctx.save_for_backward(buckets)
        ctx.columns = table.shape[1]
        flat = table.index_select(1, buckets.reshape(-1))
        return flat.view(len(table), *buckets.shape).transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (buckets,) = ctx.saved_tensors
        flat = buckets.reshape(-1)
        counts = [torch.bincount(flat, head.reshape(-1), ctx.columns) for head in upstream.transpose(0, 1)]
        return torch.stack(counts).to(upstream.dtype), None
