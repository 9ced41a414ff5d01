"""Drawing shared negatives by chance, from the batch, or the hardest of a pool, with the log-Q that corrects for it."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from segue.numeric import share_of

Source = Literal["mixed", "uniform", "popular", "in_batch", "in_batch_mixed", "hard"]

_POOL = 4  # candidates per negative that is kept
_JUDGES = 64  # positions of the batch that tell how hard a candidate is


class NegativeSampler:
    """Draws about ``count`` item codes per batch, with replacement unless said otherwise.

    Randomness comes from torch's generator, so that a seed set before the step decides the draw.

    - ``"mixed"``: from ``share * popularity + (1 - share) * uniform``; ``"uniform"`` and ``"popular"`` are its ends.
    - ``"in_batch"``: targets of the batch itself (Yi et al., "Sampling-Bias-Corrected Neural Modeling", RecSys 2019),
      without replacement; no more than the batch has. log-Q takes them for draws by popularity. Items that few met are
      hardly ever negatives.
    - ``"in_batch_mixed"``: half from the batch, half uniform (Yang et al., "Mixed Negative Sampling", WWW 2020).
    - ``"hard"``: a pool of four times as many from ``"mixed"``, of which those stay that the current model finds
      likeliest over some positions of the batch (after dynamic negative sampling, Zhang et al., SIGIR 2013). log-Q is
      that of the pool: what was dropped counts as nothing, so the softmax's normaliser comes out too small by the mass
      of the unlikely candidates. That bias is the point of it, and it is not corrected.

    Args:
        item_counts: (catalogue + 1,) training events per code.
        count: negatives per batch.
        share: of the draws that go by popularity, for ``"mixed"`` and ``"hard"``.
        source: see above.
        known: (catalogue + 1,) the items that can be drawn; None: all.
    """

    def __init__(
        self,
        item_counts: np.ndarray,
        count: int,
        share: float,
        source: Source = "mixed",
        known: np.ndarray | None = None,
    ) -> None:
        catalogue = len(item_counts) - 1
        codes = np.arange(1, catalogue + 1) if known is None else np.flatnonzero(known[1:]) + 1
        self._drawable = torch.from_numpy(codes)
        popularity = item_counts[1:] / max(item_counts[1:].sum(), 1)
        self.count, self.catalogue, self.source = count, catalogue, source
        drawn = count * _POOL if source == "hard" else count - count // 2 if source == "in_batch_mixed" else count
        share = {"uniform": 0.0, "popular": 1.0, "in_batch_mixed": 0.0}.get(source, share)
        self.popular = round(share_of(share, drawn)) if item_counts.sum() else 0
        self.uniform = drawn - self.popular
        cumulative = np.cumsum(popularity)
        self._cumulative = torch.from_numpy(cumulative / max(cumulative[-1], 1e-12))
        self._popularity = torch.from_numpy(np.concatenate([[0.0], popularity]))
        self._log_q = self._log_expected(0)

    @property
    def drawable(self) -> int:
        """How many items can be drawn."""
        return len(self._drawable)

    def _log_expected(self, of_batch: int, drawn: bool = True) -> Tensor:
        """(catalogue + 1,) log of the expected count of each code; that of padding means nothing."""
        expected = (self.popular * drawn + of_batch) * self._popularity + self.uniform * drawn / len(self._drawable)
        expected[0] = 1.0
        with np.errstate(divide="ignore"):
            return torch.from_numpy(np.log(expected.numpy())).float()

    def draw(self) -> tuple[Tensor, Tensor]:
        """Codes (n,) by chance alone, and the log of the expected number of draws of each."""
        popular = torch.searchsorted(self._cumulative, torch.rand(self.popular, dtype=torch.float64)) + 1
        uniform = self._drawable[torch.randint(len(self._drawable), (self.uniform,))]
        codes = torch.cat([popular.clamp(max=self.catalogue), uniform])
        return codes, self._log_q[codes]

    def draw_for(self, hidden: Tensor, items: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Negatives for one batch, on its device.

        Args:
            hidden: (tokens, d) states, read without a gradient.
            items: (catalogue + 1, d) vectors, the same.
            targets: (tokens,) codes.

        Returns:
            Codes (n,), and the log of the expected number of draws of each.
        """
        if self.source in ("in_batch", "in_batch_mixed"):
            codes, log_q = self._from_batch(targets.cpu())
        else:
            codes, log_q = self.draw()
        codes, log_q = codes.to(hidden.device), log_q.to(hidden.device)
        return self._hardest(hidden, items, codes, log_q) if self.source == "hard" else (codes, log_q)

    def _from_batch(self, targets: Tensor) -> tuple[Tensor, Tensor]:
        mixed = self.source == "in_batch_mixed"
        wanted = min(self.count // 2 if mixed else self.count, len(targets))
        codes = targets[torch.randperm(len(targets))[:wanted]]
        if mixed:
            codes = torch.cat([codes, self.draw()[0]])
        return codes, self._log_expected(wanted, drawn=mixed)[codes]

    @torch.no_grad()
    def _hardest(self, hidden: Tensor, items: Tensor, codes: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
        judges = hidden[torch.randint(len(hidden), (_JUDGES,)).to(hidden.device)]
        likely = ((judges @ items[codes].T).float() - log_q).softmax(1).mean(0)
        kept = likely.topk(min(self.count, len(codes))).indices
        return codes[kept], log_q[kept]
