"""Forgetting a person everywhere: in what waits to be written, the store, the models in memory and their artefacts.

Every process on the same store, this one too, hears of an erasure from its follower (:func:`follow`) and loads anew
the artefacts that were rewritten, both within a second; events and lists are gone everywhere at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segue.recommenders.forgetting import forget_in_memory
from segue.serving.models.models import ArtefactErasure
from segue.serving.store.tombstones import Erasure, among

_TOLD_S = 2.0
_PASSES = 20
"""Erasures of rows that arrive while a user is erased; each takes milliseconds."""


def erase_user(service: Any, user_id: str) -> dict[str, Any]:
    """Remove a user from the store, from the models in memory and from their artefacts.

    Rows that other requests write meanwhile are removed too, in up to ``_PASSES`` passes.

    Returns:
        ``user_id``, ``removed`` (rows by table), ``artefacts`` (how many named the user and do not any more),
        ``outcomes`` (of each artefact), ``traces`` (rows that still name the user, by table) and ``complete``
        (no trace is left and no artefact failed).

    Raises:
        StoreUnavailable, StoreFull, ErasureUnfinished.
    """
    answers, writer = service.answers, service.writer
    if answers is not None and answers.journal is not None:
        answers.journal.flush()
    if hasattr(writer, "append_now"):
        writer.append_now([])  # events that wait are written before it returns; of lists, the erasure drops the rest
    removed = _plain(service.store.erase(user_id))
    for served in service.models.serving():
        forget_in_memory(served.recommender, user_id)
    if service.follower is not None:
        service.follower.wake()
        service.follower.wait_for("erased", service.store.newest()["erased"], _TOLD_S)
    outcomes = service.models.forget(user_id)
    traces = _plain(service.store.traces(user_id))
    for _ in range(_PASSES):
        if not any(traces.values()):
            break
        late = _plain(service.store.erase(user_id))
        removed = {table: count + late[table] for table, count in removed.items()}
        traces = _plain(service.store.traces(user_id))
    failed = [each for each in outcomes if each.state == "failed"]
    return {
        "user_id": user_id,
        "removed": removed,
        "artefacts": sum(each.state == "erased" for each in outcomes),
        "outcomes": [_outcome(each) for each in outcomes],
        "traces": traces,
        "complete": not failed and not any(traces.values()),
    }


def _outcome(each: ArtefactErasure) -> dict[str, Any]:
    """The outcome of one artefact by its name; paths stay inside the service."""
    error = each.error
    reason = None if error is None else {"code": error.code, "message": error.message.replace(each.path, _name(each))}
    return {"artefact": _name(each), "state": each.state, "reason": reason}


def _name(each: ArtefactErasure) -> str:
    return Path(each.path).name


def follow(service: Any) -> None:
    """Let the parts of a process that is not started yet forget whomever any process erases."""

    def forget(erasures: list[Erasure]) -> None:
        if service.online is not None:
            for user_id in among(erasures, service.online.people()):
                service.online.forget(user_id)
        if service.watch is not None:
            service.watch.drift.forget(lambda people: among(erasures, people))

    service.follower.subscribe_erasures(forget)


def _plain(counts: Mapping[str, int]) -> dict[str, int]:
    """By the name of the table, which the store gives as a kind of text of its own."""
    return {str(name): int(count) for name, count in counts.items()}
