"""What an artefact keeps of any recommender besides what it learnt: ids, histories, catalogue, facts, and its test.

What a class learnt it writes and reads itself; files and checksums are ``segue.artefacts``'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from segue import artefacts
from segue.data.cleaning import CleaningReport
from segue.data.dataset import Dataset
from segue.data.histories import Histories
from segue.data.split import Holdout
from segue.data.vocabulary import Vocabulary
from segue.errors import NoTargets

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender

_EVENT_COLUMNS = ("user", "item", "timestamp", "row")
_OPTIONAL_COLUMNS = ("timestamps", "actions", "values")


def write(model: Recommender, artefact: artefacts.Writer, test: Holdout | None) -> None:
    """Write what a fitted recommender knows of the log, and a test beside it."""
    artefact.table("item_ids", model.item_vocabulary.table())
    artefact.table("user_ids", model.user_vocabulary.table())
    artefact.tensors(
        "histories",
        {"offsets": model.histories.offsets, "items": model.histories.items.astype(np.int32)}
        | {name: column for name in _OPTIONAL_COLUMNS if (column := getattr(model.histories, name)) is not None}
        | {"item_counts": model.item_counts},
    )
    if model.items is not None:
        artefact.table("items", model.items)
    if test is not None:
        artefact.table("test_targets", _kept(test.targets.events))
        artefact.table("test_context", _kept(test.context.events))
    facts = {
        "exclude_seen": model.exclude_seen,
        "frame_kind": model.frame_kind,
        "uuid": [model.user_vocabulary.is_uuid, model.item_vocabulary.is_uuid],
        "clock": model.clock,
        "time_zone": model.time_zone,
        "action_names": list(model.action_names),
        "report": model.report,
    }
    artefact.document("facts", facts)


def read(model: Recommender, artefact: artefacts.Reader) -> None:
    """Read what :func:`write` wrote into a new recommender; ``KeyError`` and others where it does not fit together."""
    facts = artefact.document("facts")
    user_uuid, item_uuid = facts["uuid"]
    model.user_vocabulary = Vocabulary(artefact.table("user_ids")["id"], user_uuid)
    model.item_vocabulary = Vocabulary(artefact.table("item_ids")["id"], item_uuid)
    arrays = artefact.tensors("histories")
    columns = {name: arrays.get(name) for name in _OPTIONAL_COLUMNS}
    model.histories = Histories(arrays["offsets"], arrays["items"].astype(np.int64), **columns)
    model.item_counts = arrays["item_counts"]
    model.items = artefact.table("items") if "items" in artefact else None
    model.exclude_seen, model.frame_kind = facts["exclude_seen"], facts["frame_kind"]
    model.clock = facts["clock"]
    model.time_zone = facts.get("time_zone", "UTC")
    model.action_names = tuple(facts.get("action_names", ()))
    model.report = facts["report"]


def holdout(model: Recommender, artefact: artefacts.Reader) -> Holdout:
    """The test that was saved beside a model; raises ``NoTargets`` when there is none."""
    if "test_targets" not in artefact:
        raise NoTargets(why=f"{artefact.path} was saved without a test")

    def part(name: str) -> Dataset:
        return Dataset(
            artefact.table(name),
            model.items,
            model.user_vocabulary,
            model.item_vocabulary,
            model.clock,
            model.frame_kind,
            CleaningReport(0),
            model.time_zone,
            model.action_names,
        )

    return Holdout(part("test_context"), part("test_targets"))


def _kept(events: pl.DataFrame) -> pl.DataFrame:
    return events.select(name for name in (*_EVENT_COLUMNS, "action", "value") if name in events.columns)
