"""``segue export``: a trained recommender as one that answers without torch, kept only if it answers as before.

Tracing, smaller numbers and the comparison are the other modules'; here they are joined, and the artefact is written
whole or not at all.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field

from segue import artefacts
from segue.config import Config, ReadWhere
from segue.deploy.comparing import Figures, Questions, Search, answered, figures, searched
from segue.deploy.parts import in_fp32, in_int8, text_cosine, with_smaller_language
from segue.deploy.quantising import WAYS
from segue.errors import (
    AlreadyExported,
    ExportOntoItself,
    ExportWorse,
    NotExportable,
    NothingToExport,
    SearchMisses,
    SearchNotTaken,
)
from segue.recommenders.base import Recommender
from segue.recommenders.exported import ExportedRecommender, Precision
from segue.recommenders.language_ranker import LanguageRanker
from segue.recommenders.sequence import SequenceRecommender
from segue.recommenders.several import Several
from segue.recommenders.store import load_with_any_test

AUTO_ITEMS = 500_000  # from here on approximate search is clearly sooner; see docs/export.md


class ExportConfig(Config):
    """Settings of an export."""

    read_where = (
        ReadWhere(
            ("candidates", "least_recall"),
            "search is approximate or auto",
            lambda config: config.search != "exact",
            on=("search",),
        ),
        ReadWhere(("least_cosine",), "precision is int8", lambda config: config.precision == "int8", on=("precision",)),
    )
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
    search: Literal["exact", "approximate", "auto"] = "exact"
    """How one history is held against the items: against all, against those that an index finds, or against those from
    ``AUTO_ITEMS`` items on, where that misses little."""
    candidates: int = Field(1_000, ge=1)
    """Items that the index finds, which are then scored exactly."""
    least_recall: float = Field(0.95, ge=0, le=1)
    """Mean share of the 10 best by exact search that approximate search must find."""
    least_cosine: float = Field(0.98, ge=-1, le=1)
    """Between what the language model says of a text in fp32 and in int8; below it stays in fp32."""


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
        search: how the index answers beside exact search; None without one.
        config: as asked for.
    """

    model: Recommender
    users: tuple[int, str]
    figures: dict[str, Figures]
    way: str | None = None
    tried: tuple[dict[str, Any], ...] = ()
    text_cosine: float | None = None
    search: Search | None = None
    config: ExportConfig = field(default_factory=ExportConfig)

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
            "search": None if self.search is None else asdict(self.search),
            "config": self.config.model_dump(),
        }


def export(path: str | Path, out: str | Path, config: ExportConfig | None = None) -> Export:
    """Export the recommender in a directory into another one.

    Raises:
        ArtefactNotFound, ArtefactCorrupt, ArtefactTooNew, ArtefactForeign, ArtefactInTheWay, ArtefactNotWritten.
        AlreadyExported, ExportOntoItself, NothingToExport, NotExportable: there is nothing to do, or it cannot be done.
        ExportWorse: what came out answers otherwise; nothing was written.
        SearchMisses, SearchNotTaken: approximate search finds too little, or cannot be had; nothing was written.
        ExtraMissing: ``usearch`` is not installed.
        LanguageModelUnknown, LanguageModelChanged: what read the texts in training is not there.
    """
    config = ExportConfig() if config is None else config
    config.warn_unread("export")
    if Path(out).resolve() == Path(path).resolve():
        raise ExportOntoItself(path=path)
    artefacts.refuse_in_the_way(out)
    trained, test = load_with_any_test(path)
    if any(isinstance(part, ExportedRecommender) for part in _neural(trained)):
        raise AlreadyExported(path=path)
    found = exported(trained, Questions.of(trained, test, config.users), config)
    found.model.save(out, test=test)
    return found


