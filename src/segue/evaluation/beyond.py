"""What a set of lists does beyond hitting targets: coverage, novelty, diversity, exposure, popularity bias."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from segue.data.histories import Histories
from segue.recommenders.neighbours import seen_matrix

_DIVERSITY_USERS = 1_000  # more lists hardly move the mean


def coverage(lists: np.ndarray, catalogue: int) -> float:
    """The share of the catalogue that appears in any list."""
    return len(np.unique(lists[lists > 0])) / max(catalogue, 1)


def novelty(lists: np.ndarray, item_counts: np.ndarray) -> float:
    """Mean self-information ``-log2(share of events)`` of what is listed (Vargas and Castells, RecSys 2011).

    An item without an event counts as one with a single event, since its own self-information is infinite.
    """
    share = np.maximum(item_counts, 1) / max(item_counts.sum(), 1)
    listed = lists[lists > 0]
    return float(-np.log2(share[listed]).mean()) if len(listed) else float("nan")


def gini(lists: np.ndarray, catalogue: int) -> float:
    """Gini index of exposure over the catalogue: 0 when all items are listed equally often, near 1 when few are."""
    exposure = np.sort(np.bincount(lists[lists > 0], minlength=catalogue + 1)[1:])
    if not exposure.sum():
        return float("nan")
    rank = np.arange(1, catalogue + 1)
    return float(((2 * rank - catalogue - 1) * exposure).sum() / (catalogue * exposure.sum()))


def popularity_bias(lists: np.ndarray, contexts: Histories, item_counts: np.ndarray) -> float:
    """Mean popularity of what is listed over the mean popularity of what these users chose themselves; 1 is neutral."""
    listed, chosen = lists[lists > 0], contexts.items
    if not len(listed) or not len(chosen):
        return float("nan")
    return float(item_counts[listed].mean() / max(item_counts[chosen].mean(), 1e-12))


def diversity(lists: np.ndarray, histories: Histories, seed: int = 0) -> float:
    """Mean of 1 - cosine over the pairs within a list (Ziegler et al., WWW 2005), then over lists.

    Items are alike when the same users have them, so that every log has the figure. Lists of one item have no pair
    and are left out. Of more than 1,000 lists 1,000 are drawn.
    """
    several = lists[(lists > 0).sum(1) > 1]
    if not len(several):
        return float("nan")
    if len(several) > _DIVERSITY_USERS:
        several = several[np.random.default_rng(seed).choice(len(several), _DIVERSITY_USERS, replace=False)]
    rows = np.nonzero(several)[0]
    items, place = np.unique(several[several > 0], return_inverse=True)
    seen = sparse.csc_matrix(seen_matrix(histories, int(max(histories.items.max(initial=0), items.max())) + 1))[
        :, items
    ]
    norms = np.sqrt(np.asarray(seen.sum(axis=0)).ravel())
    unit = seen @ sparse.diags(1 / np.maximum(norms, 1e-12))
    # |sum of unit vectors|^2 = size + 2 x the cosines of the pairs, so a list needs one sum and no pairs.
    chosen = sparse.csr_matrix((np.ones(place.size, dtype=np.float32), (rows, place)), (len(several), len(items)))
    total = chosen @ unit.T
    own = chosen @ (norms > 0).astype(np.float64)
    cosines = (np.asarray(total.multiply(total).sum(axis=1)).ravel() - own) / 2
    sizes = (several > 0).sum(1)
    pairs = sizes * (sizes - 1) / 2
    return float(1 - (cosines / pairs).mean())
