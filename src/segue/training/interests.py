"""Mined interests as something else to learn: the newest state of each row tells which interests its person has.

They are mined from the histories that are learnt from and from no others (``patterns.interests``), anew for each phase
of a training. The head belongs to the sequence model while it learns, and so to its optimiser, its running average and
its checkpoints, and goes on from the search to the tuning of a language model, which hears of the interests through it.
A finished model has none.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from segue.data.histories import Histories
from segue.nn.inputs import Inputs
from segue.nn.sequence import SequenceModel
from segue.patterns.interests import interests
from segue.patterns.sequences import Sequences
from segue.training.plan import Plan


def memberships(plan: Plan, histories: Histories, catalogue: int) -> np.ndarray | None:
    """(rows, interests) share of each interest in each history, zeros where nothing is known; None where none is asked
    for."""
    if not plan.interests:
        return None
    places = np.arange(len(histories.items)) - np.repeat(histories.offsets[:-1], histories.lengths)
    labels = pl.Series("pattern", np.arange(catalogue + 1))
    made = Sequences(histories.offsets, histories.items.astype(np.int32), places.astype(np.int32), None, labels)
    return interests(made, plan.interests, seed=plan.seed).members


def add_head(model: SequenceModel, plan: Plan) -> None:
    """Give a model a head where the plan asks for interests and it has none; its weights follow from the seed."""
    if not plan.interests or model.interests is not None:
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model.interests = nn.Linear(plan.embedding_size, plan.interests).to(model.tower.ids.weight.device)


def interest_loss(
    model: SequenceModel, inputs: Inputs, targets: Tensor, vectors: Tensor, hidden: Tensor, members: Tensor
) -> Tensor:
    """Cross-entropy between the interests of each row's person and what its newest state that is learnt from says.

    A state of a causal encoder has read the events up to its own and none after. Of one that learns from masked events,
    which reads both ways, it is the state of a request after the row.

    Args:
        targets: (rows, width) codes.
        vectors: of the tower.
        hidden: (tokens, d) states of ``model.learnt``, row by row.
        members: (rows, interests) as :func:`memberships`; rows of zeros count for nothing.
    """
    assert model.interests is not None
    counts = (targets > 0).sum(1)
    told = (counts > 0) & (members.sum(1) > 0)
    newest = model.last(inputs, vectors) if model.mask is not None else hidden[(counts.cumsum(0) - 1).clamp(min=0)]
    logits = model.interests(newest[:, : model.interests.in_features].float())
    losses = functional.cross_entropy(logits, members, reduction="none")
    return (losses * told).sum() / told.sum().clamp(min=1)
