"""Small histories to count habits in."""

from __future__ import annotations

import numpy as np

from segue.data.histories import Histories


def histories_of(rows: list[list[int]]) -> Histories:
    """One row of item codes per user."""
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Histories(offsets, np.array([item for row in rows for item in row], dtype=np.int64))
