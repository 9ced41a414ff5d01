"""``ItemIndex``: the items whose vectors go best with a state, found without looking at all of them.

It is a hierarchical navigable small world graph (Malkov and Yashunin, 2018) over inner products, by ``usearch``. What
it finds is near the best and need not be it: scoring, and measuring what is missed, is left to the callers.
"""

from __future__ import annotations

import threading
from typing import Any, Self

import numpy as np

from segue.errors import ExtraMissing, IndexBroken

_NEIGHBOURS = 16  # that an item is linked to
_BREADTH = 40  # candidates that are weighed where an item is linked
_NUMBERS = "f16"  # half the memory; what is found is scored with the vectors themselves


class ItemIndex:
    """Codes of items, by their vectors. It is never changed: one with more items is another one.

    Args:
        index: of ``usearch``; its keys are codes.
    """

    def __init__(self, index: Any) -> None:
        self._index = index
        self._lock = threading.Lock()  # threads that search at once would share the library's working memory

    def __len__(self) -> int:
        return len(self._index)

    @classmethod
    def over(cls, vectors: np.ndarray) -> Self:
        """Of (catalogue + 1, d) vectors, with one thread. Row 0, and rows of zeros, say nothing and are left out.

        Raises:
            ExtraMissing: ``usearch`` is not installed.
        """
        index = _usearch().Index(
            ndim=vectors.shape[1],
            metric="ip",
            dtype=_NUMBERS,
            connectivity=_NEIGHBOURS,
            expansion_add=_BREADTH,
        )
        codes = _told(vectors)
        if len(codes):
            index.add(codes, vectors[codes], threads=1)
        return cls(index)

    def grown(self, vectors: np.ndarray, told: np.ndarray) -> Self:
        """With other vectors for the codes ``told``, known before or not; ``vectors`` as in :meth:`over`."""
        with self._lock:
            index = self._index.copy()
        index.remove(told[index.contains(told)])
        codes = np.intersect1d(told, _told(vectors))
        if len(codes):
            index.add(codes, vectors[codes], threads=1)
        return type(self)(index)

    def nearest(self, states: np.ndarray, count: int) -> np.ndarray:
        """(rows, count) codes that go best with (rows, d) states, 0 where there are no more; for a few rows."""
        found = np.zeros((len(states), count), dtype=np.int64)
        if len(self):
            with self._lock:
                for row, state in enumerate(states):
                    keys = self._index.search(state, count, threads=1).keys
                    found[row, : len(keys)] = keys
        return found

    @property
    def content(self) -> bytes:
        """As bytes, for :meth:`restored`."""
        with self._lock:
            return bytes(self._index.save())

    @classmethod
    def restored(cls, content: bytes, vectors: np.ndarray) -> Self:
        """From bytes that were checked before, and the vectors they were made of.

        Raises:
            ExtraMissing: ``usearch`` is not installed.
            IndexBroken: they are no index, or that of other items.
        """
        library = _usearch()
        try:
            index = library.Index.restore(content)
            codes = np.sort(np.asarray(index.keys).astype(np.int64))
        except (ValueError, RuntimeError, KeyError) as error:
            raise IndexBroken(reason=str(error).rstrip("!.") or "it ends too early") from None
        if index.ndim != vectors.shape[1] or not np.array_equal(codes, _told(vectors)):
            raise IndexBroken(reason="it is of other items")
        return cls(index)

    def __reduce__(self) -> Any:
        return _from_bytes, (self.content,)


def _from_bytes(content: bytes) -> ItemIndex:
    return ItemIndex(_usearch().Index.restore(content))


def _told(vectors: np.ndarray) -> np.ndarray:
    """Codes whose vectors say something."""
    return 1 + np.flatnonzero(vectors[1:].any(1))


def _usearch() -> Any:
    try:
        import usearch.index
    except ImportError:
        raise ExtraMissing(what="Approximate search", package="usearch", extra="serve") from None
    return usearch.index
