"""A fresh model from a plan and the facts of a log; used before training and before loading weights."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from segue.data.attributes import ItemFeatures
from segue.data.histories import Histories
from segue.language.encoder import TextConfig
from segue.nn.behaviour import BehaviourInputs
from segue.nn.encoders import Shape, encoder_class
from segue.nn.item_tower import ID_STD, Bags, ItemTower
from segue.nn.likeness import Likeness
from segue.nn.sequence import SequenceModel
from segue.nn.text_path import TextPath, TextVectors
from segue.nn.time import MomentInputs
from segue.training.plan import Plan

_VALUE_BINS = 16


@dataclass(frozen=True)
class LogShape:
    """What of a log decides the shape of a model; saved with it.

    Attributes:
        catalogue: number of items.
        actions: kinds of action.
        value_edges: bounds between the bins that values fall into.
        features: attributes of the items; large, and so not in the document.
        text: what a language model says of the items; not in the document either.
        known: (catalogue + 1,) which items there are events of.
    """

    catalogue: int
    actions: int = 0
    value_edges: tuple[float, ...] = ()
    features: ItemFeatures | None = field(default=None, compare=False)
    text: TextVectors | None = field(default=None, compare=False)
    known: np.ndarray | None = field(default=None, compare=False)

    @classmethod
    def of(
        cls,
        histories: Histories,
        catalogue: int,
        actions: int,
        features: ItemFeatures | None = None,
        text: TextVectors | None = None,
    ) -> LogShape:
        """From the training histories; bins hold about equally many values."""
        values = np.zeros(0) if histories.values is None else histories.values[~np.isnan(histories.values)]
        edges = np.unique(np.quantile(values, np.linspace(0, 1, _VALUE_BINS + 1)[1:-1])) if len(values) else values
        known = np.bincount(histories.items, minlength=catalogue + 1) > 0
        return cls(catalogue, actions, tuple(float(edge) for edge in edges), features, text, known)

    def document(self) -> dict[str, Any]:
        """As JSON, without what is known of each item."""
        return {"catalogue": self.catalogue, "actions": self.actions, "value_edges": list(self.value_edges)}

    @classmethod
    def from_document(
        cls, document: dict[str, Any], features: ItemFeatures | None = None, text: TextVectors | None = None
    ) -> LogShape:
        """From :meth:`document`, and what was saved beside it."""
        return cls(document["catalogue"], document["actions"], tuple(document["value_edges"]), features, text)


def readable(histories: Histories, plan: Plan) -> Histories:
    """Histories with those columns only that a model of this plan reads."""
    return replace(
        histories,
        timestamps=histories.timestamps if plan.reads_clock else None,
        at=histories.at if plan.reads_clock else None,
        actions=histories.actions if "actions" in plan.behaviour else None,
        wanted=histories.wanted if "actions" in plan.behaviour else None,
        values=histories.values if "values" in plan.behaviour else None,
    )


def text_config(plan: Plan) -> TextConfig:
    """How the text of items is read by this plan, which has a language model."""
    assert plan.text is not None
    return TextConfig(
        model=plan.text,
        pooling=plan.text_pooling or "auto",
        prompt=plan.text_prompt,
        max_tokens=plan.text_max_tokens,
        precision=plan.text_precision,
    )


def build_model(plan: Plan, log: LogShape) -> SequenceModel:
    """A fresh model; its weights follow from ``plan.seed``."""
    shape = Shape(
        size=plan.embedding_size,
        max_length=plan.max_length,
        blocks=plan.blocks,
        heads=plan.heads,
        block=plan.block,
        expansion=plan.expansion,
        dropout=plan.dropout,
        relative_time="relative" in plan.time,
        request="request" in plan.time,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        moments = MomentInputs(shape.size, plan.time) if plan.reads_clock else None
        behaviour = None
        if plan.behaviour:
            actions = log.actions if "actions" in plan.behaviour else 0
            behaviour = BehaviourInputs(shape.size, actions, log.value_edges if "values" in plan.behaviour else ())
        text = None if log.text is None else TextPath(log.text, shape.size, ID_STD, plan.text_projection)
        likeness = None
        if log.text is not None and plan.text_likeness:
            likeness = Likeness(min(plan.text_likeness, log.text.vectors.shape[1]))
        tower = ItemTower(log.catalogue, shape.size, _bags(log.features), plan.id_dropout, text, likeness, log.known)
        encoder = encoder_class(plan.encoder)(shape)
        return SequenceModel(tower, encoder, moments, behaviour, plan.forget, plan.mask_share)


def _bags(features: ItemFeatures | None) -> Bags | None:
    return None if features is None else Bags(features.offsets, features.rows, features.weights, features.sizes)
