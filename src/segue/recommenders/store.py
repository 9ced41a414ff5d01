"""Loading any saved recommender by the class its manifest names."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from segue import artefacts
from segue.errors import ArtefactForeign
from segue.recommenders.base import Recommender

# Class to module: an artefact chooses among these and nothing else.
CLASSES = {
    "Popular": "popular",
    "RecentlyPopular": "popular",
    "FirstOrder": "transitions",
    "ItemNeighbours": "neighbours",
    "EASE": "ease",
    "ALS": "als",
    "SequenceRecommender": "sequence",
}


def load(path: str | Path) -> Recommender:
    """Load a recommender that ``save`` wrote.

    Raises:
        ArtefactNotFound, ArtefactCorrupt, ArtefactTooNew: see ``segue.artefacts.read``.
        ArtefactForeign: a sound artefact, but of something else.
    """
    artefact = artefacts.read(path)
    name = artefact.manifest["class"]
    if name in CLASSES:
        import_module(f"segue.recommenders.{CLASSES[name]}")
    if name not in Recommender.registry:
        raise ArtefactForeign(path=path, found=name, wanted="recommender")
    return Recommender.registry[name].restore(artefact)
