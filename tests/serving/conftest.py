"""What tests of the service share: a PostgreSQL, and a small shop with models of it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import polars as pl
import pytest

import segue
from tests import postgres
from tests.conftest import ITEMS, make_log


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[postgres.Server]:
    base = tmp_path_factory.getbasetemp()
    with postgres.shared(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) as server:
        yield server


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def shop_items() -> pl.DataFrame:
    """42 items, the last two of which nobody met; some without a price."""
    numbers = range(ITEMS + 2)
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in numbers],
            "title": [f"Film number {n}" for n in numbers],
            "categories": [[("Drama", "Comedy", "Crime")[n % 3], "Old" if n < 20 else "New"] for n in numbers],
            "price": [None if n % 7 == 0 else float(n) for n in numbers],
            "quantity": [n % 4 for n in numbers],
        }
    )


@pytest.fixture(scope="session")
def shop(shop_items: pl.DataFrame) -> segue.Dataset:
    """The log of the other tests with that catalogue."""
    return segue.Dataset.from_frames(make_log(), shop_items)


@pytest.fixture(scope="session")
def ease(shop: segue.Dataset) -> segue.EASE:
    return segue.EASE(regularisation=10.0).fit(shop)


@pytest.fixture(scope="session")
def popular(shop: segue.Dataset) -> segue.Popular:
    return segue.Popular().fit(shop)


@pytest.fixture(scope="session")
def habits(shop: segue.Dataset) -> segue.PatternRecommender:
    return segue.PatternRecommender().fit(shop)
