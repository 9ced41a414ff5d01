"""New items for a fitted recommender, without training: what a shop does on the day they arrive.

The frame is read and told apart here (new, changed, known already); what a class keeps for each item it extends itself,
in ``Recommender._grow``. A recommender grows whole or not at all. Learning from events is left to ``training``.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from segue.data import frames, schema
from segue.data.vocabulary import Vocabulary
from segue.errors import ColumnUnreadable, IdsDiffer
from segue.language.text import item_texts

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender


@dataclass(frozen=True)
class AddedItems:
    """What ``add_items`` did.

    Attributes:
        new: items that the recommender had not heard of.
        changed: items that it knew by another row of the catalogue, or by their events alone.
        unchanged: items that were there already, just so.
        without_text: of the new and the changed ones, how many have no text to be known by.
    """

    new: int
    changed: int
    unchanged: int
    without_text: int

    def __str__(self) -> str:
        told = f"{self.new:,} new items, {self.changed:,} changed, {self.unchanged:,} as they were"
        return told + (f"; {self.without_text:,} of them have no text" if self.without_text else "")


@dataclass(frozen=True, eq=False)
class Growth:
    """A longer catalogue; codes that were there keep their meaning.

    Attributes:
        vocabulary, items: of all items; the new ones stand at the end.
        told: codes of the new and the changed items, ascending.
    """

    vocabulary: Vocabulary
    items: pl.DataFrame
    told: np.ndarray

    @property
    def rows(self) -> int:
        """Items and the padding, code 0."""
        return len(self.vocabulary) + 1

    @property
    def told_vocabulary(self) -> Vocabulary:
        """Of the new and the changed items alone."""
        return Vocabulary(self.vocabulary.decode(self.told), self.vocabulary.is_uuid)

    @property
    def told_items(self) -> pl.DataFrame:
        """Their rows of the catalogue."""
        return self.items.join(self.told_vocabulary.ids.alias("item_id").to_frame(), on="item_id", how="semi")


def add_items(model: Recommender, frame: Any) -> AddedItems:
    """See ``Recommender.add_items``."""
    given = read(model, frame)
    known = model.item_vocabulary
    fresh = given.filter(pl.Series(known.encode(given["item_id"]) == 0))["item_id"]
    items, told = _merged(model.items, given)
    vocabulary = Vocabulary(pl.concat([known.ids, fresh.alias("id")]), known.is_uuid)
    growth = Growth(vocabulary, items, np.sort(vocabulary.encode(told)))
    texts = item_texts(growth.told_items, growth.told_vocabulary)[1:]
    added = AddedItems(
        new=len(fresh),
        changed=len(told) - len(fresh),
        unchanged=given.height - len(told),
        without_text=sum(not text.strip() for text in texts),
    )
    if len(told):
        _grow(model, growth)
    return added


def longer(array: np.ndarray, rows: int) -> np.ndarray:
    """The array with rows of zeros behind it, for items that nothing was learnt of."""
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), dtype=array.dtype)])


def _grow(model: Recommender, growth: Growth) -> None:
    grown = copy.copy(model)
    grown.report = dict(model.report)
    grown.item_vocabulary, grown.items = growth.vocabulary, growth.items
    grown.item_counts = longer(model.item_counts, growth.rows)
    grown._forget_answers()
    grown._grow(growth)
    model.__dict__ = grown.__dict__  # at once: whoever asks meanwhile is answered by the one or by the other


def can_grow(model: Recommender) -> bool:
    """Whether a recommender takes items without training."""
    from segue.recommenders.base import Recommender

    return type(model)._grow is not Recommender._grow


def read(model: Recommender, frame: Any) -> pl.DataFrame:
    """The rows of a frame of items, in the types of the catalogue that is there.

    Raises:
        ColumnMissing, DuplicateItems, EmptyLog, IdsDiffer, ColumnUnreadable.
    """
    table, _ = frames.to_polars(frame, "items")
    table = schema.normalise_items(schema.rename(table, None, ("item_id",), "catalogue"))
    wanted = {"item_id": model.item_vocabulary.ids.dtype}
    if model.items is not None:
        wanted |= {name: model.items.schema[name] for name in table.columns if name in model.items.columns}
    for name, kind in wanted.items():
        found = table.schema[name]
        if found == kind or kind == pl.Null:
            continue
        try:
            table = table.with_columns(pl.col(name).cast(kind))
        except pl.exceptions.PolarsError:
            if name == "item_id":
                raise IdsDiffer(left=kind, right=found) from None
            raise ColumnUnreadable(column=name, dtype=found, wanted=kind) from None
    schema.refuse_duplicates(table)  # "1" and "01" are one number
    return table


def _merged(items: pl.DataFrame | None, given: pl.DataFrame) -> tuple[pl.DataFrame, pl.Series]:
    """The catalogue with what was given in it, and the ids of the rows that are new to it or say something else.

    A column that was not given says nothing: what stood there stays.
    """
    if items is None:
        return given, given["item_id"]
    both = pl.concat([items, given], how="diagonal_relaxed")
    before, after = both.head(items.height), both.tail(given.height).select(given.columns)
    old = after.select("item_id").join(before, on="item_id", how="left", maintain_order="left")
    listed = after["item_id"].is_in(items["item_id"].implode())
    differs = [old[name].ne_missing(after[name]) for name in given.columns if name != "item_id"]
    told = ~listed
    for each in differs:
        told = told | each
    changed = after.filter(told & listed)
    merged = before.update(changed, on="item_id", how="left", include_nulls=True) if changed.height else before
    added = after.filter(~listed)
    return pl.concat([merged, added], how="diagonal_relaxed"), after.filter(told)["item_id"]
