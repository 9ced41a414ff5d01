"""Recommenders by name: choosing a class, loading any saved one by its manifest, fitting the usual baselines."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import Field

from segue import artefacts, progress
from segue.config import Config, merged
from segue.data.split import Holdout
from segue.errors import ArtefactForeign, ConfigUnknown, NoTargets, extras_named, nearest
from segue.recommenders.base import Recommender

# Class to module: an artefact chooses among these and nothing else.
CLASSES = {
    "Popular": "popular",
    "RecentlyPopular": "popular",
    "FirstOrder": "transitions",
    "PatternRecommender": "patterns",
    "ItemNeighbours": "neighbours",
    "TextNeighbours": "text_neighbours",
    "EASE": "ease",
    "ALS": "als",
    "SequenceRecommender": "sequence",
    "ExportedRecommender": "exported",
    "Ensemble": "ensemble",
    "Hybrid": "hybrid",
    "LanguageRanker": "language_ranker",
}


_TABLES = ("cleaning", "settings")  # of a configuration file; all other names of --set are settings themselves

BASELINES = ("Popular", "RecentlyPopular", "FirstOrder", "ItemNeighbours", "EASE")


class RunConfig(Config):
    """What ``segue train`` reads from a TOML file and the command line."""

    recommender: str = "SequenceRecommender"
    """Class to train."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its settings."""
    cleaning: dict[str, Any] = Field(default_factory=dict)
    """Settings of the cleaning."""


def settings_of(
    file: Mapping[str, Any], assignments: Mapping[str, Any], recommender: str | None, seed: int | None
) -> RunConfig:
    """Join a configuration file, ``--set`` (``cleaning.x`` goes to the cleaning), ``--recommender`` and ``--seed``."""
    base = RunConfig.parse(file, owner="the configuration")
    over = dict(assignments)
    name = str(over.pop("recommender", recommender or base.recommender))
    tables = {part: over.pop(part) for part in _TABLES if isinstance(over.get(part), Mapping)}
    cleaning = merged(base.cleaning, tables.get("cleaning", {}))
    settings = merged(base.settings, {**over, **tables.get("settings", {})})
    if seed is not None and "seed" in recommender_class(name).Settings.model_fields:
        settings["seed"] = seed
    return RunConfig(recommender=name, settings=settings, cleaning=cleaning)


def recommender_class(name: str) -> type[Recommender]:
    """A recommender's class by its name; raises ``ConfigUnknown`` with the nearest, and ``ExtraMissing``."""
    if name in CLASSES:
        with extras_named(f"The recommender {name}"):
            import_module(f"segue.recommenders.{CLASSES[name]}")
    if name not in Recommender.registry:
        raise ConfigUnknown(name=name, owner="recommender", hint=nearest(name, CLASSES), known=", ".join(CLASSES))
    return Recommender.registry[name]


def load(path: str | Path) -> Recommender:
    """Load a recommender that ``save`` wrote.

    Raises:
        ArtefactNotFound, ArtefactCorrupt, ArtefactTooNew: see ``segue.artefacts.read``.
        ArtefactForeign: a sound artefact, but of something else.
    """
    return _restore(artefacts.read(path))


def load_with_test(path: str | Path) -> tuple[Recommender, Holdout]:
    """A recommender and the test it was saved with; raises ``NoTargets`` when it has none, and as :func:`load`."""
    artefact = artefacts.read(path)
    model = _restore(artefact)
    return model, model.holdout(artefact)


def load_with_any_test(path: str | Path) -> tuple[Recommender, Holdout | None]:
    """As :func:`load_with_test`; None where it was saved without a test."""
    artefact = artefacts.read(path)
    model = _restore(artefact)
    try:
        return model, model.holdout(artefact)
    except NoTargets:
        return model, None


def fit_baselines(test: Holdout, besides: str = "", progress: bool = True) -> list[Recommender]:
    """The usual baselines, fitted on all that is known when the test asks; ``besides`` is left out."""
    names = [name for name in BASELINES if name != besides]
    return [recommender_class(name)().fit(test.context) for name in _tracked(names, progress)]


def _tracked(names: list[str], show: bool) -> Any:
    return progress.track(names, "Baselines", len(names), show)


def _restore(artefact: artefacts.Reader) -> Recommender:
    name = artefact.manifest["class"]
    try:
        return recommender_class(name).restore(artefact)
    except ConfigUnknown:
        raise ArtefactForeign(path=artefact.path, found=name, wanted="recommender") from None
