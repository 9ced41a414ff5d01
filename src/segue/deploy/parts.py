"""One trained sequence model as an exported one: its encoder, its items, its language model; in fp32 and in int8.

Whether what comes out answers as before is left to ``deploy.export``.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np

from segue.deploy.quantising import quantised
from segue.deploy.tracing import encoder_columns, trace_encoder, trace_item_path, trace_language
from segue.errors import NotExportable
from segue.language.encode import encode_texts
from segue.language.exported import ExportedTextEncoder, TextFacts
from segue.language.text import item_texts
from segue.recommenders.exported import ExportedRecommender, Reading
from segue.recommenders.exported_items import ExportedItems
from segue.recommenders.sequence import SequenceRecommender
from segue.sessions import Graph

_TEXTS = 256  # of items, that two language models are held against each other on


def in_fp32(trained: SequenceRecommender, text: bool = True) -> ExportedRecommender:
    """The model without torch, and nothing smaller.

    Args:
        trained: fitted.
        text: whether its language model comes along, where it has one.

    Raises:
        NotExportable: the language model resists.
        LanguageModelUnknown, LanguageModelChanged: it is not there.
    """
    columns = encoder_columns(trained.plan, bool(trained.log.actions))
    model = ExportedRecommender()
    model.know_as(trained)
    model.encoder = Graph(trace_encoder(trained.model, columns))
    columns = tuple(name for name in columns if name in model.encoder.inputs)  # what nothing reads is dropped there
    model.reading = Reading(columns, trained.plan.max_length, trained.plan.long_history, trained.target)
    model.vectors = _items(trained, text)
    model.trend, model.prior = trained.trend, trained.prior
    settings = trained.config.model_dump(mode="json")
    model.source = {"recommender": type(trained).__name__, "settings": settings}
    model.source["weights_sha256"] = trained.weights_sha256()
    model.report = dict(trained.report)
    model._fitted = True
    return model


def in_int8(model: ExportedRecommender, way: str) -> ExportedRecommender | None:
    """The model with its encoder in int8; None where this way changes nothing of it."""
    content = quantised(model.encoder.content, way)
    if content is None:
        return None
    small = copy.copy(model)
    small.config, small.encoder = model.config.model_copy(update={"precision": "int8"}), Graph(content)
    return small


def with_smaller_language(model: ExportedRecommender, least_cosine: float) -> ExportedRecommender:
    """The model with its language model in int8, unless that says something else of the items' texts."""
    language = model.vectors.language
    if language is None:
        return model
    content = quantised(language.graph.content, tables=True)
    texts = _texts(model, language)
    if content is None or not texts:
        return model
    small = ExportedTextEncoder(Graph(content), language.tokenizer, language.facts)
    if _cosine(language.vectors(texts), small.vectors(texts)) < least_cosine:
        return model
    twin = copy.copy(model)
    twin.vectors = replace(model.vectors, language=small)
    return twin


def text_cosine(trained: SequenceRecommender, model: ExportedRecommender) -> float | None:
    """Mean cosine between what both language models say of items; None where there is none, or no text."""
    language = model.vectors.language
    texts = [] if language is None else _texts(model, language)
    if language is None or not texts:
        return None
    return _cosine(encode_texts(trained.text_encoder(), texts, False), language.vectors(texts))


def _items(trained: SequenceRecommender, text: bool) -> ExportedItems:
    tower, features = trained.model.tower, trained.log.features
    if features is None and tower.text is None:
        return ExportedItems(trained.item_table)
    own = tower.ids.weight.detach().numpy() * tower.get_buffer("known").numpy()[:, None]
    return ExportedItems(
        trained.item_table,
        own.astype(np.float32),
        features,
        None if features is None else tower.attributes.detach().numpy(),
        None if tower.text is None else Graph(trace_item_path(tower)),
        _language(trained) if tower.text is not None and text else None,
    )


def _language(trained: SequenceRecommender) -> ExportedTextEncoder:
    encoder = trained.text_encoder()
    what = f"The language model {encoder.name!r}"
    remedy = "Leave it out with --no-text; items that it would have to read are then not taken."
    tokenizer = getattr(encoder.tokenizer, "backend_tokenizer", None)
    if tokenizer is None:
        raise NotExportable(what=what, reason="its tokenizer is none of the tokenizers library", remedy=remedy)
    try:
        graph = Graph(trace_language(encoder))
    except Exception as error:  # noqa: BLE001 - a model can resist in as many ways as there are models
        raise NotExportable(what=what, reason=str(error).strip().splitlines()[0], remedy=remedy) from None
    facts = TextFacts(
        size=encoder.size,
        columns=tuple(trained.report["text"]["columns"]),
        prompt=encoder.prompt,
        max_tokens=encoder.max_tokens,
        pad=int(encoder.tokenizer.pad_token_id),
        end=encoder.end() if encoder.pooling == "eos" else None,
    )
    return ExportedTextEncoder(graph, tokenizer.to_str(), facts)


def _texts(model: ExportedRecommender, language: ExportedTextEncoder) -> list[str]:
    """Those of some items that have any."""
    texts = item_texts(model.items, model.item_vocabulary, language.facts.columns)
    return [text for text in texts if text.strip()][:_TEXTS]


def _cosine(one: np.ndarray, other: np.ndarray) -> float:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / np.maximum(lengths, 1e-12)).mean())
