"""``update``: new events, and the people and items in them, for a trained sequence model.

Reads the events, joins them to what is known, and adopts what ``training.continual`` learns from them. The model is
updated whole or not at all.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from segue.data import frames, schema
from segue.data.cleaning import clean
from segue.data.dataset import encode_actions
from segue.data.histories import Histories
from segue.data.vocabulary import Vocabulary
from segue.errors import EmptyLog, IdsDiffer, UpdateRefused
from segue.recommenders.growing import add_items
from segue.training.continual import UpdateConfig, learn_on
from segue.training.fit import RunOptions
from segue.training.targets import kind_weights, target_weights

if TYPE_CHECKING:
    from segue.recommenders.sequence import SequenceRecommender


@dataclass(frozen=True)
class Updated:
    """What ``update`` did.

    Attributes:
        events: new ones that were learnt from.
        known: events that were known already, and left out.
        users, items: how many of each were new.
    """

    events: int
    known: int
    users: int
    items: int

    def __str__(self) -> str:
        again = f"; {self.known:,} were known already" if self.known else ""
        return f"{self.events:,} new events, {self.users:,} new users, {self.items:,} new items{again}"


def update(
    model: SequenceRecommender, events: Any, items: Any, settings: Mapping[str, Any], run: RunOptions
) -> Updated:
    """See ``SequenceRecommender.update``."""
    config = UpdateConfig.parse(settings, owner="update")
    table = _read(model, events)
    grown = copy.copy(model)
    if items is not None:
        add_items(grown, items)
    unheard = table.filter(pl.Series(grown.item_vocabulary.encode(table["item_id"]) == 0))
    if unheard.height:
        add_items(grown, unheard.select("item_id").unique(maintain_order=True))
    people = Vocabulary.of(model.user_vocabulary.ids, table["user_id"], is_uuid=model.user_vocabulary.is_uuid)
    added = Updated(
        0, 0, len(people) - len(model.user_vocabulary), len(grown.item_vocabulary) - len(model.item_vocabulary)
    )
    flat, known = _joined(grown, table, people)
    new = flat["new"].to_numpy()
    if not new.any():
        return replace(added, known=known)
    grown.user_vocabulary = people
    grown.histories = _histories(flat, len(people) + 1)
    grown.item_counts = np.bincount(grown.histories.items, minlength=len(grown.item_vocabulary) + 1)
    grown._forget_answers()
    timed = grown._timed(grown.histories)
    counted = target_weights(kind_weights(grown.config, grown.action_names), timed)
    learnt = learn_on(grown.model, grown.plan, grown.log, timed, new, counted, config, run, grown.time_zone)
    grown.model = learnt
    grown._count_again(None if grown.trend is None else grown.trend.weights)
    added = replace(added, events=int(new.sum()), known=known)
    done = {"events": added.events, "users": added.users, "items": added.items, **config.model_dump()}
    grown.report = {**grown.report, "updates": [*grown.report.get("updates", []), done]}
    training = {**grown.report["training"], "weights_sha256": grown.weights_sha256()}
    grown.report["training"] = training
    model.__dict__ = grown.__dict__  # at once, as when items are added
    return added


def _read(model: SequenceRecommender, events: Any) -> pl.DataFrame:
    """The events given, cleaned, with ids in the types of the log."""
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


def _joined(grown: SequenceRecommender, table: pl.DataFrame, people: Vocabulary) -> tuple[pl.DataFrame, int]:
    """All events in user and time order with a column ``new``, and how many of the table were known before."""
    histories = grown.histories
    old: dict[str, Any] = {"user": histories.rows(), "item": histories.items, "timestamp": histories.timestamps}
    fresh: dict[str, Any] = {
        "user": people.encode(table["user_id"]),
        "item": grown.item_vocabulary.encode(table["item_id"]),
        "timestamp": table["timestamp"].to_numpy(),
    }
    if histories.actions is not None:
        old["action"] = histories.actions
        has = "action" in table.columns
        fresh["action"] = encode_actions(table["action"], grown.action_names) if has else np.zeros(table.height, int)
    if histories.values is not None:
        old["value"] = histories.values.astype(np.float32)
        values = table["value"] if "value" in table.columns else pl.Series("value", [None] * table.height, pl.Float32)
        fresh["value"] = values.fill_null(float("nan")).to_numpy().astype(np.float32)
    known, came = pl.DataFrame(old), pl.DataFrame(fresh)
    met = came.join(known, on=["user", "item", "timestamp"], how="anti", maintain_order="left")
    both = pl.concat(
        [known.with_columns(new=pl.lit(False)), met.with_columns(new=pl.lit(True))], how="vertical_relaxed"
    )
    return both.sort("user", "timestamp", maintain_order=True), came.height - met.height


def _histories(flat: pl.DataFrame, rows: int) -> Histories:
    names = {"timestamps": "timestamp", "actions": "action", "values": "value"}
    columns = {ours: flat[name].to_numpy() for ours, name in names.items() if name in flat.columns}
    return Histories.from_rows(flat["user"].to_numpy(), flat["item"].to_numpy(), rows, **columns)
