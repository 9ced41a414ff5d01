"""A log inside an artefact, so that what was learnt from it can be asked about its users; files are ``artefacts``'."""

from __future__ import annotations

from segue import artefacts
from segue.data.cleaning import CleaningReport
from segue.data.dataset import Dataset
from segue.data.vocabulary import Vocabulary

_COLUMNS = ("user", "item", "timestamp", "row", "action", "value")


def write(data: Dataset, artefact: artefacts.Writer) -> None:
    """Write the events, the ids and the catalogue; context columns stay behind."""
    artefact.table("events", data.events.select(name for name in _COLUMNS if name in data.events.columns))
    artefact.table("user_ids", data.user_vocabulary.table())
    artefact.table("item_ids", data.item_vocabulary.table())
    if data.items is not None:
        artefact.table("items", data.items)
    facts = {
        "clock": data.clock,
        "frame_kind": data.frame_kind,
        "time_zone": data.time_zone,
        "action_names": list(data.action_names),
        "uuid": [data.user_vocabulary.is_uuid, data.item_vocabulary.is_uuid],
    }
    artefact.document("log", facts)


def read(artefact: artefacts.Reader) -> Dataset:
    """Read what :func:`write` wrote; ``KeyError`` and others where it does not fit together."""
    facts = artefact.document("log")
    user_uuid, item_uuid = facts["uuid"]
    return Dataset(
        artefact.table("events"),
        artefact.table("items") if "items" in artefact else None,
        Vocabulary(artefact.table("user_ids")["id"], user_uuid),
        Vocabulary(artefact.table("item_ids")["id"], item_uuid),
        facts["clock"],
        facts["frame_kind"],
        CleaningReport(0),
        facts["time_zone"],
        tuple(facts["action_names"]),
    )
