"""The item tower without torch: vectors of items that come later, from their attributes and their text.

Known items keep the vectors that the trained tower gave them; see ``nn.item_tower`` for what they are made of.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from segue import artefacts
from segue.data.attributes import ItemFeatures
from segue.errors import TextNotExported
from segue.language.exported import ExportedTextEncoder
from segue.language.text import item_texts
from segue.recommenders.growing import Growth, longer
from segue.sessions import Graph

_NO_ITEMS = {"offsets": np.zeros(1, dtype=np.int64), "rows": np.zeros(0), "weights": np.zeros(0)}


@dataclass(frozen=True, eq=False)
class ExportedItems:
    """Vectors of all items, and how more are made.

    Attributes:
        vectors: (catalogue + 1, d) float32, or longer with a likeness.
        own: (catalogue + 1, d) the part that is an item's own; zeros where it has none. None where all of them is.
        features: how attributes are read; None without.
        attributes: (values, d) a vector for each of theirs.
        path: from what the language model says to what it adds; None where items are not known by text.
        language: reads their text; None also where it was left out.
    """

    vectors: np.ndarray
    own: np.ndarray | None = None
    features: ItemFeatures | None = None
    attributes: np.ndarray | None = None
    path: Graph | None = None
    language: ExportedTextEncoder | None = None

    def grown(self, growth: Growth) -> ExportedItems:
        """With the items that are new or say something else.

        Raises:
            TextNotExported, ExtraMissing, GraphBroken.
        """
        if self.path is not None and self.language is None:
            raise TextNotExported()
        vectors = longer(self.vectors, growth.rows)
        if self.own is None:
            return replace(self, vectors=vectors)
        own = longer(self.own, growth.rows)
        told = own[growth.told]
        alone = ~told.any(1)
        if self.features is not None and self.attributes is not None:
            told = told + self._attributes_of(growth)
        if self.path is not None and self.language is not None:
            texts = item_texts(growth.told_items, growth.told_vocabulary, self.language.facts.columns)[1:]
            added = self.path(raw=self.language.vectors(texts), alone=alone[:, None])
            size = told.shape[1]
            told = np.concatenate([told + added[:, :size], added[:, size:]], axis=1)
        vectors[growth.told] = told
        return replace(self, vectors=vectors, own=own)

    def _attributes_of(self, growth: Growth) -> np.ndarray:
        """(told items, d) the mean vector of an item's values for each feature, summed over the features."""
        assert self.features is not None
        assert self.attributes is not None
        bags = self.features.encoded(growth.told_items, growth.told_vocabulary)
        # An item has an entry for each feature at least, so that no bag is empty.
        summed: np.ndarray = np.add.reduceat(self.attributes[bags.rows] * bags.weights[:, None], bags.offsets[1:-1])
        return summed

    def save(self, artefact: artefacts.Writer) -> None:
        """Write all of it."""
        arrays = {"vectors": self.vectors, "own": self.own, "attributes": self.attributes}
        artefact.tensors("vectors", {name: array for name, array in arrays.items() if array is not None})
        if self.features is not None:
            artefact.document("features", self.features.document())
            artefact.table("feature_values", self.features.table())
        if self.path is not None:
            artefact.graph("path", self.path.content)
        if self.language is not None:
            self.language.save(artefact.within("language"))

    @classmethod
    def restored(cls, artefact: artefacts.Reader) -> ExportedItems:
        """What :meth:`save` wrote."""
        arrays = artefact.tensors("vectors")
        features = None
        if "features" in artefact:
            features = ItemFeatures.restored(artefact.document("features"), artefact.table("feature_values"), _NO_ITEMS)
        return cls(
            arrays["vectors"],
            arrays.get("own"),
            features,
            arrays.get("attributes"),
            Graph(artefact.graph("path")) if "path" in artefact else None,
            ExportedTextEncoder.restored(artefact.within("language")) if "language-model" in artefact else None,
        )
