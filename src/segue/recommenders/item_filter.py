"""Which items each request may list: ``among`` and ``exclude``, from external ids to codes.

Both take a list of item ids or a frame with ``item_id`` for all requests, or a mapping from user id to item ids or a
frame with ``user_id`` and ``item_id`` for each user. Memory grows with the pairs that are named, never with users times
items.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from segue.cautions import ItemFilterIncomplete
from segue.data import frames, schema
from segue.data.histories import Histories
from segue.data.vocabulary import Vocabulary
from segue.errors import ItemFilterMalformed

if TYPE_CHECKING:
    from segue.recommenders.asking import Asked
    from segue.recommenders.base import Recommender

_EXAMPLES = 3


@dataclass(frozen=True, eq=False)
class Pairs:
    """Item codes for each row of a request, several rows sharing one list.

    Attributes:
        group_of: (rows,) int64, which list each row has; -1 for the empty list.
        lists: the item codes of each list, without repeats, as ragged rows.
    """

    group_of: np.ndarray
    lists: Histories

    def entries(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The place among ``rows`` and the item code of each pair."""
        groups = self.group_of[rows]
        places = np.flatnonzero(groups >= 0)
        found = self.lists.take(groups[places])
        return np.repeat(places, found.lengths), found.items


@dataclass(frozen=True, eq=False)
class ItemFilter:
    """Which items the rows of a request may list.

    Attributes:
        mask: (n_items + 1,) items that may be listed in any row; None: all.
        allowed: pairs that may be listed, and no others; None: all.
        excluded: pairs that may not be listed; None: none.
    """

    mask: np.ndarray | None = None
    allowed: Pairs | None = None
    excluded: Pairs | None = None

    @property
    def any(self) -> bool:
        """Whether anything is ruled out."""
        return self.mask is not None or self.allowed is not None or self.excluded is not None

    def apply(self, scores: np.ndarray, rows: np.ndarray) -> None:
        """Set the scores of what may not be listed to minus infinity.

        Args:
            scores: (block, n_items + 1), overwritten.
            rows: (block,) the row of the request that each row of the block is.
        """
        if self.mask is not None:
            scores[:, ~self.mask] = -np.inf
        if self.allowed is not None:
            allowed = np.zeros(scores.shape, dtype=bool)
            allowed[self.allowed.entries(rows)] = True
            np.copyto(scores, -np.inf, where=~allowed)
        if self.excluded is not None:
            scores[self.excluded.entries(rows)] = -np.inf


def item_filter(model: Recommender, asked: Asked, among: Any, exclude: Any) -> ItemFilter:
    """Read ``among`` and ``exclude`` for the rows of a request; warns (``ItemFilterIncomplete``) of ids it cannot use.

    Raises:
        ItemFilterMalformed: neither ids, a frame nor a mapping.
        ColumnMissing: a frame without ``item_id``.
    """
    size = len(model.item_vocabulary) + 1
    mask = allowed = excluded = None
    if among is not None:
        codes = _read(model, asked, among, "among")
        if isinstance(codes, Pairs):
            allowed = codes
            without = int((allowed.group_of < 0).sum())
            if without:
                message = (
                    f"among= names no item for {without} of {len(allowed.group_of)} requests; their lists are empty."
                )
                warnings.warn(message, ItemFilterIncomplete, stacklevel=4)
        else:
            mask = np.zeros(size, dtype=bool)
            mask[codes] = True
    if exclude is not None:
        codes = _read(model, asked, exclude, "exclude")
        if isinstance(codes, Pairs):
            excluded = codes
        else:
            mask = np.ones(size, dtype=bool) if mask is None else mask
            mask[codes] = False
    return ItemFilter(mask, allowed, excluded)


def _read(model: Recommender, asked: Asked, given: Any, name: str) -> np.ndarray | Pairs:
    """Codes for all rows, or pairs."""
    if isinstance(given, Mapping):
        try:
            lists = [_listed(items, name) for items in given.values()]
        except TypeError:
            raise ItemFilterMalformed(name=name, kind="a mapping whose values are no lists of ids") from None
        users = [user for user, items in zip(given, lists, strict=True) for _ in items]
        return _pairs(model, asked, users, [item for items in lists for item in items], name)
    if isinstance(given, pl.Series) or (hasattr(given, "to_list") and not hasattr(given, "columns")):
        return _known(model, given if isinstance(given, pl.Series) else given.to_list(), name)
    if hasattr(given, "columns") or hasattr(given, "collect_schema"):
        table = schema.rename(frames.to_polars(given, name)[0], None, ("item_id",), f"frame {name}=")
        if "user_id" in table.columns:
            return _pairs(model, asked, table["user_id"], table["item_id"], name)
        return _known(model, table["item_id"], name)
    try:
        return _known(model, _listed(given, name), name)
    except TypeError:
        raise ItemFilterMalformed(name=name, kind=f"{type(given).__name__} {str(given)[:40]!r}") from None


def _listed(items: Any, name: str) -> list[Any]:
    """Ids as a list; a text is one id and no list. Raises ``ItemFilterMalformed`` and ``TypeError``."""
    if isinstance(items, str | bytes):
        raise ItemFilterMalformed(name=name, kind=f"the text {str(items)[:40]!r}")
    listed = list(items)
    if any(isinstance(each, list | tuple | set | dict | np.ndarray) for each in listed[:1]):
        raise ItemFilterMalformed(name=name, kind="a list of lists")
    return listed


def _known(model: Recommender, items: pl.Series | list[Any], name: str) -> np.ndarray:
    codes = model.item_vocabulary.encode(items)
    _warn_unknown(codes, items, "items", "the catalogue", name)
    return codes[codes > 0]


def _pairs(model: Recommender, asked: Asked, users: Any, items: Any, name: str) -> Pairs:
    """Codes for each user; users without a row have the empty list."""
    requested = Vocabulary.of(asked.users, is_uuid=asked.uuids)
    groups, codes = requested.encode(users), model.item_vocabulary.encode(items)
    strangers = (groups == 0) & (model.user_vocabulary.encode(users) == 0)
    _warn_unknown(np.where(strangers, 0, 1), users, "users", "the request or the log", name)
    _warn_unknown(codes, items, "items", "the catalogue", name)
    pairs = np.unique(np.stack([groups, codes])[:, (groups > 0) & (codes > 0)], axis=1)
    lists = Histories.from_rows(pairs[0] - 1, pairs[1], len(requested))
    group_of = requested.encode(asked.users) - 1
    # A user whose items are all unknown, or who has no row, has no list.
    group_of = np.where((group_of >= 0) & (lists.lengths[group_of] > 0), group_of, -1)
    return Pairs(group_of, lists)


def _warn_unknown(codes: np.ndarray, values: Iterable[Any], what: str, where: str, name: str) -> None:
    missing = np.flatnonzero(codes == 0)
    if not len(missing):
        return
    values = values.to_list() if isinstance(values, pl.Series) else list(values)
    unknown = list(dict.fromkeys(str(values[place]) for place in missing.tolist()))
    examples = ", ".join(repr(each) for each in unknown[:_EXAMPLES])
    message = f"{len(unknown):,} {what} of {name}= are not in {where}, for example {examples}; they count for nothing."
    warnings.warn(message, ItemFilterIncomplete, stacklevel=5)
