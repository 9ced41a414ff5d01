"""The door: light to open, with a frozen set of names behind it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import segue

HEAVY = (
    "torch",
    "lightning",
    "polars",
    "numba",
    "numpy",
    "pandas",
    "scipy",
    "pydantic",
    "plotly",
    "rich",
    "optuna",
    "tensorboard",
)

NAMES = {
    "ALS",
    "CleaningConfig",
    "Dataset",
    "EASE",
    "Ensemble",
    "FirstOrder",
    "Holdout",
    "Hybrid",
    "ItemNeighbours",
    "LanguageRanker",
    "ExportedRecommender",
    "PatternRecommender",
    "Popular",
    "RecentlyPopular",
    "Recommender",
    "Report",
    "SequenceClassifier",
    "SequenceRecommender",
    "Split",
    "TextNeighbours",
    "TuningResult",
    "__version__",
    "compare",
    "datasets",
    "errors",
    "evaluate",
    "few_shot",
    "load",
    "mine",
    "split",
    "tune",
}


def loaded_by(code: str) -> set[str]:
    """Which of the heavy packages are in memory after some code has run in a fresh interpreter."""
    asks = f"import sys; {code}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", asks], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_opening_the_door_loads_nothing_heavy() -> None:
    assert loaded_by("import segue; segue.__version__; dir(segue)") == set()


def test_the_data_rooms_load_no_torch() -> None:
    loaded = loaded_by("import segue; segue.Dataset, segue.split, segue.datasets, segue.Popular")
    assert "polars" in loaded  # else the check of the test above sees nothing
    assert not loaded & {"torch", "lightning"}


def test_the_public_names_are_frozen() -> None:
    assert set(segue.__all__) == NAMES
    assert len(segue.__all__) == len(NAMES)
    assert dir(segue) == sorted(NAMES)


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_public_name_resolves_to_the_thing_of_that_name(name: str) -> None:
    thing = getattr(segue, name)
    if name != "__version__":
        assert thing.__name__.rpartition(".")[2] == name


def test_type_checkers_see_the_same_names_as_users() -> None:
    tree = ast.parse(Path(segue.__file__).read_text(encoding="utf-8"))
    (checked,) = [
        node for node in tree.body if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
    ]
    imported = {alias.name for node in checked.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert imported == NAMES - {"__version__"}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Populer'"):
        segue.Populer  # noqa: B018
    assert not hasattr(segue, "torch")