def exported(trained: Recommender, questions: Questions, config: ExportConfig) -> Export:
    """The same recommender without torch, and how it answers the questions; raises as :func:`export`."""
    if _holds_ranker(trained):
        remedy = "Export the recommender that finds its candidates."
        raise NotExportable(what="A LanguageRanker", reason="its language model reads every request", remedy=remedy)
    neural = _neural(trained)
    if not neural:
        raise NothingToExport(owner=type(trained).__name__)
    if config.search == "approximate" and not isinstance(trained, SequenceRecommender):
        raise SearchNotTaken(owner=type(trained).__name__)
    before = answered(trained, questions)
    parts = [in_fp32(part, config.text) for part in neural]
    model = _with(trained, iter(parts))
    told = {"torch fp32": figures(trained, questions, before), "onnx fp32": figures(model, questions, before)}
    _refuse_worse(told["torch fp32"], told["onnx fp32"], config, "fp32")
    found = Export(model, (len(before), questions.asked_of), told, config=config)
    if config.precision == "int8":
        parts = [with_smaller_language(part, config.least_cosine) for part in parts]
        found = _smaller(replace(found, model=_with(trained, iter(parts))), questions, before, config)
    cosines = [text_cosine(part, each) for part, each in zip(neural, _neural(found.model), strict=True)]
    found = replace(found, text_cosine=min((each for each in cosines if each is not None), default=None))
    found = _searching(found, questions, config)
    found.model.report = {**trained.report, "export": found.report()}
    return found


def _smaller(found: Export, questions: Questions, before: np.ndarray, config: ExportConfig) -> Export:
    """In int8, by the first way that answers as before."""
    tried: list[dict[str, Any]] = []
    refused: ExportWorse | None = None
    for way in WAYS:
        parts = [in_int8(part, way) for part in _neural(found.model)]
        if all(part is None for part in parts):
            continue
        chosen = (part if small is None else small for part, small in zip(_neural(found.model), parts, strict=True))
        model = _with(found.model, chosen)
        met = figures(model, questions, before)
        try:
            _refuse_worse(found.figures["torch fp32"], met, config, "int8")
        except ExportWorse as error:
            tried.append({"way": way, "overlap": met.overlap, "ndcg": met.ndcg})
            refused = refused or error
            continue
        return replace(found, model=model, figures={**found.figures, "onnx int8": met}, way=way, tried=tuple(tried))
    assert refused is not None, "every encoder has a matrix"
    raise refused


def _searching(found: Export, questions: Questions, config: ExportConfig) -> Export:
    """With an index, where one is asked for and finds what exact search does."""
    model = found.model
    large = len(model.item_vocabulary) >= AUTO_ITEMS
    if (
        config.search == "exact"
        or not isinstance(model, ExportedRecommender)
        or (config.search == "auto" and not large)
    ):
        return found
    twin = model.searching(config.candidates)
    met = searched(twin, questions)
    used = met.recall >= config.least_recall
    if not used and config.search == "approximate":
        raise SearchMisses(recall=f"{met.recall:.3f}", least=config.least_recall)
    return replace(found, model=twin if used else model, search=replace(met, used=used))


def _refuse_worse(before: Figures, after: Figures, config: ExportConfig, precision: str) -> None:
    int8 = "Keeping attention, gates and all but the feed-forward layers in fp32 was tried; use --precision fp32."
    remedy = int8 if precision == "int8" else "Please report it with the model's settings."
    if after.overlap < config.least_overlap:
        what = f"{after.overlap:.3f} of the 10 best are the same, at least {config.least_overlap} are asked for"
        raise ExportWorse(precision=precision, what=what, remedy=remedy)
    if after.ndcg < before.ndcg * (1 - config.most_loss):
        what = f"NDCG@10 falls from {before.ndcg:.4f} to {after.ndcg:.4f}, by more than {config.most_loss:.0%}"
        raise ExportWorse(precision=precision, what=what, remedy=remedy)


def _holds_ranker(model: Recommender) -> bool:
    members = model.members if isinstance(model, Several) else []
    return isinstance(model, LanguageRanker) or any(_holds_ranker(member) for member in members)


def _neural(model: Recommender) -> list[Any]:
    """The sequence models in a recommender, trained or exported, in order."""
    if isinstance(model, SequenceRecommender | ExportedRecommender):
        return [model]
    return [part for member in model.members for part in _neural(member)] if isinstance(model, Several) else []


def _with(model: Recommender, parts: Iterator[ExportedRecommender]) -> Recommender:
    """The recommender with other sequence models in it, in the order of :func:`_neural`."""
    if isinstance(model, SequenceRecommender | ExportedRecommender):
        return next(parts)
    if not isinstance(model, Several):
        return model
    twin = copy.copy(model)
    twin.members = [_with(member, parts) for member in model.members]
    specs = [
        spec.model_copy(update={"recommender": type(member).__name__, "settings": member.config.model_dump()})
        for spec, member in zip(model.config.members, twin.members, strict=True)
    ]
    twin.config = model.config.model_copy(update={"members": specs})
    return twin
