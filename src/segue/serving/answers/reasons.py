"""Why each item is listed, in words: habits where the model has them, else what the list owes to the history's items.

Occlusion: the history is asked about again without one of its items, for each of the newest; those whose absence lowers
the score of a listed item most are its reasons. All those histories are scored together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segue.data import frames
from segue.data.histories import Histories
from segue.serving.answers.questions import Reason

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender

NEWEST = 20
"""Items of a history that are left out in turn."""
_MOST = 3
"""Reasons of one item."""


def reasons(model: Recommender, histories: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
    """For each listed item its reasons, the most telling first; none where nothing of the history speaks for it.

    Args:
        model: who answered.
        histories: one row.
        codes: the items listed.
    """
    if not len(codes):
        return []
    if not len(histories.items):
        return [(Reason("popular of late; nothing is known of who asks"),)] * len(codes)
    if hasattr(model, "explain"):
        return _habits(model, histories, codes)
    return _absences(model, histories, codes)


def _habits(model: Recommender, histories: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
    ids = model.item_vocabulary
    history, listed = ids.decode(histories.items).to_list(), ids.decode(codes).to_list()
    told = model.explain(histories=[history], items=listed, habits=_MOST)  # type: ignore[attr-defined]
    frame, _ = frames.to_polars(told, "habits")
    found: dict[str, list[Reason]] = {str(each): [] for each in listed}
    for item, habit, text in frame.select("item_id", "habit", "text").iter_rows():
        because = next((each for each in reversed(habit) if str(each) != str(item)), None)
        found[str(item)].append(Reason(text, because, model.titles.get(because) if because is not None else None))
    return [tuple(found[str(each)]) for each in listed]


def _absences(model: Recommender, histories: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
    items = histories.items
    newest = items[::-1][np.sort(np.unique(items[::-1], return_index=True)[1])[:NEWEST]]
    alone = len(np.unique(items)) == 1
    if alone:  # without it there is no history, whose scores are of another kind
        drops = np.full((1, len(codes)), np.nan)
    else:
        rows = np.tile(np.arange(len(histories)), 1 + len(newest))
        every = histories.take(rows)
        number = every.rows()
        kept = np.ones(len(every.items), dtype=bool)
        later = number > 0
        kept[later] = every.items[later] != newest[number[later] - 1]
        scores = model.score_codes(every.keep(kept))[:, codes].astype(np.float64)
        drops = scores[0] - scores[1:]
    names = model.item_vocabulary.decode(newest).to_list()
    titles = [model.titles.get(name) or None for name in names]
    found = []
    for column in range(len(codes)):
        order = np.argsort(-drops[:, column], kind="stable")[:_MOST]
        chosen = [place for place in order.tolist() if alone or drops[place, column] > 0]
        found.append(
            tuple(
                Reason(
                    f"because of {titles[place] or names[place]}",
                    names[place],
                    titles[place],
                    None if alone else round(float(drops[place, column]), 6),
                )
                for place in chosen
            )
        )
    return found
