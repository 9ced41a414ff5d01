"""New events of a log joined to what a fitted recommender knows of it.

Read and cleaned as in training, told apart from those that are known already, and in the codes of the recommender.
What is learnt from them is left to ``updating`` and to those who fit again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from segue.data import frames, schema
from segue.data.cleaning import clean
from segue.data.dataset import encode_actions
from segue.data.histories import Histories
from segue.data.vocabulary import Vocabulary
from segue.errors import EmptyLog, IdsDiffer, UpdateRefused

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender


def read_events(model: Recommender, events: Any) -> pl.DataFrame:
    """The events given, cleaned, with ids in the types of the log.

    Raises ``UpdateRefused`` (timestamps of another kind), ``IdsDiffer``, ``EmptyLog``, ``ColumnMissing``.
    """
    table, _ = frames.to_polars(events, "events")
    table = schema.rename(table, None, schema.REQUIRED, "event log")
    table, clock = schema.normalise_events(table, model.time_zone)
    if clock != model.clock:
        names = {"time": "times", "order": "an order"}
        raise UpdateRefused(reason=f"the new timestamps are {names[clock]}, those of the log {names[model.clock]}")
    for name, vocabulary in (("user_id", model.user_vocabulary), ("item_id", model.item_vocabulary)):
        kind = vocabulary.ids.dtype
        if table.schema[name] != kind:
            try:
                table = table.with_columns(pl.col(name).cast(kind))
            except pl.exceptions.PolarsError:
                raise IdsDiffer(left=kind, right=table.schema[name]) from None
    table, _ = clean(table.with_row_index("row"), clock)
    if not table.height:
        raise EmptyLog(what="event log", why="")
    return table


def joined(model: Recommender, table: pl.DataFrame, people: Vocabulary) -> tuple[pl.DataFrame, int]:
    """All events in user and time order with a column ``new``, and how many of the table were known before.

    Args:
        model: its vocabulary has the items of the table.
        table: see :func:`read_events`.
        people: the model's users, and behind them those of the table.

    Returns:
        ``user``, ``item`` and ``action`` (codes), ``timestamp``, ``value`` and ``new``; optional ones as in the log.
    """
    histories = model.histories
    old: dict[str, Any] = {"user": histories.rows(), "item": histories.items, "timestamp": histories.timestamps}
    fresh: dict[str, Any] = {
        "user": people.encode(table["user_id"]),
        "item": model.item_vocabulary.encode(table["item_id"]),
        "timestamp": table["timestamp"].to_numpy(),
    }
    if histories.actions is not None:
        old["action"] = histories.actions
        has = "action" in table.columns
        fresh["action"] = encode_actions(table["action"], model.action_names) if has else np.zeros(table.height, int)
    if histories.values is not None:
        old["value"] = histories.values.astype(np.float32)
        values = table["value"] if "value" in table.columns else pl.Series("value", [None] * table.height, pl.Float32)
        fresh["value"] = values.fill_null(float("nan")).to_numpy().astype(np.float32)
    known, came = pl.DataFrame(old), pl.DataFrame(fresh)
    # What the new events do not tell cannot tell them apart from those that are known.
    distinct = [name for name in ("action", "value") if name in known.columns and name in table.columns]
    key = ["user", "item", "timestamp", *distinct]
    met = came.join(known, on=key, how="anti", maintain_order="left", nulls_equal=True)
    both = pl.concat(
        [known.with_columns(new=pl.lit(False)), met.with_columns(new=pl.lit(True))], how="vertical_relaxed"
    )
    return both.sort("user", "timestamp", maintain_order=True), came.height - met.height


def histories_of(flat: pl.DataFrame, rows: int) -> Histories:
    """What :func:`joined` gives, as histories."""
    names = {"timestamps": "timestamp", "actions": "action", "values": "value"}
    columns = {ours: flat[name].to_numpy() for ours, name in names.items() if name in flat.columns}
    return Histories.from_rows(flat["user"].to_numpy(), flat["item"].to_numpy(), rows, **columns)
