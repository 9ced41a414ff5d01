"""A catalogue made ready for questions: masks for filters, categories as vectors, titles, and the search by text.

Which columns say what is told by their names:

- categories: ``categories``, ``category``, ``genres``, ``genre``, as ``data.attribute_columns.category_entries`` reads
  them, each level of a path for itself. All that are there count together, and capital letters do not matter. A filter
  also finds the whole text of a column, and the parts of a name between ``, ``.
- price: ``price``. Text is read where it holds a number.
- stock: ``in_stock`` or ``available`` (true or false), else ``stock`` or ``quantity`` (in stock above 0).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from segue.data.attribute_columns import category_entries, entries_of, numbers_of, text_of
from segue.data.item_categories import COLUMNS, ItemCategories
from segue.errors import FilterUnavailable
from segue.ranking.topk import top_k
from segue.serving.answers.questions import Filters, Id

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender

_PRICES = ("price",)
_STOCK = ("in_stock", "available")
_QUANTITIES = ("stock", "quantity")


class Catalogue:
    """What filters, diversity and the search need of a recommender's items; derived at first use.

    Arrays are by item code, (catalogue + 1,), place 0 for the padding.
    """

    def __init__(self, recommender: Recommender) -> None:
        self.vocabulary, self.items = recommender.item_vocabulary, recommender.items
        self.titles = recommender.titles
        self.prior = recommender.item_counts.astype(np.float32)
        self.size = len(self.vocabulary) + 1

    def is_of(self, recommender: Recommender) -> bool:
        """Whether the recommender still has this catalogue."""
        return recommender.item_vocabulary is self.vocabulary and recommender.items is self.items

    def best(self, scores: np.ndarray, k: int) -> np.ndarray:
        """Codes of the ``k`` best by (catalogue + 1,) scores, best first; fewer where others are minus infinity."""
        # Items may have come since the model was given to this request.
        codes: np.ndarray = top_k(scores[None, : self.size].copy(), min(k, self.size - 1), self.prior[: len(scores)])[
            0
        ][0]
        return np.asarray(codes[codes > 0])

    def padded(self, scores: np.ndarray) -> np.ndarray:
        """Scores of this catalogue's items alone; minus infinity for those that the scores do not reach.

        Items may have come since the model was given to this request.
        """
        found = np.full(self.size, -np.inf, dtype=np.float32)
        known = min(self.size, len(scores))
        found[:known] = scores[:known]
        return found

    def listable(self, filters: Filters) -> np.ndarray | None:
        """A mask of the items that pass all filters; None: all do.

        Raises:
            FilterUnavailable: the catalogue lacks the column.
        """
        mask: np.ndarray | None = None

        def keep(passing: np.ndarray) -> None:
            nonlocal mask
            mask = passing if mask is None else mask & passing

        if filters.categories:
            keep(self._in_any(filters.categories))
        if filters.price_min is not None:
            keep(self._prices >= filters.price_min)
        if filters.price_max is not None:
            keep(self._prices <= filters.price_max)
        if filters.in_stock is not None:
            keep(self._stock if filters.in_stock else ~self._stock)
        if filters.exclude:
            passing = np.ones(self.size, dtype=bool)
            passing[self.vocabulary.encode(filters.exclude)] = False
            keep(passing)
        return mask

    def category_vectors(self, codes: np.ndarray) -> np.ndarray | None:
        """(codes, categories among them) 1 where an item is of a category; None where the catalogue has none."""
        return None if self._categories is None else self._categories.vectors(codes)

    def category_names(self, limit: int) -> list[str]:
        """The categories of most items, in small letters and in order of the alphabet; none where there are none."""
        if self._categories is None:
            return []
        names, places = self._categories.names, self._categories.places
        most = np.argsort(-np.bincount(places, minlength=len(names)), kind="stable")[:limit]
        return [str(name) for name in names.gather(np.sort(most)).to_list()]

    def search(self, query: str, k: int) -> list[Id]:
        """Ids of items whose id or title begins with the query, then those whose title holds it; popular ones first."""
        wanted = query.strip().lower()
        names, starts = self._names
        order = starts if not wanted else None
        if order is None:
            begins = names.str.starts_with(wanted) | self._lower_ids.str.starts_with(wanted)
            holds = names.str.contains(wanted, literal=True)
            rank = np.where(begins.to_numpy(), 0, np.where(holds.to_numpy(), 1, 2))
            order = starts[np.argsort(rank[starts], kind="stable")]
            order = order[rank[order] < 2]
        found: list[Id] = self.vocabulary.decode(order[:k] + 1).to_list()
        return found

    def rows(self, ids: list[Id]) -> list[dict[str, object]]:
        """Their rows of the catalogue, in that order; the id alone where it has none."""
        if self.items is None:
            return [{"item_id": each} for each in ids]
        wanted = pl.Series("item_id", ids, dtype=self.vocabulary.ids.dtype).to_frame()
        return wanted.join(self.items, on="item_id", how="left", maintain_order="left").to_dicts()

    def columns(self) -> str:
        """Names of the catalogue's columns, for a person."""
        return "none" if self.items is None else ", ".join(self.items.columns)

    @cached_property
    def _names(self) -> tuple[pl.Series, np.ndarray]:
        """Titles in small letters by code - 1, and places by popularity."""
        titles = pl.Series([self.titles.get(each) or "" for each in self.vocabulary.ids.to_list()], dtype=pl.String)
        return titles.str.to_lowercase(), np.argsort(-self.prior[1:], kind="stable")

    @cached_property
    def _lower_ids(self) -> pl.Series:
        return self.vocabulary.ids.cast(pl.String).str.to_lowercase()

    @cached_property
    def _categories(self) -> ItemCategories | None:
        return ItemCategories.of(self.items, self.vocabulary)

    @cached_property
    def _filter_names(self) -> pl.DataFrame:
        """``item`` and ``value``: every name in small letters that a filter finds an item by."""
        parts = []
        for column in self._columns(COLUMNS):
            names = category_entries(column, levels=True)
            shorter = names.with_columns(pl.col("value").str.split(", ")).explode("value")
            parts += [names, shorter, entries_of(column, None)]
        return self._by_item(parts)

    def _by_item(self, entries: list[pl.DataFrame]) -> pl.DataFrame:
        """``item`` codes and ``value`` in small letters of entries by row, each pair once, by value and item."""
        table = pl.concat(entries).with_columns(pl.col("value").str.strip_chars().str.to_lowercase())
        codes = self._codes[table["row"].to_numpy().astype(np.int64)]
        table = table.select("value").with_columns(item=codes)
        return table.filter(pl.col("item") > 0).unique(maintain_order=True).sort("value", "item")

    def _in_any(self, wanted: tuple[str, ...]) -> np.ndarray:
        if self._categories is None:
            raise FilterUnavailable(name="categories", wanted="a column 'categories' or 'genres'", found=self.columns())
        names = pl.Series([each.strip().lower() for each in wanted], dtype=pl.String)
        mask = np.zeros(self.size, dtype=bool)
        mask[self._filter_names.filter(pl.col("value").is_in(names.implode()))["item"].to_numpy()] = True
        return mask

    @cached_property
    def _prices(self) -> np.ndarray:
        columns = self._columns(_PRICES)
        if not columns:
            raise FilterUnavailable(name="price", wanted="a column 'price'", found=self.columns())
        return self._by_code(numbers_of(columns[0]), float("nan"))

    @cached_property
    def _stock(self) -> np.ndarray:
        told = self._columns(_STOCK)
        counted = self._columns(_QUANTITIES)
        if not told and not counted:
            raise FilterUnavailable(name="in_stock", wanted="a column 'in_stock' or 'quantity'", found=self.columns())
        if not told:
            return self._by_code(numbers_of(counted[0]), float("nan")) > 0
        column = told[0]
        if column.dtype == pl.Boolean or column.dtype.is_numeric():
            yes = numbers_of(column) > 0
        else:
            texts = text_of(column).str.strip_chars().str.to_lowercase()
            yes = texts.is_in(["true", "yes", "1"]).fill_null(False).to_numpy()
        return self._by_code(yes, False)

    @cached_property
    def _codes(self) -> np.ndarray:
        """Item codes of the catalogue's rows."""
        assert self.items is not None
        return self.vocabulary.encode(self.items["item_id"])

    def _columns(self, names: tuple[str, ...]) -> list[pl.Series]:
        if self.items is None:
            return []
        known = {name.lower(): name for name in self.items.columns}
        return [self.items[known[name]] for name in names if name in known]

    def _by_code(self, values: np.ndarray, absent: float | bool) -> np.ndarray:
        spread = np.full(self.size, absent, dtype=values.dtype)
        spread[self._codes] = values
        return spread
