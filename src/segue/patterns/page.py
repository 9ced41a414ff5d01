"""What was mined as one self-contained page: figures, common paths, the table, what comes next, and when.

``page`` gives the text, ``write`` puts it on disk. The page loads nothing from anywhere, and every text from outside
is escaped. Pictures are ``pictures``', the table is ``table``'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue import artefacts, pages
from segue.data.dataset import Dataset, as_dataset
from segue.data.frames import to_polars
from segue.patterns import pictures
from segue.patterns.regularity import refills
from segue.patterns.sequences import Sequences, sequences
from segue.patterns.table import table
from segue.patterns.windows import windows
from segue.patterns.wording import THEN, readable
from segue.patterns.wording import name as named

MEANINGS = {
    "pattern": "What comes after what; other things may lie in between, unless that was ruled out.",
    "length": "Symbols in the pattern.",
    "support": "Users (of rules: baskets or users) who have it; each counts once.",
    "users_share": "The same as a share of all users.",
    "share": "The same as a share of all; of hours and weekdays: of all events of the symbol.",
    "count": "How often it is there, all told.",
    "confidence": "Of the users who have all but the last symbol, those who come to the last. Of a rule: of those with "
    "the left side, those with the right side too.",
    "lift": "How many times more frequent than if the parts had nothing to do with each other; 1 is chance.",
    "leverage": "The share of users beyond what chance would give.",
    "conviction": "How many times more often the rule would be wrong by chance; infinite where it is never wrong.",
    "zhangs_metric": "Leverage over the largest that the shares of both sides allow: 1 always together, -1 never.",
    "jaccard": "Share of those with the whole rule, among those with either side.",
    "kulczynski": "Mean of the confidences of the rule and of its reverse.",
    "certainty": "How far confidence exceeds the consequent's own share, over the room above that share.",
    "days": "From the first symbol to the last, the median over users.",
    "antecedent": "Who has this ...",
    "consequent": "... has this too, or has it later where order counts.",
    "growth": "The share in the first group over that in the second.",
    "difference": "The share in the first group less that in the second.",
    "odds_ratio": "The odds in the first group over those in the second.",
    "p_value": "How likely so great a difference is by chance alone.",
    "adjusted_p_value": "The same, made up for the number of tests.",
    "users": "Users who had it at all.",
    "returning_users": "Users who came back to it.",
    "returning_share": "Those of all who had it.",
    "repeats": "Intervals between visits, of all users.",
    "median_days": "Days until the next time: half of the users who return take less.",
    "lower_days": "A quarter of them take less.",
    "upper_days": "A quarter of them take more.",
    "regularity": "1 is a clock, 0 is chance, below 0 are bursts.",
    "concentration": "The share that would have to move to another hour or weekday to be as the rest.",
}
_NO_CLOCK = "The log knows the order of events alone, without times, so nothing can be said of days and hours."


def page(
    found: Any,
    events: Any,
    items: Any = None,
    *,
    of: str = "item",
    level: int | None = None,
    what: str = "patterns",
    name: str = "the log",
    settings: Mapping[str, Any] | None = None,
    notes: Sequence[str] = (),
) -> str:
    """The whole page as text.

    Args:
        found: a frame of one of the miners: ``segue.mine``, ``windows``, ``rules``, ``contrast``, ``refills`` or
            ``habits_of_time``.
        events, items: the log that it was mined from, as there.
        of, level: what a symbol is, as there.
        what: the rows of ``found`` are, in a word.
        name: of the log.
        settings: that it was mined with, told at the end.
        notes: what the reader must know, such as that the search ended early.

    Raises:
        FrameUnknown: ``found`` is no frame.
        DataError, SymbolsMissing: as the miners.
    """
    data = as_dataset(events, items)
    frame = to_polars(found, "patterns")[0]
    made = sequences(data, of, level)
    titles = data.titles if of in ("item", "action+item") else {}
    told = "".join(f"<p class='note'><b>Note.</b> {escape(note)}</p>" for note in notes)
    parts = [
        f"<h1>Habits in {escape(name)}</h1>",
        f"<p class='lead'>{_lead(frame, data, what)}</p>{told}",
        _tiles(frame, made, titles, what),
        f"<h2>Common paths</h2>{_paths(frame, data, titles, of, level)}",
        f"<h2>{escape(what[:1].upper() + what[1:])}</h2>{_table(frame, titles, what)}",
        f"<h2>What comes next</h2>{_transitions(made, titles)}",
        f"<h2>Until the next time</h2>{_intervals(data, titles, of, level)}",
        f"<h2>Hours and weekdays</h2>{_clock(data)}",
        f"<details><summary>how it was mined</summary>{pages.pairs(dict(settings or {'of': of}))}</details>",
    ]
    return pages.whole(f"habits in {name}", parts)


def write(path: str | Path, found: Any, events: Any, items: Any = None, **options: Any) -> None:
    """Write :func:`page` to a file, whole or not at all. Raises ``ArtefactNotWritten`` beside what ``page`` raises."""
    artefacts.write_atomically(path, page(found, events, items, **options).encode())


def _lead(frame: pl.DataFrame, data: Dataset, what: str) -> str:
    users = data.events["user"].n_unique()
    period = ""
    if data.clock == "time" and len(data):
        ends = pl.Series([data.events["timestamp"].min(), data.events["timestamp"].max()])
        local = ends.cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(data.time_zone)
        period = ", " + " to ".join(local.dt.to_string("%Y-%m-%d").to_list())
    return f"{frame.height:,} {escape(what)} in {len(data):,} events of {users:,} users{period}."


def _tiles(frame: pl.DataFrame, made: Sequences, titles: Mapping[Any, str], what: str) -> str:
    events = int(np.median(np.diff(made.offsets)[np.diff(made.offsets) > 0])) if made.users else 0
    tiles = [
        (
            what,
            f"{frame.height:,}",
            f"the longest has {frame['length'].to_numpy().max()} symbols" if _is_long(frame) else "",
        ),
        ("users", f"{made.users:,}", f"half of them with {events:,} events or more"),
        ("symbols", f"{len(np.unique(made.symbols)):,}", f"each is {_of(made.of)}"),
    ]
    several = frame.filter(pl.col("pattern").list.len() > 1) if _is_long(frame) else frame.clear()
    if several.height and "users_share" in several.columns:
        first = several.sort("users_share", descending=True, maintain_order=True).row(0, named=True)
        path = THEN.join(named(label, titles, 28) for label in first["pattern"])
        tiles.append(("most frequent path", f"{first['users_share']:.1%}", path))
    shown = (
        f"<div class='tile'>{escape(title)}<b>{escape(value)}</b><span class='soft'>{escape(note)}</span></div>"
        for title, value, note in tiles
    )
    return f"<div class='tiles'>{''.join(shown)}</div>"


def _is_long(frame: pl.DataFrame) -> bool:
    return {"pattern", "length"} <= set(frame.columns) and frame.height > 0


def _of(of: str) -> str:
    known = {"item": "an item", "action": "a kind of action", "action+item": "an action with its item"}
    return known.get(of, f"a value of {of}")


def _paths(frame: pl.DataFrame, data: Dataset, titles: Mapping[Any, str], of: str, level: int | None) -> str:
    told = "A ribbon is as wide as the path up to there has users; one user may be on several."
    if not {"pattern", "support"} <= set(frame.columns):
        frame = to_polars(
            windows(data, of=of, level=level, min_length=1, max_length=4, min_support=0.01, progress=False), "windows"
        )[0]
        told = f"Events that follow each other directly, of 1% of the users or more. {told}"
    drawn = pictures.paths(frame, titles)
    if drawn is None:
        return _soft("No path: no pattern of two symbols or more is frequent enough. A lower support finds more.")
    figure, height = drawn
    return _soft(told) + pages.drawn(figure, side=10, height=height, file="paths")


def _table(frame: pl.DataFrame, titles: Mapping[Any, str], what: str) -> str:
    if not frame.height:
        return _soft(f"No {what}: nothing is frequent enough. A lower support finds more.")
    return table(readable(frame, titles), MEANINGS, what)


def _transitions(made: Sequences, titles: Mapping[Any, str]) -> str:
    drawn = pictures.transitions(made, titles)
    if drawn is None:
        return _soft("Of what most users have, nothing follows directly after another.")
    figure, height = drawn
    told = "Of the users who have what stands on the left, how many took what stands below directly after it, ever."
    return _soft(f"{told} Colours are logarithmic; white is nobody.") + pages.drawn(
        figure, height=height, file="what-comes-next"
    )


def _intervals(data: Dataset, titles: Mapping[Any, str], of: str, level: int | None) -> str:
    if data.clock != "time":
        return _soft(_NO_CLOCK)
    drawn = pictures.intervals(to_polars(refills(data, of=of, level=level), "refills")[0], titles)
    if drawn is None:
        return _soft("Nothing is come back to by five users or more, ten times in all.")
    figure, height = drawn
    told = "Days from one time to the next, of what most users come back to: the median over users, and the middle half"
    return _soft(f"{told} of them.") + pages.drawn(figure, height=height, file="until-the-next-time")


def _clock(data: Dataset) -> str:
    if data.clock != "time":
        return _soft(_NO_CLOCK)
    drawn = pictures.clock(data)
    if drawn is None:
        return _soft("The log has no events.")
    figure, height = drawn
    told = f"When in the week people do anything, in {data.time_zone}. What one user does in one hour counts once."
    return _soft(told) + pages.drawn(figure, height=height, file="hours-and-weekdays")


def _soft(text: str) -> str:
    return f"<p class='soft'>{escape(text)}</p>"
