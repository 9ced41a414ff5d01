"""``update``: new events, and the people and items in them, for a trained sequence model.

Joins the events to what is known (see ``joining``) and adopts what ``training.continual`` learns from them. The model
is updated whole or not at all.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from segue.data.vocabulary import Vocabulary
from segue.recommenders.growing import add_items
from segue.recommenders.joining import histories_of, joined, read_events
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
    config.warn_unread("update")
    table = read_events(model, events)
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
    flat, known = joined(grown, table, people)
    new = flat["new"].to_numpy()
    if not new.any():
        return replace(added, known=known)
    grown.user_vocabulary = people
    grown.histories = histories_of(flat, len(people) + 1)
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
