"""Categories of the items of a catalogue, read from its columns ``categories``, ``category``, ``genres`` and ``genre``.

``attribute_columns.category_entries`` says how values are read. All columns that are there count together; capital
letters do not matter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl

from segue.data.attribute_columns import category_entries
from segue.data.vocabulary import Vocabulary

COLUMNS = ("categories", "category", "genres", "genre")


@dataclass(frozen=True, eq=False)
class ItemCategories:
    """Which item is of which category.

    Attributes:
        names: of the categories, in small letters.
        items: (entries,) int64 item codes.
        places: (entries,) int64 the place of the category among ``names``.
        size: one more than the highest item code.
    """

    names: pl.Series
    items: np.ndarray
    places: np.ndarray
    size: int

    @classmethod
    def of(cls, catalogue: pl.DataFrame | None, vocabulary: Vocabulary) -> Self | None:
        """Those of a catalogue; None where it has none of the columns."""
        if catalogue is None:
            return None
        known = {name.lower(): name for name in catalogue.columns}
        columns = [catalogue[known[name]] for name in COLUMNS if name in known]
        if not columns:
            return None
        codes = vocabulary.encode(catalogue["item_id"])
        found = []
        for column in columns:
            entries = category_entries(column, levels=True)
            rows = entries["row"].to_numpy().astype(np.int64)
            value = entries["value"].str.strip_chars().str.to_lowercase()
            found.append(pl.DataFrame({"item": codes[rows], "value": value}))
        table = pl.concat(found).filter(pl.col("item") > 0).unique(maintain_order=True).sort("value", "item")
        places = table["value"].rle_id().to_numpy().astype(np.int64)
        names = table["value"].unique(maintain_order=True)
        return cls(names, table["item"].to_numpy(), places, len(vocabulary) + 1)

    def vectors(self, codes: np.ndarray) -> np.ndarray:
        """(codes, categories among them) float32, 1 where an item is of a category."""
        row_of = np.full(self.size, -1)
        row_of[codes] = np.arange(len(codes))
        part = row_of[self.items] >= 0
        columns, column = np.unique(self.places[part], return_inverse=True)
        vectors = np.zeros((len(codes), max(1, len(columns))), dtype=np.float32)
        vectors[row_of[self.items[part]], column] = 1
        return vectors
