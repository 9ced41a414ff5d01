"""Batches for next-item training: windows of histories, bucketed by length, cut by a token budget.

Plain numpy. The batches of an epoch depend on the seed and the epoch alone, so that training can be picked up at
any batch. Negatives, losses and tensors are left to ``training``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from segue.data.histories import Histories


@dataclass(frozen=True)
class Batch:
    """Padded rows of one batch, all of shape (rows, width).

    Attributes:
        inputs: item codes, 0 where there is none (on the right).
        targets: the item that followed each input, 0 where nothing is to be learnt.
        lengths: events per row.
    """

    inputs: np.ndarray
    targets: np.ndarray
    lengths: np.ndarray


class TrainingWindows:
    """Every history cut into windows of at most ``max_length`` inputs.

    Each event but the first of a history is a target exactly once. In a history longer than one window, windows
    overlap by half, so that no target has less than half a window before it. A batch holds about ``tokens`` padded
    positions.
    """

    def __init__(self, histories: Histories, max_length: int, tokens: int) -> None:
        self.histories = histories
        self.starts, self.ends, self.firsts = _cut(histories, max_length)
        self.widths = self.ends - self.starts
        self._groups = _by_budget(np.sort(self.widths), tokens)

    @property
    def targets(self) -> int:
        """Events learnt from in one epoch."""
        return int((self.ends - self.firsts).sum())

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
        return Batch(np.where(inside, items[index], 0), np.where(learnt, items[following], 0), widths)


def inference_batches(histories: Histories, max_length: int, tokens: int) -> Iterator[tuple[np.ndarray, Batch]]:
    """Rows of histories cut to their newest ``max_length`` events, in batches of about equal width.

    Yields the row numbers and the batch (its targets are empty). Rows without events are left out.
    """
    widths = np.minimum(histories.lengths, max_length)
    order = np.argsort(widths, kind="stable")
    order = order[widths[order] > 0]
    nothing = np.zeros((0, 0), dtype=np.int64)
    for begin, end in _by_budget(widths[order], tokens):
        rows = order[begin:end]
        cut = histories.take(rows, last=max_length)
        place = np.arange(cut.lengths.max())
        inside = place < cut.lengths[:, None]
        index = np.where(inside, cut.offsets[:-1, None] + place, 0)
        yield rows, Batch(np.where(inside, cut.items[index], 0), nothing, cut.lengths)


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
