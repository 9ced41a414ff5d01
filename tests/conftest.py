"""What every test may ask for: a small log whose order can be learnt, its catalogue, and a split of it.

The log is made from a seed with numpy; nothing is downloaded. The fixtures live as long as the session, so no test
may change them (polars frames and data sets are immutable anyway).
"""

from __future__ import annotations

import os

# Before numpy, numba or torch start their threads.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["SEGUE_PROGRESS"] = "0"
# text="auto" reads nothing, whatever this machine has fetched; tests of text name a model.
os.environ["SEGUE_TEXT"] = "none"

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, settings

import segue
from tests.system_tools import skipped_by_package

USERS, ITEMS = 60, 40
FIRST_SECOND = 1_600_000_000  # 13 September 2020

# No deadline: a shared machine may stall any example, and the time of one is no behaviour.
settings.register_profile("segue", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("segue")


def make_log(seed: int = 0, users: int = USERS, items: int = ITEMS) -> pl.DataFrame:
    """A log in which four of five events follow from the one before.

    Every item has one successor on a ring through the whole catalogue, so that an order-aware recommender can learn
    it and a popularity count cannot. Histories have 5 to 25 events, seconds between events vary, and the rows of
    the log are in time order over all users, as in a real log.
    """
    rng = np.random.default_rng(seed)
    ring = rng.permutation(items)
    successor = np.empty(items, dtype=np.int64)
    successor[ring] = np.roll(ring, -1)
    rows = []
    for user in range(users):
        item = int(rng.integers(items))
        moment = FIRST_SECOND + int(rng.integers(30 * 86_400))
        for _ in range(int(rng.integers(5, 26))):
            action = "purchase" if rng.random() < 0.1 else "view"
            rows.append((f"u{user}", f"i{item}", moment, action, float(rng.integers(1, 6))))
            item = int(successor[item]) if rng.random() < 0.8 else int(rng.integers(items))
            moment += int(rng.integers(1, 6 * 3_600))
    names = ["user_id", "item_id", "timestamp", "action", "value"]
    return pl.DataFrame(rows, schema=names, orient="row").sort("timestamp", maintain_order=True)


@pytest.fixture(scope="session")
def log() -> pl.DataFrame:
    """``user_id``, ``item_id`` (text), ``timestamp`` (seconds), ``action``, ``value``: 60 users, 40 items."""
    return make_log()


@pytest.fixture(scope="session")
def catalogue() -> pl.DataFrame:
    """``item_id``, ``title``, ``categories`` (lists of text) of every item, and of two that nobody met."""
    numbers = range(ITEMS + 2)
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in numbers],
            "title": [f"Film number {n}" for n in numbers],
            "categories": [[("drama", "comedy", "crime")[n % 3]] for n in numbers],
        }
    )


@pytest.fixture(scope="session")
def data(log: pl.DataFrame, catalogue: pl.DataFrame) -> segue.Dataset:
    """Log and catalogue as a data set."""
    return segue.Dataset.from_frames(log, catalogue)


@pytest.fixture(scope="session")
def split(data: segue.Dataset) -> segue.Split:
    """``data``, leave-last-out."""
    return segue.split.leave_last_out(data)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many tests were skipped for want of a system package; nothing where none was."""
    reasons = [str(report.longrepr[-1]) for report in terminalreporter.stats.get("skipped", []) if report.longrepr]
    for package, count in sorted(skipped_by_package(reasons).items()):
        terminalreporter.write_line(f"{count} tests were skipped because {package} is missing.", yellow=True)
