"""Time as an input: gaps, the moment of the request, calendar cycles and sessions, and a bias in attention.

Gaps fall into buckets of equal width in the logarithm, two to an octave, from a second to a century, so that minutes
tell a session and years tell a stranger with one small table. A moment that is not known has a code of its own,
which training visits by forgetting some moments.
"""

from __future__ import annotations

import math
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
    seconds = seconds.clamp(min=0)
    if torch.onnx.is_in_onnx_export():
        return _exact_bucket(seconds)
    return (2 * torch.log2(1 + seconds.float())).to(torch.int64).clamp_(max=BUCKETS - 1)


def _exact_bucket(seconds: Tensor) -> Tensor:
    """As :func:`log_bucket`, whatever the last bits of a logarithm are: ONNX has the natural one alone.

    A rounded logarithm is wrong by one bucket at most, which the whole seconds where buckets begin tell.
    """
    near = (torch.log(1 + seconds.float()) * (2 / math.log(2))).to(torch.int64).clamp(max=BUCKETS - 1)
    begins = torch.tensor(_BEGINS, device=seconds.device)
    return near + (seconds >= begins[near + 1]).to(torch.int64) - (seconds < begins[near]).to(torch.int64)


def _first_second(bucket: int) -> int:
    """The shortest span of a bucket, in whole seconds."""
    low, high = 0, 1 << 40
    while low < high:
        middle = (low + high) // 2
        if int(log_bucket(torch.tensor(middle))) < bucket:
            low = middle + 1
        else:
            high = middle
    return low


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
    if inputs.times is None:
        return torch.zeros_like(inputs.items)
    earlier, later = inputs.times[:, :-1], inputs.times[:, 1:]
    known = (earlier != UNKNOWN_TIME) & (later != UNKNOWN_TIME)
    codes = (log_bucket(later - earlier) + 1) * known
    return torch.cat([torch.zeros_like(inputs.items[:, :1]), codes], dim=1)


def _span_codes(times: Tensor | None, asked: Tensor | None, like: Tensor) -> Tensor:
    if times is None or asked is None:
        return torch.zeros(like.shape[:2], dtype=torch.int64, device=like.device)
    known = (times != UNKNOWN_TIME) & (asked != UNKNOWN_TIME)
    return (log_bucket(asked - times) + 1) * known


def _places(gap_codes: Tensor) -> Tensor:
    """How many events of its session come before each event, from 1; 0 where gaps are not known."""
    index = torch.arange(gap_codes.shape[1], device=gap_codes.device).expand_as(gap_codes)
    starts = torch.where((gap_codes > _SESSION_CODE) | (index == 0), index, 0)
    if torch.onnx.is_in_onnx_export():  # which has no running maximum; all of a row at once is the same
        starts = (starts[:, None] * (index[:, None] <= index[..., None])).amax(2)
    else:
        starts = starts.cummax(1).values
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
        if not torch.is_grad_enabled():
            return _table_bias(self.table, buckets)
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


def _table_bias(table: Tensor, buckets: Tensor) -> Tensor:
    flat = table.index_select(1, buckets.reshape(-1))
    return flat.view(table.shape[0], *buckets.shape).transpose(0, 1)


class _TableBias(torch.autograd.Function):
    """Rows of a small table by index; its gradient is a count, far cheaper than a scatter of rows."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, buckets: Tensor) -> Tensor:
        ctx.save_for_backward(buckets)
        ctx.columns = table.shape[1]
        return _table_bias(table, buckets)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None]:
        (buckets,) = ctx.saved_tensors
        flat = buckets.reshape(-1)
        counts = [torch.bincount(flat, head.reshape(-1), ctx.columns) for head in upstream.transpose(0, 1)]
        return torch.stack(counts).to(upstream.dtype), None


_SESSION_CODE = int(log_bucket(torch.tensor(SESSION_SECONDS))) + 1
"""A gap of a larger code ends a session."""
_BEGINS = [_first_second(bucket) for bucket in range(BUCKETS)] + [torch.iinfo(torch.int64).max]
"""Where each bucket begins, and the end of the last."""
