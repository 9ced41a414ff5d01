"""Artefacts that servers of these tests answer with, and the PostgreSQL of the service's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

import segue
from tests.serving.conftest import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(scope="session")
def popular(data: segue.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small artefact that loads in no time."""
    path = tmp_path_factory.mktemp("models") / "popular"
    segue.Popular().fit(data).save(path)
    return path


@pytest.fixture(scope="session")
def habits(data: segue.Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact whose answers depend on what a user did."""
    path = tmp_path_factory.mktemp("models") / "habits"
    segue.FirstOrder().fit(data).save(path)
    return path
