"""Sequences of next items: greedy generation, each item chosen as if those before it had been taken."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np

from segue.data.histories import UNKNOWN_TIME, Histories
from segue.ranking.diversity import POOL, spread
from segue.ranking.topk import top_k

Blocks = Callable[[Histories, np.ndarray], Iterable[tuple[np.ndarray, np.ndarray]]]
"""From the histories of some rows and their numbers to places among them and (places, n_items + 1) scores."""
Vectors = Callable[[np.ndarray], np.ndarray]
"""From item codes to (codes, d) vectors whose cosine says how alike items are."""


def generate(
    blocks: Blocks,
    histories: Histories,
    n: int,
    prior: np.ndarray,
    diversity: float = 0.0,
    vectors: Vectors | None = None,
    pool: int = POOL,
) -> tuple[np.ndarray, np.ndarray]:
    """The next ``n`` items of each row; none comes twice.

    Args:
        blocks: scores of the histories as they have become, minus infinity where an item may not be listed.
        histories: what is known of each row. Where there are timestamps the request time moves on by the median gap of
            the row's events with each item.
        n: items, at most.
        prior: (n_items + 1,) decides ties.
        diversity, vectors, pool: see :func:`next_codes`.

    Returns:
        (rows, n) int64 codes, 0 where a sequence ends, and (rows, n) float32 scores, each of its own step.
    """
    codes = np.zeros((len(histories), n), dtype=np.int64)
    scores = np.full(codes.shape, -np.inf, dtype=np.float32)
    rows, steps = np.arange(len(histories)), steps_of(histories)
    for number in range(n):
        for places, block in blocks(histories, rows):
            block[np.arange(len(places))[:, None], codes[rows[places], :number]] = -np.inf
            chosen = next_codes(block, codes[rows[places], :number], prior, diversity, vectors, pool)
            codes[rows[places], number] = chosen
            scores[rows[places], number] = np.where(chosen > 0, block[np.arange(len(places)), chosen], -np.inf)
        there = codes[rows, number] > 0
        rows, steps, histories = rows[there], steps[there], histories.take(np.flatnonzero(there))
        if not len(rows):
            break
        if number + 1 < n:
            histories = extended(histories, codes[rows, number], steps)
    return codes, scores


def next_codes(
    scores: np.ndarray,
    before: np.ndarray,
    prior: np.ndarray,
    diversity: float = 0.0,
    vectors: Vectors | None = None,
    pool: int = POOL,
) -> np.ndarray:
    """(rows,) codes of the next items, 0 where none is left.

    Args:
        scores: (rows, n_items + 1), minus infinity where an item may not be listed.
        before: (rows, m) codes of the items that were chosen already.
        prior: (n_items + 1,) decides ties.
        diversity: from 0, the best item, to 1, the one least like those ``before`` (see ``ranking.diversity``).
        vectors: needed for a diversity above 0.
        pool: candidates that a diverse item is chosen from.
    """
    if diversity == 0 or vectors is None:
        return np.asarray(top_k(scores.copy(), 1, prior)[0][:, 0])
    chosen = np.zeros(len(scores), dtype=np.int64)
    best, values = top_k(scores.copy(), min(pool, scores.shape[1] - 1), prior)
    for row, codes in enumerate(best):
        codes = codes[codes > 0]
        if len(codes):
            known = vectors(np.concatenate([codes, before[row]]))
            place = spread(values[row, : len(codes)], known[: len(codes)], 1, diversity, known[len(codes) :])
            chosen[row] = codes[place[0]]
    return chosen


def steps_of(histories: Histories) -> np.ndarray:
    """(rows,) int64 median gap between the timestamps of each row; 0 where there are fewer than two."""
    steps = np.zeros(len(histories), dtype=np.int64)
    stamps = histories.timestamps
    if stamps is None:
        return steps
    for row in np.flatnonzero(histories.lengths > 1).tolist():
        steps[row] = int(np.median(np.diff(np.sort(stamps[histories.offsets[row] : histories.offsets[row + 1]]))))
    return steps


def step_of(histories: Histories) -> int:
    """As :func:`steps_of`, of one row."""
    return int(steps_of(histories)[0])


def extended(histories: Histories, codes: np.ndarray, steps: np.ndarray) -> Histories:
    """Each row with one event more, asked about ``steps`` later.

    The event happens at the request time, or where there is none a step after the last event; it is of the action that
    was requested, else of the row's most frequent action.
    """
    ends = histories.offsets[1:]
    columns = {"items": np.insert(histories.items, ends, codes)}
    stamps, actions, values = histories.timestamps, histories.actions, histories.values
    unknown = np.full(len(histories), UNKNOWN_TIME)
    at = unknown if histories.at is None else histories.at
    if stamps is not None:
        last = np.zeros(len(histories), dtype=np.int64)
        some = histories.lengths > 0
        last[some] = stamps[ends[some] - 1] + steps[some]
        columns["timestamps"] = np.insert(stamps, ends, np.where(at == UNKNOWN_TIME, last, at))
    if actions is not None:
        requested = np.zeros(len(histories), dtype=np.int64) if histories.wanted is None else histories.wanted
        columns["actions"] = np.insert(actions, ends, np.where(requested > 0, requested, _most_frequent(histories)))
    if values is not None:
        columns["values"] = np.insert(values, ends, np.float32("nan"))
    if histories.at is not None:
        at = np.where(at == UNKNOWN_TIME, UNKNOWN_TIME, at + steps)
    offsets = histories.offsets + np.arange(len(histories) + 1)
    return replace(histories, offsets=offsets, at=None if histories.at is None else at, **columns)


def continued(histories: Histories, code: int, step: int) -> Histories:
    """As :func:`extended`, of one row."""
    return extended(histories, np.array([code]), np.array([step]))


def _most_frequent(histories: Histories) -> np.ndarray:
    """(rows,) the most frequent action code of each row, the lowest of several; 0 where there is no event."""
    assert histories.actions is not None
    found = np.zeros(len(histories), dtype=np.int64)
    pairs, counts = np.unique(np.stack([histories.rows(), histories.actions]), axis=1, return_counts=True)
    order = np.lexsort((-pairs[1], counts, pairs[0]))  # the last of each row is its most frequent
    found[pairs[0, order]] = pairs[1, order]
    return found
