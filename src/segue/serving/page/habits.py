"""What people do after what, counted for the page: the model's own log and the newest events of the store together.

The searches are ``segue.mine`` and those behind the pictures of its report, bounded to what takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import numpy as np
import polars as pl

from segue.data.dataset import Dataset
from segue.data.frames import to_polars
from segue.recommenders.base import Recommender
from segue.serving.page.source import Patterns

_EVENTS = 300_000  # newest, of the log and of the store each
_PATHS, _LONGEST = 40, 3
_NAMES = 10
_WIDE = 40  # characters of a title


def found(model: Recommender, store: Any, without: Collection[str], step: Callable[[float, str], None]) -> Patterns:
    """Count; ``step`` is told how far it is, and actions ``without`` are none of a person (they were shown something).

    Raises:
        StoreUnavailable: the store cannot be read.
    """
    # Here, for the kernels of the searches take a moment and 60 MB to load, and few ask for patterns.
    from segue.patterns.mine import mine
    from segue.patterns.pictures import next_shares, week
    from segue.patterns.sequences import sequences
    from segue.patterns.wording import name

    step(0.05, "Reading events")
    log = _together(model, store, without)
    if not log.height:
        return Patterns("There are no events yet. Send some to /v1/events.", [], [], [], [])
    data = Dataset.from_frames(log)
    titles = {str(item): title for item, title in model.titles.items()}
    step(0.3, f"Searching {len(data):,} events for common paths")
    frame = to_polars(mine(data, top=8 * _PATHS, max_length=_LONGEST, threads=1, progress=False), "patterns")[0]
    frame = frame.filter(pl.col("length") > 1).head(_PATHS)
    paths = [
        ([name(each, titles, _WIDE) for each in pattern], int(users), float(share))
        for pattern, users, share in frame.select("pattern", "support", "users_share").iter_rows()
    ]
    step(0.8, "Counting what comes directly next")
    made = sequences(data)
    codes, counts, users = next_shares(made)
    codes, counts, users = codes[:_NAMES], counts[:_NAMES, :_NAMES], users[:_NAMES]
    names = [name(each, titles, _WIDE) for each in made.labels.gather(codes).to_list()]
    shares = (counts / np.maximum(users[:, None], 1)).tolist()
    about = f"{len(data):,} events of {made.users:,} users."
    return Patterns(about, paths, names, shares, week(data).tolist() if data.clock == "time" else [])


def _together(model: Recommender, store: Any, without: Collection[str]) -> pl.DataFrame:
    """Users, items and moments as text and time, of the model's log and of the store; each event once."""
    known = model.histories
    rows = known.rows()[-_EVENTS:]
    log = pl.DataFrame(
        {
            "user_id": _texts(model.user_vocabulary, rows),
            "item_id": _texts(model.item_vocabulary, known.items[-_EVENTS:]),
            "timestamp": np.arange(len(rows)) if known.timestamps is None else known.timestamps[-_EVENTS:],
        },
        schema_overrides={"timestamp": pl.Int64},
    )
    if model.clock == "order":  # moments of the store are no places in an order
        return log
    step_after = max(0, store.newest()["events"] - _EVENTS)
    done = ~pl.col("action").fill_null("").is_in(list(without))
    events: pl.DataFrame = store.events_frame(step_after).filter(done)
    events = events.select("user_id", "item_id", pl.col("timestamp").cast(pl.Int64))
    both = pl.concat([log, events]).unique(maintain_order=True)
    return both.with_columns(pl.from_epoch("timestamp", time_unit="us").dt.replace_time_zone("UTC"))


def _texts(vocabulary: Any, codes: np.ndarray) -> pl.Series:
    found: pl.Series = vocabulary.decode(codes).cast(pl.String) if len(codes) else pl.Series([], dtype=pl.String)
    return found
