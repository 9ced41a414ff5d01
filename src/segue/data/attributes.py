"""Item attributes: which columns of a catalogue are features, and what each item has of them, in codes.

``item_features`` decides and encodes; the result is plain arrays that a model turns into vectors, and that are saved
with it. How one column is read is left to ``attribute_columns``, the vectors to ``nn.item_tower``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import polars as pl

from segue.data.attribute_columns import Feature, feature_of
from segue.data.vocabulary import Vocabulary
from segue.errors import FeatureUnknown, nearest


@dataclass(frozen=True, eq=False)
class ItemFeatures:
    """What is known of each item, as rows of one table: the codes of the first feature, then of the second, ...

    Attributes:
        features: how each column is read.
        offsets: (catalogue + 2,) where the entries of each item code begin; code 0, padding, has none.
        rows: (entries,) rows of the table. Each item has at least one entry per feature: that of the unknown.
        weights: (entries,) one over the number of values that the item has of that feature.
    """

    features: tuple[Feature, ...]
    offsets: np.ndarray
    rows: np.ndarray
    weights: np.ndarray

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return [feature.name for feature in self.features]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of the table per feature."""
        return tuple(feature.size for feature in self.features)

    def coverage(self, feature: int) -> float:
        """The share of the catalogue that has a known value of a feature (by its place)."""
        unknown = sum(self.sizes[:feature])
        items = len(self.offsets) - 2
        return 1 - int((self.rows == unknown).sum()) / max(items, 1)

    def described(self) -> list[dict[str, Any]]:
        """For a report: name, kind, number of values and coverage of each."""
        return [
            {
                "name": feature.name,
                "kind": feature.kind,
                "values": feature.size - 1,
                "coverage": round(self.coverage(place), 4),
            }
            for place, feature in enumerate(self.features)
        ]

    def encoded(self, items: pl.DataFrame, vocabulary: Vocabulary) -> ItemFeatures:
        """The same features of another catalogue; values, columns and items that were never met are unknown."""
        return _encoded(self.features, items, vocabulary)

    # -- disk --------------------------------------------------------------------------------------------------

    def arrays(self) -> dict[str, np.ndarray]:
        """For saving, beside :meth:`table` and :meth:`document`."""
        return {"offsets": self.offsets, "rows": self.rows.astype(np.int32), "weights": self.weights}

    def table(self) -> pl.DataFrame:
        """The values of all categorical features, in the order of their codes."""
        pairs = [(place, value) for place, feature in enumerate(self.features) for value in feature.values]
        return pl.DataFrame(pairs, schema={"feature": pl.Int32, "value": pl.String}, orient="row")

    def document(self) -> list[dict[str, Any]]:
        """All but the values, as JSON."""
        return [
            {"name": each.name, "kind": each.kind, "edges": list(each.edges), "separator": each.separator}
            for each in self.features
        ]

    @classmethod
    def restored(
        cls, document: list[dict[str, Any]], table: pl.DataFrame, arrays: dict[str, np.ndarray]
    ) -> ItemFeatures:
        """From what was saved; ``ValueError`` where it does not fit together."""
        features = tuple(
            Feature(
                facts["name"],
                facts["kind"],
                tuple(table.filter(pl.col("feature") == place)["value"]),
                tuple(facts["edges"]),
                facts["separator"],
            )
            for place, facts in enumerate(document)
        )
        restored = cls(features, arrays["offsets"], arrays["rows"].astype(np.int64), arrays["weights"])
        rows, offsets = restored.rows, restored.offsets
        fits = len(rows) == len(restored.weights) == offsets[-1] and (np.diff(offsets) >= 0).all()
        if not fits or (len(rows) and (rows.min() < 0 or rows.max() >= sum(restored.sizes))):
            raise ValueError("the attributes of the items do not fit their features")
        return restored


def item_features(
    items: pl.DataFrame | None, vocabulary: Vocabulary, wanted: Sequence[str] | Literal["auto"] = "auto"
) -> ItemFeatures | None:
    """The features of a catalogue, or None where there are none.

    Args:
        items: the catalogue with external ``item_id``.
        vocabulary: of the items; those that the catalogue lacks have unknown values.
        wanted: names of columns, taken whatever is in them; ``"auto"`` takes what says something that items share.

    Raises:
        FeatureUnknown: a name that the catalogue does not have.
    """
    columns = [] if items is None else [name for name in items.columns if name != "item_id"]
    if wanted != "auto":
        for name in wanted:
            if name not in columns:
                raise FeatureUnknown(name=name, found=", ".join(columns) or "none", hint=nearest(name, columns))
    chosen = columns if wanted == "auto" else list(dict.fromkeys(wanted))
    if items is None or not chosen:
        return None
    found = [feature_of(items[name], insisted=wanted != "auto") for name in chosen]
    features = tuple(feature for feature in found if feature is not None)
    return _encoded(features, items, vocabulary) if features else None


def _encoded(features: tuple[Feature, ...], items: pl.DataFrame, vocabulary: Vocabulary) -> ItemFeatures:
    codes = vocabulary.encode(items["item_id"])
    catalogue = len(vocabulary)
    owners, rows, places = [], [], []
    first = 0
    for place, feature in enumerate(features):
        column = items[feature.name] if feature.name in items.columns else pl.Series(feature.name, [None] * len(codes))
        lines, values = feature.encode(column)
        owner = codes[lines]
        owner, values = owner[owner > 0], values[owner > 0]
        without = np.setdiff1d(np.arange(1, catalogue + 1), owner)
        owners.append(np.concatenate([owner, without]))
        rows.append(np.concatenate([values, np.zeros_like(without)]) + first)
        places.append(np.full(len(owner) + len(without), place))
        first += feature.size
    items_of, rows_of, features_of = np.concatenate(owners), np.concatenate(rows), np.concatenate(places)
    order = np.lexsort((rows_of, items_of))
    bag = (items_of * len(features) + features_of)[order]
    weights = (1 / np.bincount(bag)[bag]).astype(np.float32)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(items_of, minlength=catalogue + 1))])
    return ItemFeatures(features, offsets, rows_of[order], weights)
