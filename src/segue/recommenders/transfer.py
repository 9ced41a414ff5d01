"""From one log to another: what a trained sequence model can bring along, and what it cannot.

Encoder, time, behaviour and the path of text carry over, and attributes by the names of their columns and values; ids
mean nothing in another catalogue and stay behind. ``SequenceRecommender.transfer`` answers without training,
``fit(init_from=...)`` begins a training there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from segue.data.attributes import ItemFeatures
from segue.data.dataset import Dataset
from segue.data.split import Holdout
from segue.data.vocabulary import Vocabulary
from segue.errors import LanguageModelChanged, TransferRefused
from segue.language.encode import encode_texts
from segue.language.item_text import ItemText
from segue.nn.text_path import TextVectors
from segue.training.build import LogShape, build_model
from segue.training.plan import Plan, SequenceConfig

if TYPE_CHECKING:
    from segue.recommenders.sequence import SequenceRecommender

# Settings that shape the weights, or what they read; the source's hold.
_SHAPE = (
    "encoder", "block", "embedding_size", "blocks", "heads", "expansion", "time", "behaviour", "max_length", "text",
    "text_pooling", "text_prompt", "text_max_tokens", "text_normalise", "text_whiten", "text_projection",
    "text_likeness",
)  # fmt: skip
_OWN = ("tower.ids.weight", "tower.known")


@dataclass(frozen=True, eq=False)
class Source:
    """A trained model to begin from.

    Attributes:
        model: fitted; it stays as it is.
        name: of its class or folder, for messages.
    """

    model: SequenceRecommender
    name: str

    @classmethod
    def of(cls, given: Any) -> Source:
        """From a recommender, or the folder of one.

        Raises:
            NotFitted, ArtefactNotFound, ArtefactCorrupt.
            TransferRefused: it is no sequence model, or one that knows items by their ids alone.
        """
        from segue.recommenders.sequence import SequenceRecommender
        from segue.recommenders.store import load

        model = load(given) if isinstance(given, str | Path) else given
        name = str(given) if isinstance(given, str | Path) else type(given).__name__
        if not isinstance(model, SequenceRecommender):
            raise TransferRefused(reason=f"{name} is no SequenceRecommender")
        model._require_fitted()
        if model.log.text is None and model.log.features is None:
            raise TransferRefused(reason=f"{name} knows items by their ids alone, which mean nothing in another log")
        return cls(model, name)

    def in_its_words(self, data: Dataset) -> Dataset:
        """The data set with kinds of action numbered as the source's; those it never met are unknown to it."""
        return replace(data, action_names=self.model.action_names) if self.model.log.actions else data

    def holdout_in_its_words(self, holdout: Holdout | None) -> Holdout | None:
        """As :meth:`in_its_words`."""
        if holdout is None:
            return None
        until = None if holdout.until is None else self.in_its_words(holdout.until)
        return Holdout(self.in_its_words(holdout.context), self.in_its_words(holdout.targets), until)

    def plan(self, config: SequenceConfig, plan: Plan) -> Plan:
        """A plan for the other log with the source's shape.

        Raises:
            TransferRefused: settings that were given say otherwise.
        """
        theirs = self.model.plan
        if self.model.language_tuned is not None:
            reason = f"the language model of {self.name} was tuned with it, and goes with transfer() alone"
            raise TransferRefused(reason=reason)
        differ = [
            f"{name} is {getattr(config, name)!r} here and {getattr(theirs, name)!r} in {self.name}"
            for name in _SHAPE
            if name in config.model_fields_set
            and getattr(config, name) not in ("auto", SequenceConfig.model_fields[name].default, getattr(theirs, name))
        ]
        if differ:
            raise TransferRefused(reason="; ".join(differ))
        shape = {name: getattr(theirs, name) for name in _SHAPE}
        return plan.model_copy(update={**shape, "features": self.features_read})

    @property
    def features_read(self) -> list[str]:
        """Names of the attributes."""
        features = self.model.log.features
        return [] if features is None else features.names

    def features(self, items: pl.DataFrame | None, vocabulary: Vocabulary) -> ItemFeatures | None:
        """The source's attributes of another catalogue; columns and values that it does not have are unknown."""
        features = self.model.log.features
        if features is None:
            return None
        return features.encoded(pl.DataFrame({"item_id": vocabulary.ids}) if items is None else items, vocabulary)

    def text(self, read: ItemText) -> TextVectors | None:
        """What the language model says of the other items, made comparable as the source's texts were.

        Raises ``LanguageModelChanged``.
        """
        text = self.model.log.text
        if text is None:
            return None
        if (wanted := self.model.report["text"]["sha256"]) != read.sha256:
            raise LanguageModelChanged(name=self.model.plan.text, found=read.sha256, wanted=wanted)
        raw = read.vectors if self.model.language_tuned is None else encode_texts(self.model.text_encoder(), read.texts)
        return text.with_items(raw)

    def shaped(self, log: LogShape) -> LogShape:
        """The other log as the source's weights read it."""
        return replace(log, actions=self.model.log.actions, value_edges=self.model.log.value_edges)

    def weights(self) -> dict[str, Tensor]:
        """All but those of single items."""
        return {name: tensor for name, tensor in self.model.model.state_dict().items() if name not in _OWN}


def transferred(source: Source, data: Dataset, show: bool) -> SequenceRecommender:
    """See ``SequenceRecommender.transfer``."""
    theirs = source.model
    made = type(theirs)(theirs.config)
    data = source.in_its_words(data)
    made._know(data, data)
    made.language_tuned = theirs.language_tuned
    made.plan = theirs.plan.model_copy(update={"text_columns": None})
    vocabulary = made.item_vocabulary
    text = None if theirs.log.text is None else source.text(made._read_text(made.plan, show))
    known = np.zeros(len(vocabulary) + 1, dtype=bool)
    log = LogShape(len(vocabulary), 0, (), source.features(made.items, vocabulary), text, known)
    made.log = source.shaped(log)
    made.model = build_model(made.plan, made.log)
    made.model.load_state_dict(source.weights(), strict=False)
    torch.nn.init.zeros_(made.model.tower.ids.weight)
    made.model.eval()
    weights = None if theirs.trend is None or data.clock != "time" else theirs.trend.weights
    made.trend = made._trend_of(weights)
    made.report |= {"features": [], "training": theirs.report["training"], "transferred": True}
    made._fitted = True
    return made
