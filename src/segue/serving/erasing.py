"""Forgetting a person everywhere: in what waits to be written, the store, the models in memory and their artefacts.

Every process on the same store, this one too, hears of an erasure from its follower (:func:`follow`) and loads anew
the artefacts that were rewritten, both within a second; events and lists are gone everywhere at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from segue.recommenders.forgetting import forget_in_memory
from segue.serving.store.tombstones import Erasure, among

_TOLD_S = 2.0


def erase_user(service: Any, user_id: str) -> dict[str, Any]:
    """Forget a person.

    Returns:
        ``user_id``, ``removed`` (rows by table), ``artefacts`` (those that knew the person and do not any more) and
        ``traces`` (rows that still name the person, by table: all 0).

    Raises:
        StoreUnavailable, StoreFull, ErasureUnfinished.
        ArtefactError: an artefact is damaged; everything before it is done, and the erasure may be asked for again.
    """
    answers, writer = service.answers, service.writer
    if answers is not None and answers.journal is not None:
        answers.journal.flush()
    if hasattr(writer, "append_now"):
        writer.append_now([])  # events that wait are written before it returns; of lists, the erasure drops the rest
    removed = service.store.erase(user_id)
    for served in service.models.serving():
        forget_in_memory(served.recommender, user_id)
    if service.follower is not None:
        service.follower.wake()
        service.follower.wait_for("erased", service.store.newest()["erased"], _TOLD_S)
    forgotten = service.models.forget(user_id)
    traces = service.store.traces(user_id)
    return {"user_id": user_id, "removed": _plain(removed), "artefacts": forgotten, "traces": _plain(traces)}


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
