"""The habits behind a pattern recommender's scores, as a frame and in words. Counts nothing itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from segue.data import frames
from segue.data.histories import Histories
from segue.patterns.habits import Habits
from segue.recommenders import asking
from segue.recommenders.explanations import MAX_EVENTS, Reason

if TYPE_CHECKING:
    from segue.recommenders.patterns import PatternRecommender

_SCHEMA = {"support": pl.Int64, "of": pl.Int64, "within_days": pl.Float64, "share": pl.Float64, "text": pl.String}


def explained(model: PatternRecommender, users: Any, histories: Any, items: Any, k: int, habits: int) -> Any:
    """See ``PatternRecommender.explain``."""
    asked = asking.resolve(model, users, histories)
    if items is None:
        codes, _ = model.recommend_codes(asked.histories, k, exclude_seen=model.exclude_seen, progress=False)
    else:
        codes = np.tile(model._encode_items(items), (len(asked.histories), 1))
    voices, evidence, weights = model._voices(asked.histories), model._evidence, model.weights
    found_by = model.confidences
    sides = [(evidence.forward, found_by[0], False), (evidence.backward, found_by[1], True)]
    rows: list[dict[str, Any]] = []
    kept: list[tuple[int, int]] = []
    for row, wanted in enumerate(codes):
        contexts = voices.indices[voices.indptr[row] : voices.indptr[row + 1]]
        loud = voices.data[voices.indptr[row] : voices.indptr[row + 1]]
        for item in wanted[wanted > 0].tolist():
            found: list[tuple[float, Habits, int, int, bool]] = []
            for side, values, backward in sides:
                for context, voice in zip(contexts.tolist(), loud.tolist(), strict=True):
                    if context >= len(side.of):
                        continue
                    place = _place(side, context, item)
                    if place >= 0 and values[place] > 0:
                        factor = weights.longer if context >= side.size else 1.0
                        found.append((voice * factor * float(values[place]), side, context, place, backward))
            found = sorted((each for each in found if each[0] > 0), key=lambda each: -each[0])
            whole = sum(each[0] for each in found) + float(model._resort[item])
            told = [
                _told(model, item, side, context, place, backwards, share=loudness / whole)
                for loudness, side, context, place, backwards in found[:habits]
            ]
            told = told or [_popular(model, item)]
            rows += told
            kept += [(row, item)] * len(told)
    places = np.array([row for row, _ in kept], dtype=np.int64)
    listed = np.array([item for _, item in kept], dtype=np.int64)
    ids = model.item_vocabulary
    frame = pl.DataFrame(
        {"user_id": asked.users.gather(places), "item_id": ids.decode(listed)}
        | {"habit": pl.Series([row["habit"] for row in rows], dtype=pl.List(ids.ids.dtype))}
        | {name: pl.Series([row[name] for row in rows], dtype=dtype) for name, dtype in _SCHEMA.items()}
    )
    return asking.outward(frame, asked, model)


def habit_reasons(model: PatternRecommender, histories: Histories, codes: np.ndarray) -> list[tuple[Reason, ...]]:
    """For each item the most telling habits that lead to it; popularity where none does."""
    ids = model.item_vocabulary
    history, listed = ids.decode(histories.items).to_list(), ids.decode(codes).to_list()
    table, _ = frames.to_polars(model.explain(histories=[history], items=listed, habits=MAX_EVENTS), "habits")
    found: dict[str, list[Reason]] = {str(each): [] for each in listed}
    for item, habit, text in table.select("item_id", "habit", "text").iter_rows():
        because = next((each for each in reversed(habit) if str(each) != str(item)), None)
        title = model.titles.get(because) if because is not None else None
        found[str(item)].append(Reason(text, because, title, kind="habit" if habit else "popularity"))
    return [tuple(found[str(each)]) for each in listed]


def _place(habits: Habits, context: int, item: int) -> int:
    """Where a habit stands; -1 where nobody has it."""
    low, high = int(habits.offsets[context]), int(habits.offsets[context + 1])
    place = low + int(np.searchsorted(habits.items[low:high], item))
    return place if place < high and habits.items[place] == item else -1


def _told(
    model: PatternRecommender, item: int, habits: Habits, context: int, place: int, backward: bool, *, share: float
) -> dict[str, Any]:
    codes = habits.codes(context)
    codes = [item, *codes] if backward else [*codes, item]
    ids = model.item_vocabulary.decode(np.array(codes)).to_list()
    names = [_name(model, each) for each in ids]
    support, of, days = int(habits.support[place]), int(habits.of[context]), float(habits.days[place])
    if backward:
        text = f"people who took {names[1]} had taken {names[0]}"
    else:
        text = f"people who took {' then '.join(names[:-1])} took {names[-1]}"
    text += f"{' before' if backward else ''}: {support:,} of {of:,}"
    # The median: not all of them were as quick.
    text += "" if np.isnan(days) else f", half of them within {_span(days)}"
    row = {"habit": ids, "support": support, "of": of, "share": round(share, 4), "text": text}
    return row | {"within_days": None if np.isnan(days) else round(days, 4)}


def _popular(model: PatternRecommender, item: int) -> dict[str, Any]:
    support = int(model._evidence.forward.of[item])
    people = int((model.histories.lengths > 0).sum())
    name = _name(model, model.item_vocabulary.decode(np.array([item]))[0])
    text = f"no habit leads to {name}; people who took it: {support:,} of {people:,}"
    return {"habit": [], "support": support, "of": people, "within_days": None, "share": 1.0, "text": text}


def _name(model: PatternRecommender, item: Any) -> str:
    return str(model.titles.get(item) or item)


def _span(days: float) -> str:
    """A time in words, in the largest unit that it holds; less than a minute counts as one."""
    if days >= 1:
        return _counted(round(days), "day")
    if days >= 1.5 / 24:
        return _counted(round(days * 24), "hour")
    return _counted(max(1, round(days * 24 * 60)), "minute")


def _counted(count: int, unit: str) -> str:
    return f"{count} {unit}{'' if count == 1 else 's'}"
