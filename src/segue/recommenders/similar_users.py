"""Users who are most alike: by the states of a sequence model, or by the items of their histories."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from scipy import sparse

from segue.errors import UnknownUsers, nearest
from segue.ranking.diversity import unit
from segue.ranking.topk import top_k
from segue.recommenders import asking
from segue.recommenders.neighbours import seen_matrix

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender

_SCORES = 8_000_000  # floats of similarities alive at once (32 MB)


def similar_users(model: Recommender, users: Sequence[Any], k: int) -> Any:
    """See ``Recommender.similar_users``."""
    codes = _encode_users(model, users)
    histories = model.histories
    known = np.flatnonzero(histories.lengths > 0)
    states = model.user_vectors(histories.take(known))
    similarity = _by_items(model) if states is None else _by_states(states, known, len(histories))
    limit = min(k, len(histories) - 1)
    found = np.zeros((len(codes), limit), dtype=np.int64)
    scores = np.full(found.shape, -np.inf, dtype=np.float32)
    size = max(1, _SCORES // len(histories))
    silent = np.ones(len(histories), dtype=bool)
    silent[known] = False
    for start in range(0, len(codes), size):
        part = codes[start : start + size]
        block = similarity(part)
        block[:, silent] = -np.inf
        found[start : start + size], scores[start : start + size] = top_k(
            block, limit, None, np.arange(len(part) + 1), part
        )
    return asking.answer_similar_users(model, codes, found, scores)


def _by_states(states: np.ndarray, known: np.ndarray, size: int) -> Callable[[np.ndarray], np.ndarray]:
    vectors = np.zeros((size, states.shape[1]), dtype=np.float32)
    vectors[known] = unit(states)
    return lambda codes: np.asarray(vectors[codes] @ vectors.T)


def _by_items(model: Recommender) -> Callable[[np.ndarray], np.ndarray]:
    seen = seen_matrix(model.histories, len(model.item_vocabulary) + 1)
    counts = np.asarray(seen.sum(axis=1)).ravel()
    scale = sparse.diags(1 / np.sqrt(np.maximum(counts, 1)), dtype=np.float32)
    rows = sparse.csr_matrix(scale @ seen)
    columns = sparse.csr_matrix(rows.T)
    return lambda codes: np.asarray((rows[codes] @ columns).toarray(), dtype=np.float32)


def _encode_users(model: Recommender, users: Any) -> np.ndarray:
    """Codes of users with a history; raises ``UnknownUsers``."""
    if isinstance(users, str | bytes) or not hasattr(users, "__iter__"):
        users = [users]
    values = users.to_list() if isinstance(users, pl.Series) else list(users)
    codes = model.user_vocabulary.encode(values)
    missing = np.flatnonzero(model.histories.lengths[codes] == 0)
    if len(missing):
        example = values[missing[0]]
        hint = nearest(str(example), map(str, model.user_vocabulary.ids.head(10_000)))
        raise UnknownUsers(count=len(missing), example=example, hint=hint)
    return codes
