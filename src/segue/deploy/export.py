"""``segue export``: a trained recommender as one that answers without torch, kept only if it answers as before.

Tracing, smaller numbers and the comparison are the other modules'; here they are joined, and the artefact is written
whole or not at all.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from segue import artefacts
from segue.config import Config
from segue.deploy.comparing import Figures, Questions, answered, figures
from segue.deploy.quantising import WAYS, quantised
from segue.deploy.tracing import encoder_columns, trace_encoder, trace_item_path, trace_language
from segue.errors import AlreadyExported, ExportWorse, NotExportable, NothingToExport, SegueError
from segue.language.encode import encode_texts
from segue.language.exported import ExportedTextEncoder, TextFacts
from segue.language.text import item_texts
from segue.recommenders.base import Recommender
from segue.recommenders.exported import ExportedConfig, ExportedRecommender, Precision, Reading
from segue.recommenders.exported_items import ExportedItems
from segue.recommenders.sequence import SequenceRecommender
from segue.recommenders.several import Several
from segue.recommenders.store import load_with_any_test
from segue.sessions import Graph

_TEXTS = 256  # that both language models read, to be held against each other


class ExportConfig(Config):
    """Settings of an export."""

    precision: Precision = "fp32"
    """Numbers of encoder and language model: fp32, or int8 (a quarter of the bytes)."""
    text: bool = True
    """Whether the language model that reads the text of new items comes along, where there is one."""
    users: int = Field(1_000, ge=1)
    """People that both are asked about, at most."""
    least_overlap: float = Field(0.95, ge=0, le=1)
    """Mean share of the 10 best that must be the same."""
    most_loss: float = Field(0.01, ge=0, le=1)
    """Share of NDCG@10 that may be lost."""


@dataclass(frozen=True)
class Export:
    """What an export made, and how it answers beside what it was made of.

    Attributes:
        model: answers without torch.
        users: how many people were asked about, and where they come from.
        figures: by form: ``torch fp32``, ``onnx fp32`` and, where that was asked for, ``onnx int8``.
        way: what of the encoder is int8; None in fp32.
        tried: the ways that did not answer as before, with their overlap and NDCG@10.
        text_cosine: mean cosine between the vectors that the trained and the exported language model give the texts of
            items; None without one.
    """

    model: Recommender
    users: tuple[int, str]
    figures: dict[str, Figures]
    way: str | None = None
    tried: tuple[dict[str, Any], ...] = ()
    text_cosine: float | None = None

    def report(self) -> dict[str, Any]:
        """As it stands in ``model.report["export"]``."""
        told: dict[str, Any] = {name: asdict(each) for name, each in self.figures.items()}
        return {
            "users": self.users[0],
            "asked_of": self.users[1],
            "figures": told,
            "int8": self.way,
            "tried": list(self.tried),
            "text_cosine": self.text_cosine,
        }


def export(path: str | Path, out: str | Path, config: ExportConfig | None = None) -> Export:
    """Export the recommender in a directory into another one.

    Raises:
        ArtefactNotFound, ArtefactCorrupt, ArtefactTooNew, ArtefactForeign, ArtefactInTheWay, ArtefactNotWritten.
        AlreadyExported, NothingToExport, NotExportable: there is nothing to do, or it cannot be done.
        ExportWorse: what came out answers otherwise; nothing was written.
        LanguageModelUnknown, LanguageModelChanged: what read the texts in training is not there.
    """
    config = ExportConfig() if config is None else config
    artefacts.refuse_in_the_way(out)
    if artefacts.read(path).manifest["class"] == ExportedRecommender.__name__:
        raise AlreadyExported(path=path)
    trained, test = load_with_any_test(path)
    found = exported(trained, Questions.of(trained, test, config.users), config)
    found.model.save(out, test=test)
    return found


def exported(trained: Recommender, questions: Questions, config: ExportConfig) -> Export:
    """The same recommender without torch, and how it answers the questions; raises as :func:`export`."""
    before = answered(trained, questions)
    plain, cosine = _plain(trained, config)
    told = {"torch fp32": figures(trained, questions, before), "onnx fp32": figures(plain, questions, before)}
    users = len(before), questions.asked_of
    _refuse_worse(told["torch fp32"], told["onnx fp32"], config, "fp32")
    found = Export(plain, users, told, text_cosine=cosine)
    if config.precision == "int8":
        found = _smaller(found, questions, before, config)
    found.model.report = {**trained.report, "export": found.report()}
    return found


def _smaller(found: Export, questions: Questions, before: np.ndarray, config: ExportConfig) -> Export:
    """In int8, by the first way that answers as before."""
    tried: list[dict[str, Any]] = []
    for way in WAYS:
        model = _each(found.model, lambda part, way=way: _in_int8(part, way))
        met = figures(model, questions, before)
        try:
            _refuse_worse(found.figures["torch fp32"], met, config, "int8")
        except ExportWorse:
            tried.append({"way": way, "overlap": met.overlap, "ndcg": met.ndcg})
            if way == list(WAYS)[-1]:
                raise
            continue
        told = {**found.figures, "onnx int8": met}
        return replace(found, model=model, figures=told, way=way, tried=tuple(tried))
    raise AssertionError("unreachable")


def _refuse_worse(before: Figures, after: Figures, config: ExportConfig, precision: str) -> None:
    remedy = "Use --precision fp32." if precision == "int8" else "Please report it with the model's settings."
    if after.overlap < config.least_overlap:
        what = f"{after.overlap:.3f} of the 10 best are the same, at least {config.least_overlap} are asked for"
        raise ExportWorse(precision=precision, what=what, remedy=remedy)
    if after.ndcg < before.ndcg * (1 - config.most_loss):
        what = f"NDCG@10 falls from {before.ndcg:.4f} to {after.ndcg:.4f}, by more than {config.most_loss:.0%}"
        raise ExportWorse(precision=precision, what=what, remedy=remedy)


def _plain(trained: Recommender, config: ExportConfig) -> tuple[Recommender, float | None]:
    """In fp32, and how near its language model is to the trained one's."""
    cosines: list[float] = []
    parts: list[Recommender] = []

    def made(part: SequenceRecommender) -> Recommender:
        model, cosine = _made(part, config)
        parts.append(model)
        if cosine is not None:
            cosines.append(cosine)
        return model

    model = _each(trained, made)
    if not parts:
        raise NothingToExport(owner=type(trained).__name__)
    return model, min(cosines, default=None)


