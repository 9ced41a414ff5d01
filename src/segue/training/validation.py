"""The validation metric of early stopping, computed exactly as the final evaluation does."""

from __future__ import annotations

import numpy as np
import torch

from segue.data.batches import inference_batches
from segue.data.histories import Histories
from segue.data.long import LongHistory
from segue.nn.inputs import Inputs
from segue.nn.sequence import SequenceModel
from segue.ranking.metrics import PER_USER, Hits, parse_metric
from segue.ranking.topk import top_k

_SCORES = 4_000_000  # floats of scores alive at once
_TOKENS = 4_096  # padded positions per batch


class Validation:
    """Ranks the whole catalogue for users with held-out events.

    Args:
        contexts, targets: one row per user.
        metric: for example ``"ndcg@10"``.
        exclude_seen: whether items of the context are left out.
        prior: (catalogue + 1,) popularity, for ties.
        long_history: which events of histories longer than ``max_length`` are read.
        seen: the events whose items are left out, where those are not all of the contexts.
    """

    def __init__(
        self,
        contexts: Histories,
        targets: Histories,
        metric: str,
        exclude_seen: bool,
        prior: np.ndarray,
        max_length: int,
        time_zone: str = "UTC",
        seen: Histories | None = None,
        long_history: LongHistory = "newest",
    ) -> None:
        self.contexts, self.targets, self.max_length = contexts, targets, max_length
        self.time_zone, self.seen = time_zone, contexts if seen is None else seen
        self.long_history = long_history
        self.exclude_seen, self.prior = exclude_seen, prior
        self.metric, self.k = parse_metric(metric)

    def __call__(self, model: SequenceModel, vectors: torch.Tensor | None = None) -> float:
        """The mean of the metric over users; the model is left in the mode it came in.

        Args:
            vectors: (catalogue + 1, d) to rank with instead of the model's own.
        """
        lists = np.zeros((len(self.contexts), self.k), dtype=np.int64)
        training = model.training
        model.eval()
        with torch.inference_mode():
            vectors = model.tower.vectors() if vectors is None else vectors
            batches = inference_batches(self.contexts, self.max_length, _TOKENS, self.time_zone, self.long_history)
            for rows, batch in batches:
                hidden = model.last(Inputs.of(batch, vectors.device), vectors)
                for start in range(0, len(rows), step := max(1, _SCORES // len(vectors))):
                    part = rows[start : start + step]
                    scores = (hidden[start : start + step] @ vectors.T).float().cpu().numpy()
                    seen = self.seen.take(part)
                    offsets, items = (seen.offsets, seen.items) if self.exclude_seen else (None, None)
                    lists[part], _ = top_k(scores, self.k, self.prior, offsets, items)
        model.train(training)
        return float(PER_USER[self.metric](Hits.of(lists, self.targets), self.k).mean())
