"""Batches for next-item training: windows of histories, bucketed by length, cut by a token budget.

Plain numpy. The batches of an epoch depend on the seed and the epoch alone, so that training can be picked up at
any batch. Negatives, losses and tensors are left to ``training``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from segue.data.calendar import calendar_codes
from segue.data.histories import UNKNOWN_TIME, Histories
from segue.data.long import LongHistory, shortened


@dataclass(frozen=True)
class Batch:
    """Padded rows of one batch, all of shape (rows, width) but for ``lengths`` and ``rows``.

    What a position is asked about is the event that follows it: when that is (``asked``), what kind of action it is
    (``wanted``), and in training which item (``targets``).

    Attributes:
        inputs: item codes, 0 where there is none (on the right).
        targets: the item that followed each input, 0 where nothing is to be learnt.
        lengths: (rows,) events per row.
        times, asked: seconds since 1970 of each event and of the request after it (``UNKNOWN_TIME`` where it is not
            known); None where the log has no clock.
        calendar: codes of ``data.calendar`` for ``asked``.
        actions, wanted: codes of the action of each event and of the one asked for (0: any); None without actions.
        values: float32, NaN where there is none; None where the log has none.
        weights: float32, what each target counts for in training; None where all count alike.
        rows: (rows,) the history that each row is a window of, in training.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray
    times: np.ndarray | None = None
    asked: np.ndarray | None = None
    calendar: np.ndarray | None = None
    actions: np.ndarray | None = None
    wanted: np.ndarray | None = None
    values: np.ndarray | None = None
    weights: np.ndarray | None = None
    rows: np.ndarray | None = None


class _Columns:
    """The columns of flat histories, ready to be gathered into batches."""

    def __init__(self, histories: Histories, time_zone: str) -> None:
        self.histories = histories
        self.wanted = histories.wanted if histories.wanted is not None else np.zeros(len(histories), dtype=np.int64)
        self.seconds = self.calendar = None
        if (stamps := histories.timestamps) is not None:
            at = histories.at if histories.at is not None else np.full(len(histories), UNKNOWN_TIME)
            self.seconds, self.at_seconds = _seconds(stamps), _seconds(at)
            codes = calendar_codes(np.concatenate([stamps, at]), time_zone)
            self.calendar, self.at_calendar = codes[: len(stamps)], codes[len(stamps) :]

    def gather(self, index: np.ndarray, inside: np.ndarray, newest: np.ndarray, rows: np.ndarray) -> dict[str, Any]:
        """Everything of a batch but inputs, targets and lengths.

        Args:
            index: (n, width) places in the flat arrays.
            inside: (n, width) whether there is an event.
            newest: (n, width) whether it is the newest of its history: what follows is the request itself.
            rows: (n,) row of the histories.
        """
        following = np.minimum(index + 1, max(len(self.histories.items) - 1, 0))
        found: dict[str, Any] = {}
        if self.seconds is not None and self.calendar is not None:
            found["times"] = np.where(inside, self.seconds[index], 0)
            found["asked"] = np.where(newest, self.at_seconds[rows, None], np.where(inside, self.seconds[following], 0))
            calendar = np.where(newest, self.at_calendar[rows, None], self.calendar[following])
            found["calendar"] = np.where(inside, calendar, 0)
        if (actions := self.histories.actions) is not None:
            found["actions"] = np.where(inside, actions[index], 0)
            wanted = np.where(newest, self.wanted[rows, None], actions[following])
            found["wanted"] = np.where(inside, wanted, 0)
        if (values := self.histories.values) is not None:
            found["values"] = np.where(inside, values[index], np.nan).astype(np.float32)
        return found


