"""The same metrics for parts of the test: short and long histories, popular and rare targets, cold items."""

from __future__ import annotations

from typing import Any

import numpy as np

from segue.data.histories import Histories
from segue.ranking.metrics import Hits, hit_rate, ndcg

_LENGTHS = (1, 5, 10, 20, 50)


def by_slice(
    lists: np.ndarray,
    contexts: Histories,
    targets: Histories,
    item_counts: np.ndarray,
    k: int,
    among_cold: np.ndarray | None = None,
) -> list[dict[str, Any]]:
    """Rows of ``slice, part, users, targets, ndcg@k, hit_rate@k``; parts without users are left out.

    Args:
        lists: (users, n) item codes, best first.
        contexts, targets: of the same users.
        item_counts: (catalogue + 1,) events that are known; an item without any is cold.
        among_cold: as ``lists``, with cold items alone; read for users with a cold target.
    """
    rows: list[dict[str, Any]] = []
    lengths = contexts.lengths
    for low, high in zip(_LENGTHS, (*(edge - 1 for edge in _LENGTHS[1:]), None), strict=True):
        inside = (lengths >= low) & (lengths <= (high if high is not None else lengths.max(initial=0)))
        label = f"{low} to {high} events" if high is not None else f"{low} events and more"
        rows += _row("history length", label, lists[inside], targets.take(np.flatnonzero(inside)), k)
    popularity = item_counts[targets.items]
    head, middle = _edges(item_counts)
    cold = popularity == 0
    parts = {
        "popular (a third of all events)": popularity >= head,
        "in between": (popularity < head) & (popularity >= middle),
        "rare (a third of all events)": (popularity < middle) & ~cold,
    }
    for label, chosen in parts.items():
        rows += _of_targets("target popularity", label, lists, targets, chosen, k)
    if cold.any():
        rows += _of_targets("cold items", "cold targets among all items", lists, targets, cold, k)
        if among_cold is not None:
            rows += _of_targets("cold items", "cold targets among cold items", among_cold, targets, cold, k)
        rows += _of_targets("cold items", "warm targets", lists, targets, ~cold, k)
    return rows


def _of_targets(
    name: str, label: str, lists: np.ndarray, targets: Histories, chosen: np.ndarray, k: int
) -> list[dict[str, Any]]:
    """Some of the targets alone, and those who have any of them."""
    kept = Histories.from_rows(targets.rows()[chosen], targets.items[chosen], len(targets))
    some = np.flatnonzero(kept.lengths > 0)
    return _row(name, label, lists[some], kept.take(some), k)


def _row(name: str, label: str, lists: np.ndarray, targets: Histories, k: int) -> list[dict[str, Any]]:
    if not len(lists):
        return []
    hits = Hits.of(lists, targets)
    row = {"slice": name, "part": label, "users": len(lists), "targets": len(targets.items)}
    return [{**row, f"ndcg@{k}": float(ndcg(hits, k).mean()), f"hit_rate@{k}": float(hit_rate(hits, k).mean())}]


def _edges(item_counts: np.ndarray) -> tuple[float, float]:
    """Event counts from which an item is popular, and from which it is in between; each part has a third of events."""
    ordered = np.sort(item_counts[item_counts > 0])[::-1]
    if not len(ordered):
        return 1.0, 1.0
    share = np.cumsum(ordered) / ordered.sum()
    head = ordered[min(int(np.searchsorted(share, 1 / 3)), len(ordered) - 1)]
    middle = ordered[min(int(np.searchsorted(share, 2 / 3)), len(ordered) - 1)]
    return float(head), float(middle)
