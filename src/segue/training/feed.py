"""What a training step is fed: the batches of an epoch, augmented where asked, and with two views to contrast.

Everything follows from the seed, the epoch and the number of the batch, so that an epoch can be picked up anywhere.
The batches themselves are ``data.batches``'s, what a tool does to them ``data.augmentation``'s.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segue.data.augmentation import Augmenter, Similar, Tool
from segue.data.batches import Batch, TrainingWindows
from segue.training.plan import Plan

_VIEWS: tuple[Tool, ...] = ("crop", "mask", "reorder")  # those of CL4SRec


class Feed:
    """Batches for one training.

    Args:
        windows: the training data.
        plan: seed, augmentation, and whether views are wanted.
        catalogue: number of items.
    """

    def __init__(self, windows: TrainingWindows, plan: Plan, catalogue: int) -> None:
        self.windows, self.plan = windows, plan
        self._augmenter = self._viewer = None
        if plan.augment:
            needed = {"substitute", "insert"} & set(plan.augment)
            similar = Similar.of(windows.histories, catalogue) if needed else None
            self._augmenter = Augmenter(plan.augment, plan.augment_share, plan.max_length, similar)
        if plan.contrastive == "augment":
            self._viewer = Augmenter(_VIEWS, 1.0, plan.max_length)

    def epoch(self, epoch: int, skip: int = 0) -> Iterator[Batch | tuple[Batch, Batch, Batch]]:
        """The batches of one epoch without the first ``skip``; with views, three at a time: itself and both."""
        for number, batch in enumerate(self.windows.epoch(self.plan.seed, epoch, skip), skip):
            rng = np.random.default_rng((self.plan.seed, epoch, number))
            learnt = batch if self._augmenter is None else self._augmenter(batch, rng)
            yield learnt if self._viewer is None else (learnt, self._viewer(batch, rng), self._viewer(batch, rng))