class TrainingWindows:
    """Every history cut into windows of at most ``max_length`` inputs.

    Each event but the first of a history is a target exactly once. In a history longer than one window, windows
    overlap by half, so that no target has less than half a window before it. A batch holds about ``tokens`` padded
    positions. With ``weights`` (one per event, as a target) events of weight 0 are inputs alone, and windows without
    a target are left out.
    """

    def __init__(
        self,
        histories: Histories,
        max_length: int,
        tokens: int,
        time_zone: str = "UTC",
        weights: np.ndarray | None = None,
    ) -> None:
        self.histories, self.weights = histories, weights
        self._columns = _Columns(histories, time_zone)
        self.starts, self.ends, self.firsts = _cut(histories, max_length)
        self._targets = self.ends - self.firsts
        if weights is not None:
            before = np.concatenate([[0], np.cumsum(weights > 0)])
            self._targets = before[self.ends + 1] - before[self.firsts + 1]
            kept = self._targets > 0
            self.starts, self.ends, self.firsts, self._targets = (
                each[kept] for each in (self.starts, self.ends, self.firsts, self._targets)
            )
        self.widths = self.ends - self.starts
        self._groups = _by_budget(np.sort(self.widths), tokens)

    @property
    def targets(self) -> int:
        """Events learnt from in one epoch."""
        return int(self._targets.sum())

    @property
    def batches_per_epoch(self) -> int:
        """The same in every epoch."""
        return len(self._groups)

    def epoch(self, seed: int, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of one epoch in a shuffled order, without the first ``skip``.

        Windows of about the same width share a batch; a little noise on the width mixes the neighbours anew in each
        epoch at hardly any cost in padding.
        """
        rng = np.random.default_rng((seed, epoch))
        noise = rng.uniform(-0.5, 0.5, len(self.widths)) * np.maximum(1.0, 0.1 * self.widths)
        order = np.argsort(self.widths + noise, kind="stable")
        for begin, end in rng.permutation(self._groups)[skip:]:
            yield self.collate(order[begin:end])

    def collate(self, rows: np.ndarray) -> Batch:
        """Pad some windows into one batch."""
        widths = self.widths[rows]
        place = np.arange(widths.max())
        inside = place < widths[:, None]
        index = np.where(inside, self.starts[rows, None] + place, 0)
        learnt = inside & (index >= self.firsts[rows, None])
        items = self.histories.items
        following = np.minimum(index + 1, len(items) - 1)
        others = self._columns.gather(index, inside, np.zeros_like(inside), np.zeros(len(rows), dtype=np.int64))
        if self.weights is not None:
            learnt &= self.weights[following] > 0
            others["weights"] = np.where(learnt, self.weights[following], 0).astype(np.float32)
        others["rows"] = np.searchsorted(self.histories.offsets, self.starts[rows], side="right") - 1
        return Batch(np.where(inside, items[index], 0), np.where(learnt, items[following], 0), widths, **others)


def inference_batches(
    histories: Histories, max_length: int, tokens: int, time_zone: str = "UTC", long_history: LongHistory = "newest"
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Rows of histories cut to ``max_length`` events (see ``data.long``), in batches of about equal width.

    The newest event of a row is asked about the row's own ``at`` and ``wanted``. Yields the row numbers and the batch
    (its targets are empty). Rows without events are left out.
    """
    widths = np.minimum(histories.lengths, max_length)
    order = np.argsort(widths, kind="stable")
    order = order[widths[order] > 0]
    nothing = np.zeros((0, 0), dtype=np.int64)
    for begin, end in _by_budget(widths[order], tokens):
        rows = order[begin:end]
        cut = shortened(histories.take(rows), max_length, long_history)
        place = np.arange(cut.lengths.max())
        inside = place < cut.lengths[:, None]
        index = np.where(inside, cut.offsets[:-1, None] + place, 0)
        newest = place == cut.lengths[:, None] - 1
        others = _Columns(cut, time_zone).gather(index, inside, newest, np.arange(len(rows)))
        yield rows, Batch(np.where(inside, cut.items[index], 0), nothing, cut.lengths, **others)


def _seconds(moments: np.ndarray) -> np.ndarray:
    """Microseconds to seconds; what is not known stays so."""
    return np.where(moments == UNKNOWN_TIME, UNKNOWN_TIME, moments // 1_000_000)


def _by_budget(widths: np.ndarray, tokens: int) -> np.ndarray:
    """Cut ascending (or nearly) widths into groups whose rows x largest width stay within the budget."""
    groups, begin, largest = [], 0, 0
    for end, width in enumerate(widths.tolist()):
        larger = max(largest, width)
        if end > begin and larger * (end - begin + 1) > tokens:
            groups.append((begin, end))
            begin, larger = end, width
        largest = larger
    if len(widths):
        groups.append((begin, len(widths)))
    return np.array(groups, dtype=np.int64).reshape(-1, 2)


def _cut(histories: Histories, max_length: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Starts, ends (of inputs) and first inputs to learn from, all as places in the flat arrays."""
    begin, last = histories.offsets[:-1], histories.offsets[1:] - 1  # the last event is no input
    inputs = np.maximum(last - begin, 0)
    step = max(1, max_length // 2)
    extra = np.maximum(0, -(-(inputs - max_length) // step))
    windows = np.where(inputs > 0, 1 + extra, 0)
    row = np.repeat(np.arange(len(inputs)), windows)
    number = np.arange(windows.sum()) - np.repeat(np.cumsum(windows) - windows, windows)  # 0 is the newest
    ends = last[row] - number * step
    starts = np.maximum(begin[row], ends - max_length)
    older = number < windows[row] - 1
    firsts = np.where(older, ends - step, starts)
    return starts, ends, firsts
