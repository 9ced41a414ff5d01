"""What a language model can learn from a catalogue and its log, one class a task.

A task cuts an epoch into batches, gives the loss of each, and says how well its held-out part goes (higher is better).
The loop over them is left to ``pretraining``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from segue.language.encoder import TextEncoder, Tokens
from segue.language.pairs import TextLog, known_pairs, pairs_within

_DROPOUT = 0.1  # on token vectors, for models that have no dropout of their own


class Task(ABC):
    """One way to learn.

    Attributes:
        steps: batches per epoch, about.
    """

    steps: int

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        """Of one epoch."""

    @abstractmethod
    def loss(self, batch: Any) -> Tensor | None:
        """Of a batch; None where it teaches nothing."""

    def judged(self) -> float | None:
        """How well what was held out goes; None where the task leaves that to the held-out pairs."""
        return None


class Behaviour(Task):
    """Texts of events close to each other in a history belong together; others of the batch do not.

    InfoNCE (van den Oord et al., 2018) in both directions. Every distinct text of a batch is read once, whatever the
    number of its pairs. A text is no negative of those it is a pair with anywhere in the log, and logits are corrected
    for how likely a text is in a batch, so that what is popular is not pushed away from everything (Yi et al., 2019).
    """

    def __init__(
        self,
        encoder: TextEncoder,
        rows: list[np.ndarray],
        log: TextLog,
        size: int,
        window: int,
        temperature: float,
        log_q: float = 1.0,
    ) -> None:
        self.encoder, self.rows, self.log, self.size = encoder, rows, log, size
        self.window, self.temperature = window, temperature
        self.known = known_pairs(log.pairs(window), len(log.texts))
        # How likely a text is at least once in a batch.
        included = -np.expm1(size * np.log1p(-np.minimum(log.shares, 1 - 1e-9)))
        self.correction = (log_q * np.log(np.maximum(included, 1e-12))).astype(np.float32)
        self.steps = log.steps(size)

    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        return self.log.batches(self.size, rng)

    def loss(self, batch: tuple[np.ndarray, np.ndarray]) -> Tensor | None:
        users, codes = batch
        left, right = pairs_within(users, codes, self.window)
        if not len(left):
            return None
        texts = np.unique(codes)
        anchors = np.searchsorted(texts, np.concatenate([left, right]))
        positives = np.searchsorted(texts, np.concatenate([right, left]))
        wrong = self.known[texts][:, texts].toarray() == 0
        np.fill_diagonal(wrong, False)
        vectors = read(self.encoder, [self.rows[text] for text in texts])
        device = vectors.device
        correction = torch.from_numpy(self.correction[texts]).to(device)
        logits = cosines(vectors, vectors) / self.temperature - correction
        at, of = torch.from_numpy(anchors).to(device), torch.from_numpy(positives).to(device)
        positive = logits[at, of]
        others = logits.masked_fill(~torch.from_numpy(wrong).to(device), -torch.inf).logsumexp(1)[at]
        return F.softplus(others - positive).mean()


class Contrast(Task):
    """A text belongs to itself under another dropout, and to no other of the batch: SimCSE (Gao et al., 2021)."""

    def __init__(self, encoder: TextEncoder, rows: list[np.ndarray], size: int, temperature: float) -> None:
        self.encoder, self.rows, self.size, self.temperature = encoder, rows, max(2, size // 2), temperature
        self.steps = -(-len(rows) // self.size)
        if not any(isinstance(module, nn.Dropout) and module.p > 0 for module in encoder.modules()):
            encoder.backbone.get_input_embeddings().register_forward_hook(_dropped)  # type: ignore[operator]

    def batches(self, rng: np.random.Generator) -> Iterator[Any]:
        order = rng.permutation(len(self.rows))
        return (order[start : start + self.size] for start in range(0, len(order), self.size))

    def loss(self, batch: np.ndarray) -> Tensor | None:
        if len(batch) < 2:
            return None
        vectors = read(self.encoder, [self.rows[text] for text in batch] * 2)
        one, other = vectors.chunk(2)
        return F.cross_entropy(cosines(one, other) / self.temperature, torch.arange(len(batch), device=one.device))


@dataclass(frozen=True)
class Asked:
    """Texts with words to be told: ``places`` (texts, width) says which, and ``wanted`` what they are."""

    tokens: Tokens
    places: Tensor
    wanted: Tensor


class Words(Task):
    """Words that are hidden, from those around them (Devlin et al., 2019); for GPT-like models each from those before.

    Judged by the loss on texts held out, with the same words hidden each time.

    Args:
        model: with its head on; the encoder's backbone is its inside.
        share: of the tokens that are to be told: four of five are masked, and half of the others replaced.
    """

    def __init__(
        self,
        model: nn.Module,
        encoder: TextEncoder,
        rows: list[np.ndarray],
        size: int,
        share: float,
        causal: bool,
        held: np.ndarray,
    ) -> None:
        self.model, self.encoder, self.rows, self.size = model, encoder, rows, size
        self.share, self.causal, self.held = share, causal, np.sort(held)
        self.learnt = np.setdiff1d(np.arange(len(rows)), held)
        self.steps = -(-len(self.learnt) // size)
        tokenizer = encoder.tokenizer
        self.mask, self.vocabulary = tokenizer.mask_token_id, len(tokenizer)
        self.special = np.array(sorted(set(tokenizer.all_special_ids)), dtype=np.int64)

    def batches(self, rng: np.random.Generator) -> Iterator[Asked]:
        order = rng.permutation(self.learnt)
        return (self._asked(order[start : start + self.size], rng) for start in range(0, len(order), self.size))

    def loss(self, batch: Asked) -> Tensor | None:
        if not len(batch.wanted):
            return None
        device = next(self.model.parameters()).device
        places = batch.places.to(device)
        # Only the places that are asked go through the words' matrix, which is by far the largest product.
        output: Any = self.model.get_output_embeddings()  # type: ignore[operator]
        hook = output.register_forward_pre_hook(lambda _, inputs: (inputs[0][places],))
        try:
            tokens = {"input_ids": batch.tokens.ids.to(device), "attention_mask": batch.tokens.mask.to(device)}
            logits = self.model(**tokens).logits
        finally:
            hook.remove()
        return F.cross_entropy(logits.float(), batch.wanted.to(device))

    @torch.no_grad()
    def judged(self) -> float | None:
        rng, total, count = np.random.default_rng(0), 0.0, 0
        for start in range(0, len(self.held), self.size):
            batch = self._asked(self.held[start : start + self.size], rng)
            if (loss := self.loss(batch)) is not None:
                total, count = total + float(loss) * len(batch.wanted), count + len(batch.wanted)
        return -total / count if count else None

    def _asked(self, texts: np.ndarray, rng: np.random.Generator) -> Asked:
        tokens = self.encoder.padded([self.rows[text] for text in texts])
        ids, mask = tokens.ids.numpy(), tokens.mask.numpy().astype(bool)
        if self.causal:
            told = mask & np.pad(mask[:, 1:], ((0, 0), (0, 1)))
            wanted = np.roll(ids, -1, axis=1)[told]
        else:
            told = mask & ~np.isin(ids, self.special) & (rng.random(ids.shape) < self.share)
            wanted = ids[told]
            kind, others = rng.random(len(wanted)), rng.integers(0, self.vocabulary, len(wanted))
            ids = ids.copy()
            ids[told] = np.where(kind < 0.8, self.mask, np.where(kind < 0.9, others, wanted))
        return Asked(Tokens(torch.from_numpy(ids), tokens.mask), torch.from_numpy(told), torch.from_numpy(wanted))


def read(encoder: TextEncoder, rows: list[np.ndarray]) -> Tensor:
    """(texts, D) unit vectors in fp32, on the encoder's device."""
    device = next(encoder.parameters()).device
    tokens = encoder.padded(rows)
    return F.normalize(encoder(Tokens(tokens.ids.to(device), tokens.mask.to(device))).float(), dim=-1)


def cosines(one: Tensor, other: Tensor) -> Tensor:
    """(n, m) of (n, D) and (m, D) unit vectors, in fp32: a temperature would magnify what bf16 rounds off."""
    with torch.autocast(one.device.type, enabled=False):
        return one @ other.T


def _dropped(module: nn.Module, _: Any, vectors: Tensor) -> Tensor:
    return F.dropout(vectors, _DROPOUT, module.training)