def _each(model: Recommender, change: Any) -> Recommender:
    """A recommender with each sequence model in it changed."""
    if isinstance(model, SequenceRecommender | ExportedRecommender):
        changed: Recommender = change(model)
        return changed
    if not isinstance(model, Several):
        return model
    twin = copy.copy(model)
    twin.members = [_each(member, change) for member in model.members]
    specs = [
        spec.model_copy(update={"recommender": type(member).__name__, "settings": member.config.model_dump()})
        for spec, member in zip(model.config.members, twin.members, strict=True)
    ]
    twin.config = model.config.model_copy(update={"members": specs})
    return twin


def _made(trained: SequenceRecommender, config: ExportConfig) -> tuple[ExportedRecommender, float | None]:
    """One sequence model in fp32."""
    columns = encoder_columns(trained.plan, bool(trained.log.actions))
    model = ExportedRecommender()
    model.know_as(trained)
    model.encoder = Graph(trace_encoder(trained.model, columns))
    model.reading = Reading(columns, trained.plan.max_length, trained.plan.long_history, trained.target)
    model.vectors, cosine = _items(trained, config)
    model.trend, model.prior = trained.trend, trained.prior
    model.source = {
        "recommender": type(trained).__name__,
        "settings": trained.config.model_dump(),
        "weights_sha256": trained.weights_sha256(),
    }
    model.report = dict(trained.report)
    model._fitted = True
    return model, cosine


def _items(trained: SequenceRecommender, config: ExportConfig) -> tuple[ExportedItems, float | None]:
    tower, vectors = trained.model.tower, trained.item_vectors
    if trained.log.features is None and trained.log.text is None:
        return ExportedItems(vectors), None
    own = tower.ids.weight.detach().numpy() * tower.get_buffer("known").numpy()[:, None]
    features = trained.log.features
    attributes = None if features is None else tower.attributes.detach().numpy()
    path = None if tower.text is None else Graph(trace_item_path(tower))
    language = cosine = None
    if path is not None and config.text:
        language = _language(trained)
        cosine = _nearness(trained, language)
    return ExportedItems(vectors, own.astype(np.float32), features, attributes, path, language), cosine


def _language(trained: SequenceRecommender) -> ExportedTextEncoder:
    encoder = trained.text_encoder()
    name = f"The language model {encoder.name!r}"
    remedy = "Leave it out with --no-text; new items are then taken by retraining alone."
    tokenizer = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        reason = "its tokenizer is not one of the library tokenizers"
        raise NotExportable(what=name, reason=reason, remedy=remedy)
    try:
        graph = Graph(trace_language(encoder))
    except SegueError:
        raise
    except Exception as error:  # noqa: BLE001 - a model can resist in as many ways as there are models
        raise NotExportable(what=name, reason=str(error).strip().splitlines()[0], remedy=remedy) from None
    facts = TextFacts(
        size=encoder.size,
        columns=tuple(trained.report["text"]["columns"]),
        prompt=encoder.prompt,
        max_tokens=encoder.max_tokens,
        pad=int(encoder.tokenizer.pad_token_id),
        end=encoder.end() if encoder.pooling == "eos" else None,
    )
    return ExportedTextEncoder(graph, tokenizer.to_str(), facts)


def _nearness(trained: SequenceRecommender, language: ExportedTextEncoder) -> float | None:
    """Mean cosine between what both language models say of some items; None where no item has text."""
    texts = [text for text in _texts(trained, language) if text.strip()][:_TEXTS]
    if not texts:
        return None
    return _cosine(encode_texts(trained.text_encoder(), texts, False), language.vectors(texts))


def _texts(model: Recommender, language: ExportedTextEncoder) -> list[str]:
    return item_texts(model.items, model.item_vocabulary, language.facts.columns)


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / np.maximum(lengths, 1e-12)).mean())


def _in_int8(model: ExportedRecommender, way: str) -> ExportedRecommender:
    small = copy.copy(model)
    small.config = ExportedConfig(precision="int8")
    small.encoder = Graph(quantised(model.encoder.content, way))
    return small
