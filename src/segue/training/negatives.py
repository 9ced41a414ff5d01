"""Drawing shared negatives: a mixture of uniform and popular items with the log-Q that corrects for it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class NegativeSampler:
    """Draws ``count`` item codes with replacement from ``share * popularity + (1 - share) * uniform``.

    Randomness comes from torch's generator, so that a seed set before the step decides the draw.

    Args:
        item_counts: (catalogue + 1,) training events per code.
    """

    def __init__(self, item_counts: np.ndarray, count: int, share: float) -> None:
        catalogue = len(item_counts) - 1
        popularity = item_counts[1:] / max(item_counts[1:].sum(), 1)
        self.count, self.catalogue = count, catalogue
        self.popular = round(count * share) if item_counts.sum() else 0
        cumulative = np.cumsum(popularity)
        self._cumulative = torch.from_numpy(cumulative / max(cumulative[-1], 1e-12))
        expected = self.popular * popularity + (count - self.popular) / catalogue
        with np.errstate(divide="ignore"):
            self._log_q = torch.from_numpy(np.log(np.concatenate([[1.0], expected]))).float()

    def draw(self) -> tuple[Tensor, Tensor]:
        """(count,) codes, and the log of the expected number of draws of each."""
        popular = torch.searchsorted(self._cumulative, torch.rand(self.popular, dtype=torch.float64)) + 1
        uniform = torch.randint(1, self.catalogue + 1, (self.count - self.popular,))
        codes = torch.cat([popular.clamp(max=self.catalogue), uniform])
        return codes, self._log_q[codes]
