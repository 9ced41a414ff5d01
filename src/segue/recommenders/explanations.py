"""Why an item is listed: the events of the history that its score hangs on, and the parts that its score is the sum of.

Events are found by occlusion: the history is scored again without one of its items, for each of the newest, and those
whose absence lowers the score most are named. Parts (members of a blend, trend, habits, online correction) are given as
differences to the catalogue's mean, so that they add up to how far an item stands above it. How a recommender splits
its score is its own affair (``Recommender._score_parts``); habits are put into words by ``pattern_reasons``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from segue.data.histories import Histories

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender

N_EVENTS = 20
"""Items of a history that are left out in turn."""
MAX_EVENTS = 3
"""Events that are named for one item."""
_NEGLIGIBLE = 0.005
"""Share of a score below which a part is not worth a reason of its own."""
ONLINE = "online correction"
Kind = Literal["event", "habit", "popularity", "parts", "exploration"]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why an item is listed.

    Attributes:
        text: for a person.
        because: an item of the history, where there is one.
        title: its title.
        drop: by how much the score falls where the history lacks that item; None where that cannot be compared.
        kind: what the reason is about.
        contributions: parts of the score and what each adds, against the catalogue's mean; an online correction as it
            is added. They sum to the score less the mean score.
    """

    text: str
    because: Any = None
    title: str | None = None
    drop: float | None = None
    kind: Kind = "event"
    contributions: tuple[tuple[str, float], ...] = ()


def reasons(
    model: Recommender, histories: Histories, codes: np.ndarray, correction: np.ndarray | None = None
) -> list[tuple[Reason, ...]]:
    """For each item its reasons, the most telling first.

    Args:
        model: what ranked the items.
        histories: one row, from which they were ranked.
        codes: of the items.
        correction: (catalogue + 1,) what was added to the model's scores since; None: nothing.
    """
    if not len(codes):
        return []
    if not len(histories.items):
        causes = _without_history(model, histories, codes)
        parts = {}
    else:
        causes = model._event_reasons(histories, codes)
        parts = model._score_parts(model._about_target(histories))
    split = _contributions(parts, codes, correction)
    return [
        (*events, _sum(each)) if each and (not events or _several(each)) else events
        for events, each in zip(causes, split, strict=True)
    ]


def _several(contributions: tuple[tuple[str, float], ...]) -> bool:
    """Whether more than one part has a say in a score, or one that is not the model's."""
    sizes = np.abs([value for _, value in contributions])
    corrected = any(name == ONLINE and value for name, value in contributions)
    return corrected or int((sizes > _NEGLIGIBLE * sizes.sum()).sum()) > 1


def event_reasons(model: Recommender, histories: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
    """For each item the items of the history whose absence lowers its score most; none where none does.

    A history of one item is compared with an empty one, whose scores are of another kind: by how many standard
    deviations an item stands above the catalogue's mean. Its reason has no ``drop``.
    """
    items = histories.items
    newest = items[::-1][np.sort(np.unique(items[::-1], return_index=True)[1])[:N_EVENTS]]
    only = len(np.unique(items)) == 1
    if only:
        empty = histories.keep(np.zeros(len(items), dtype=bool))
        both = [_deviations(model.score_codes(each)[0])[codes] for each in (histories, empty)]
        drops = (both[0] - both[1])[None]
        least = np.full(len(codes), 1e-6)
    else:
        rows = np.tile(np.arange(len(histories)), 1 + len(newest))
        every = histories.take(rows)
        number = every.rows()
        present = np.ones(len(every.items), dtype=bool)
        later = number > 0
        present[later] = every.items[later] != newest[number[later] - 1]
        scores = model.score_codes(every.keep(present))[:, codes].astype(np.float64)
        drops = scores[0] - scores[1:]
        least = 1e-6 * np.maximum(np.abs(scores[0]), 1e-6)  # less is rounding
    names = model.item_vocabulary.decode(newest).to_list()
    titles = [model.titles.get(name) or None for name in names]
    found = []
    for column in range(len(codes)):
        order = np.argsort(-drops[:, column], kind="stable")[:MAX_EVENTS]
        found.append(
            tuple(
                Reason(
                    f"because of {titles[place] or names[place]}",
                    names[place],
                    titles[place],
                    None if only else round(float(drops[place, column]), 6),
                )
                for place in order.tolist()
                if drops[place, column] > least[column]
            )
        )
    return found


def _deviations(scores: np.ndarray) -> np.ndarray:
    """(catalogue + 1,) standard deviations from the mean of the catalogue."""
    catalogue = scores[1:].astype(np.float64)
    spread = catalogue.std()
    return np.asarray((scores - catalogue.mean()) / (spread if spread > 0 else 1))


def _without_history(model: Recommender, histories: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
    rule = model._cold_start_rule(model._about_target(histories))
    return [(Reason(f"no known event of who asks: ranked by {rule}", kind="popularity"),)] * len(codes)


def _contributions(
    parts: Mapping[str, np.ndarray], codes: np.ndarray, correction: np.ndarray | None
) -> list[tuple[tuple[str, float], ...]]:
    """For each item what every part adds; parts that add nothing to any item are left out."""
    values = {name: part[codes] - float(part[1:].mean(dtype=np.float64)) for name, part in parts.items()}
    if correction is not None:
        known = codes < len(correction)  # items that came since have none
        values[ONLINE] = np.where(known, correction[np.where(known, codes, 0)], 0.0)
    values = {name: each for name, each in values.items() if np.any(each != 0)}
    return [tuple((name, round(float(each[place]), 6)) for name, each in values.items()) for place in range(len(codes))]


def _sum(contributions: tuple[tuple[str, float], ...]) -> Reason:
    total = sum(value for _, value in contributions)
    shared = len(contributions) > 1 and (all(value >= 0 for _, value in contributions) and total > 0)
    words = [f"{name} {value:+.3g}" + (f" ({value / total:.0%})" if shared else "") for name, value in contributions]
    text = f"score {total:+.3g} against the catalogue's mean: {', '.join(words)}"
    return Reason(text, kind="parts", contributions=contributions)
