"""``TextClassifier``: a language model with a head that answers, for one history and many items offered after it.

The history is read once. Each offer stands beside the others in the same row and sees the history and itself alone
(positions begin anew after the history for each), so that fifty candidates cost little more than their own tokens.
A GPT-like model gives the very answers it would give one by one; a BERT-like one reads the history without a look at
the offer. What is told is left to ``prompts``, which weights learn to ``tuning``.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segue.errors import LanguageModelUnsuited
from segue.language.models import LanguageModel, load_language_model

_TOKENS = 4_096  # padded positions of a batch: their activations stay in cache
_SHARE_OF_OFFERS = 0.5  # of the positions that a model has, at most so many for one offer
_WITHOUT_LIMIT = 1 << 20


@dataclass(frozen=True)
class Packed:
    """Histories with their offers as one batch.

    Attributes:
        ids, positions: (rows, width) int64.
        segments: (rows, width) 0 for the history, from 1 for each offer, -1 for padding.
        offers: how many each row has.
    """

    ids: Tensor
    positions: Tensor
    segments: Tensor
    offers: int

    def to(self, device: torch.device) -> Packed:
        """The same on a device."""
        ids, positions, segments = (part.to(device) for part in (self.ids, self.positions, self.segments))
        return Packed(ids, positions, segments, self.offers)


class TextClassifier(nn.Module):
    """Answers (rows, offers) of a language model: logits of yes, or ratings on a scale of their own.

    A BERT-like model answers by the likeness of what it makes of history and offer, with a weight for each dimension,
    plus a linear layer over the offer; before any tuning that is their cosine. A GPT-like one answers by a linear layer
    over the last token of the offer, which begins as the difference of its own logits of yes and no.

    Args:
        name: of the model, as in ``load_language_model``.
        max_tokens: of a history; the oldest are cut off.

    Raises:
        LanguageModelUnknown, LanguageModelBroken.
        LanguageModelUnsuited: it cannot be told positions.
    """

    def __init__(self, name: str, max_tokens: int) -> None:
        super().__init__()
        language = load_language_model(name)
        yes_minus_no = None
        if language.causal:
            language, yes_minus_no = _with_yes_and_no(name)
        self.name, self.sha256, self.causal = name, language.sha256, language.causal
        self.tokenizer: Any = language.tokenizer
        self.backbone: Any = language.model
        if "position_ids" not in inspect.signature(self.backbone.forward).parameters:
            raise LanguageModelUnsuited(name=name, reason="it cannot be told the positions of its tokens")
        self.head = YesNoHead(language.size, yes_minus_no) if self.causal else LikenessHead(language.size)
        self.knows_yes = not self.causal or yes_minus_no is not None
        self._first = _first_position(self.backbone)
        config: Any = self.backbone.config
        room = int(getattr(config, "max_position_embeddings", _WITHOUT_LIMIT) or _WITHOUT_LIMIT) - self._first
        self._offer_room = max(4, int(room * _SHARE_OF_OFFERS))
        self._room, self._max_tokens = room, max_tokens
        ends = self.tokenizer
        start = ends.cls_token_id if ends.cls_token_id is not None else ends.bos_token_id
        self._start = [] if start is None else [start]
        self._end = [] if ends.sep_token_id is None or self.causal else [ends.sep_token_id]

    def tokenise(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, without any that mark its ends."""
        if not texts:
            return []
        found = self.tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)
        return [list(ids) for ids in found["input_ids"]]

    def packed(self, histories: Sequence[list[int]], offers: Sequence[Sequence[list[int]]]) -> Packed:
        """Token ids to one batch; every row must have as many offers, and an offer is cut at its beginning."""
        rows: list[tuple[list[int], list[int], list[int]]] = []
        for history, offered in zip(histories, offers, strict=True):
            told = [self._offer(offer) for offer in offered]
            longest = max((len(offer) for offer in told), default=0)
            ids = self._history(history, self._room - longest)
            positions, segments = list(range(len(ids))), [0] * len(ids)
            after = len(ids)
            for number, offer in enumerate(told, 1):
                ids = ids + offer
                positions += range(after, after + len(offer))
                segments += [number] * len(offer)
            rows.append((ids, positions, segments))
        width = max(len(ids) for ids, _, _ in rows)
        batch = np.zeros((3, len(rows), width), dtype=np.int64)
        batch[0], batch[2] = self.tokenizer.pad_token_id, -1
        for number, row in enumerate(rows):
            batch[:, number, : len(row[0])] = row
        batch[1] += self._first
        ids_, positions_, segments_ = (torch.from_numpy(part) for part in batch)
        return Packed(ids_, positions_, segments_, len(offers[0]))

    def _offer(self, ids: list[int]) -> list[int]:
        # Its end is kept: there the question stands that a GPT-like model answers.
        return [*ids, *self._end][-self._offer_room :] or [self.tokenizer.pad_token_id]

    def _history(self, ids: list[int], room: int) -> list[int]:
        room = min(self._max_tokens, room) - len(self._start) - len(self._end)
        cut = ids[max(0, len(ids) - max(1, room)) :]
        return [*self._start, *cut, *self._end] or [self.tokenizer.pad_token_id]

    def forward(self, packed: Packed) -> Tensor:
        """(rows, offers) float32."""
        segments = packed.segments
        hidden = self.backbone(
            input_ids=packed.ids,
            attention_mask=attention_mask(segments, self.causal),
            position_ids=packed.positions,
        ).last_hidden_state
        answers: Tensor = self.head(hidden.float(), segments, packed.offers)
        return answers

    @torch.inference_mode()
    def answer(self, histories: Sequence[list[int]], offers: Sequence[Sequence[list[int]]], bf16: bool) -> np.ndarray:
        """(rows, offers) float32 for any number of rows, longest first in batches of about equally many tokens."""
        if not histories:
            return np.zeros((0, 0), dtype=np.float32)
        device = next(self.parameters()).device
        lengths = [len(history) + sum(map(len, offered)) for history, offered in zip(histories, offers, strict=True)]
        found = np.zeros((len(histories), len(offers[0])), dtype=np.float32)
        order = np.argsort(-np.asarray(lengths), kind="stable")
        start = 0
        while start < len(order):
            rows = order[start : start + max(1, _TOKENS // max(1, lengths[order[start]]))]
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                batch = self.packed([histories[row] for row in rows], [offers[row] for row in rows])
                found[rows] = self(batch.to(device)).float().cpu().numpy()
            start += len(rows)
        return found


class LikenessHead(nn.Module):
    """The weighted cosine of history and offer, each the mean of its tokens, plus a linear layer over the offer."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.scale = nn.Parameter(torch.tensor(4.0))
        self.offer = nn.Linear(size, 1)
        nn.init.zeros_(self.offer.weight)
        nn.init.zeros_(self.offer.bias)

    def forward(self, hidden: Tensor, segments: Tensor, offers: int) -> Tensor:
        """(rows, width, d) to (rows, offers)."""
        parts = torch.arange(offers + 1, device=segments.device)
        belongs = (segments[:, None] == parts[:, None]).to(hidden.dtype)  # (rows, 1 + offers, width)
        means = belongs @ hidden / belongs.sum(-1, keepdim=True).clamp(min=1)
        history, offered = means[:, :1], means[:, 1:]
        likeness = (nn.functional.normalize(history, dim=-1) * nn.functional.normalize(offered, dim=-1)) @ self.weight
        answers: Tensor = self.scale * likeness + self.offer(offered).squeeze(-1)
        return answers


class YesNoHead(nn.Module):
    """A linear layer over the last token of each offer; ``weight`` (d,) is what it begins with, zeros where None."""

    def __init__(self, size: int, weight: Tensor | None) -> None:
        super().__init__()
        self.offer = nn.Linear(size, 1)
        with torch.no_grad():
            self.offer.weight.copy_(torch.zeros(1, size) if weight is None else weight[None])
            self.offer.bias.zero_()

    def forward(self, hidden: Tensor, segments: Tensor, offers: int) -> Tensor:
        """(rows, width, d) to (rows, offers)."""
        width = torch.arange(segments.shape[1], device=segments.device)
        parts = torch.arange(1, offers + 1, device=segments.device)
        last = torch.where(segments[:, None] == parts[:, None], width, -1).amax(-1)  # (rows, offers)
        rows = torch.arange(len(hidden), device=hidden.device)[:, None]
        answers: Tensor = self.offer(hidden[rows, last]).squeeze(-1)
        return answers


def attention_mask(segments: Tensor, causal: bool) -> Tensor:
    """(rows, 1, width, width) boolean: who may look at whom. Padding sees itself, so that nothing is divided by 0."""
    mask = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
    if causal:
        mask &= torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool, device=segments.device).tril()
    return mask[:, None]


def _first_position(backbone: Any) -> int:
    """Where positions begin: RoBERTa and its kin count from after the padding's row."""
    rows = getattr(getattr(backbone, "embeddings", None), "position_embeddings", None)
    padding = getattr(rows, "padding_idx", None)
    return 0 if padding is None else int(padding) + 1


def _with_yes_and_no(name: str) -> tuple[LanguageModel, Tensor | None]:
    """A GPT-like model, and the difference of what its output layer holds for yes and for no."""
    whole = load_language_model(name, head="causal")
    model: Any = whole.model
    rows = model.get_output_embeddings().weight.detach()
    told = [whole.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in ("yes", "no")]
    pair = next(((yes, no) for yes, no in zip(*told, strict=False) if yes != no), None)
    backbone = model.base_model
    language = LanguageModel(name, whole.sha256, whole.tokenizer, backbone, whole.causal)
    return language, None if pair is None else (rows[pair[0]] - rows[pair[1]]).float().clone()
