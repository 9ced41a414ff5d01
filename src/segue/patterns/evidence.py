"""Evidence for a history and a candidate: of all who took one of its newest items, how many then took the candidate.

Where a model learns from the very events that were counted, what the person in question added has to be left out again:
otherwise a candidate that was taken has at least one who took it, and that tells the answer. How evidence is put into
words is left to ``language.prompts``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from segue.data.histories import Histories
from segue.data.jit import kernel
from segue.patterns.habits import Habits, count_habits

WINDOW = 10  # events from one to the other, at most
_SHRINK = 10.0  # users added to those of an item, so that one of one is no better than 40 of 100


@dataclass(frozen=True, eq=False)
class PairEvidence:
    """Counts of pairs: users who took Z within ``WINDOW`` events after X, and users who took X."""

    habits: Habits

    @classmethod
    def counted(cls, histories: Histories, size: int) -> PairEvidence:
        """From the events that may be known; ``size`` is the items and the padding."""
        return cls(count_habits(histories, size, max_length=2, window=WINDOW, timed=False))

    def told(
        self, contexts: Histories, items: np.ndarray, own: Histories | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The most telling item of each context for each of the (rows, n) codes asked about.

        Args:
            own: for each row the counted history of the person who is asked about, which is left out of the counts
                (of -1, and support -1 where it holds the pair); None leaves nobody out.

        Returns:
            (rows, n) the code of X, 0 where no evidence is left; users who took the item asked about after X; users who
            took X.
        """
        found = tuple(np.zeros(items.shape, dtype=np.int64) for _ in range(3))
        left_out = own or Histories(np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int64))
        habits = self.habits
        counts = (habits.offsets, habits.items, habits.support, habits.of)
        _told(contexts.offsets, contexts.items, items, *counts, left_out.offsets, left_out.items, *found)
        return found[0], found[1], found[2]

    def larger(self, size: int) -> PairEvidence:
        """With room for items that nothing is known of."""
        return replace(self, habits=self.habits.larger(size))

    def arrays(self) -> dict[str, np.ndarray]:
        """For an artefact."""
        return self.habits.arrays()

    @classmethod
    def restored(cls, arrays: Mapping[str, np.ndarray], size: int) -> PairEvidence:
        """What :meth:`arrays` gave; raises ``ValueError`` where it does not fit together."""
        return cls(Habits.restored(arrays, size))


@kernel()
def _told(offsets, items, asked, starts, followers, support, of, own_offsets, own_items, best, supports, ofs):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    for row in range(len(asked)):
        end = offsets[row + 1]
        for number in range(asked.shape[1]):
            item, highest = asked[row, number], 0.0
            for place in range(end - 1, max(offsets[row], end - WINDOW) - 1, -1):
                x = items[place]
                low, high = starts[x], starts[x + 1]
                at = low + np.searchsorted(followers[low:high], item)
                if at >= high or followers[at] != item:
                    continue
                taken, whole = support[at], of[x]
                if len(own_offsets) > 1:
                    holds, follows = 0, 0
                    for i in range(own_offsets[row], own_offsets[row + 1]):
                        if own_items[i] == x:
                            holds = 1
                            for j in range(i + 1, min(own_offsets[row + 1], i + WINDOW + 1)):
                                if own_items[j] == item:
                                    follows = 1
                    taken, whole = taken - follows, whole - holds
                if taken > 0 and taken / (whole + _SHRINK) > highest:
                    highest = taken / (whole + _SHRINK)
                    best[row, number], supports[row, number], ofs[row, number] = x, taken, whole
