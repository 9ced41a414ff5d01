"""What a student learns from its teachers: soft targets over their best items, made batch by batch.

Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015. Teachers are sequence models that score
the positions of the very windows the student is trained on. Which models teach is decided by ``recommenders.ensemble``;
the divergence itself is in ``nn.losses``.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from pydantic import Field
from torch import Tensor

from segue.config import Config
from segue.errors import DistilRefused
from segue.nn import losses
from segue.nn.encoders import encoder_class
from segue.nn.inputs import Inputs
from segue.nn.sequence import SequenceModel
from segue.training.plan import Plan

_SCORES = 1_500_000  # floats of logits alive at once: they stay in cache


class DistillationConfig(Config):
    """How much a student listens to its teachers."""

    alpha: float = Field(0.5, gt=0, lt=1)
    """Share of the loss that the teachers make."""
    temperature: float = Field(2.0, gt=0)
    """Both distributions are flattened by it."""
    candidates: int = Field(50, ge=1)
    """Best items of the teachers, per position, that the distributions are over."""


@dataclass(frozen=True)
class Teacher:
    """A trained model, what it reads, and its share of the average."""

    model: SequenceModel
    plan: Plan
    share: float


@dataclass(frozen=True)
class Distillation:
    """Teachers and how to listen to them. Nothing in it is random, so that a resumed training hears the same.

    Attributes:
        teachers: their models are copies of this object's own, on whatever device the batches are.
        config: see :class:`DistillationConfig`.
        signature: of all of it; part of a checkpoint's.
    """

    teachers: tuple[Teacher, ...]
    config: DistillationConfig
    signature: str

    @classmethod
    def of(cls, teachers: Sequence[tuple[SequenceModel, Plan, float]], config: DistillationConfig) -> Distillation:
        """From models, their plans and their shares (which sum to 1)."""
        digest = hashlib.sha256(config.model_dump_json().encode())
        made = []
        for model, plan, share in teachers:
            own = copy.deepcopy(model).eval().requires_grad_(False)
            digest.update(f"{plan.model_dump_json()}{share!r}".encode())
            for name, tensor in sorted(own.state_dict().items()):
                digest.update(name.encode() + tensor.cpu().numpy().tobytes())
            made.append(Teacher(own, plan, share))
        return cls(tuple(made), config, digest.hexdigest())

    def check(self, plan: Plan) -> None:
        """Raises ``DistilRefused`` where a student of this plan has not what the teachers read."""
        if getattr(encoder_class(plan.encoder), "masked", False):
            raise DistilRefused(reason=f"a student with the encoder {plan.encoder!r} learns from masked events")
        for teacher in self.teachers:
            if teacher.model.mask is not None:
                raise DistilRefused(reason=f"the encoder {teacher.plan.encoder!r} sees what came after a position")
            if plan.max_length > teacher.plan.max_length:
                lengths = f"the student reads {plan.max_length} events, a member {teacher.plan.max_length}"
                raise DistilRefused(reason=lengths)
            lacking: list[str] = sorted({*teacher.plan.behaviour} - {*plan.behaviour})
            if teacher.plan.reads_clock and not plan.reads_clock:
                lacking.append("time")
            if lacking:
                raise DistilRefused(reason=f"a member reads {', '.join(lacking)} and the student does not")

    def loss(self, alone: Tensor, hidden: Tensor, items: Tensor, inputs: Inputs, learnt: Tensor) -> Tensor:
        """The loss of the next items alone, joined with the divergence from the teachers.

        Args:
            alone: the next-item loss.
            hidden: (tokens, d) the student's states at the positions learnt from.
            items: (catalogue + 1, d) its item vectors.
            inputs: the batch.
            learnt: (rows, width) true at those positions.
        """
        config = self.config
        codes, log_probabilities = self.soft_targets(inputs, learnt)
        apart = losses.distillation(hidden, items, codes, log_probabilities, config.temperature)
        return (1 - config.alpha) * alone + config.alpha * apart

    @torch.no_grad()
    def soft_targets(self, inputs: Inputs, learnt: Tensor) -> tuple[Tensor, Tensor]:
        """What the teachers hold of each position: (tokens, k) item codes and their log-probabilities among the k.

        The logits are the ensemble's scores, an average of z-scores over the catalogue, put back on the scale that the
        teachers have on average: the order is the ensemble's own, and how sure it is is the teachers'.
        """
        device = inputs.items.device
        with torch.autocast(device.type, enabled=False):
            models = [(teacher.model.to(device), teacher.share) for teacher in self.teachers]
            states = [(model(inputs)[learnt].float(), model.tower.vectors().float(), share) for model, share in models]
            catalogue = len(states[0][1]) - 1
            step = max(1, _SCORES // (catalogue + 1))
            codes, kept = [], []
            for start in range(0, len(states[0][0]), step):
                best = _average([(state[start : start + step], items, share) for state, items, share in states]).topk(
                    min(self.config.candidates, catalogue)
                )
                codes.append(best.indices + 1)
                kept.append((best.values / self.config.temperature).log_softmax(1))
        return torch.cat(codes), torch.cat(kept)


def _average(states: list[tuple[Tensor, Tensor, float]]) -> Tensor:
    """(tokens, catalogue) logits of the ensemble."""
    total, spread = torch.zeros(()), torch.zeros(())
    for state, items, share in states:
        logits = (state @ items.T)[:, 1:]
        deviation = logits.std(1, keepdim=True, correction=0).clamp_min_(1e-12)
        total = share * (logits - logits.mean(1, keepdim=True)) / deviation + total.to(logits.device)
        spread = share * deviation + spread.to(logits.device)
    return total * spread
