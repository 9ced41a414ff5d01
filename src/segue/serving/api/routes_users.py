"""What is kept of somebody, and how it is forgotten."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from segue.errors import ErasureIncomplete
from segue.serving.answers import moments
from segue.serving.answers.settings import BATCH, TEXT
from segue.serving.api import schemas, schemas_admin
from segue.serving.api.common import limits_of, part, router, sent, service_of, through_changes, within
from segue.serving.api.problems import responses
from segue.serving.erasing import erase_user
from segue.serving.guard.scopes import needs
from segue.serving.store.rows import StoredEvent

forgetting = router("users")
_SENT = ("event_id", "item_id", "action", "value", "recommendation_id", "seq")
_LARGEST = 2**63 - 1


@forgetting.get(
    "/users/{user_id:path}/events",
    summary="What is kept of a user",
    response_model=schemas_admin.UserEventsOut,
    responses=responses(),
    dependencies=[Depends(needs("admin"))],
)
async def events_of(
    request: Request,
    user_id: Annotated[
        str, Path(min_length=1, max_length=TEXT, pattern=schemas.NO_NUL, description="As in the log.", examples=["u1"])
    ],
    after: Annotated[int, Query(ge=0, le=_LARGEST, description="Events behind this number.")] = 0,
    limit: Annotated[int, Query(ge=1, le=BATCH, description="At most so many.")] = 100,
) -> Response:
    """Events of the user that the store has; what a model's own training log had of them is not among these.

    Of somebody who is not known there are none, and that is no error.
    """
    service = service_of(request)
    within("query.limit", limit, limits_of(service).batch, "batch")
    clock = part(service, "models").choose(None).recommender.clock
    # One more tells whether any follow.
    found = await asyncio.to_thread(part(service, "store").events_of, user_id, after, limit + 1)
    events = [_told(each, clock) for each in found[:limit]]
    return sent({"user_id": user_id, "events": events, "next": events[-1]["seq"] if len(found) > limit else None})


def _told(event: StoredEvent, clock: str) -> dict[str, Any]:
    told = {name: getattr(event, name) for name in _SENT}
    stamps = {"timestamp": moments.tell(event.timestamp, clock), "received": moments.tell(event.received, "time")}
    return told | stamps


@forgetting.delete(
    "/users/{user_id:path}",
    summary="Forget a user",
    response_model=schemas_admin.ErasureOut,
    responses=responses(507)
    | {500: {"model": schemas_admin.ErasureProblem, "description": "Not complete: what was erased where"}},
    dependencies=[Depends(needs("admin"))],
)
async def erase(
    request: Request,
    user_id: Annotated[
        str, Path(min_length=1, max_length=TEXT, pattern=schemas.NO_NUL, description="As in the log.", examples=["u1"])
    ],
) -> Response:
    """Removes every row of the store that names the user, and their history from the artefacts that are kept.

    What models learnt from the history in training stays in their weights until they are trained again. Erasing
    somebody who is not known removes nothing, and is no error.

    The status is 200 only where nothing names the user any more. Otherwise it is 500, and the body says what was
    erased where; the same request finishes the erasure once the cause is mended.
    """
    service = service_of(request)
    erasure = await through_changes(service, partial(erase_user, service, user_id))
    if erasure["complete"]:
        return sent(erasure)
    failed = [each["artefact"] for each in erasure["outcomes"] if each["state"] == "failed"]
    error = ErasureIncomplete(artefacts=", ".join(failed) or "none", rows=sum(erasure["traces"].values()))
    request.scope["segue_error"] = error.code
    described = {"code": error.code, "message": error.message, "remedy": error.advice}
    return sent({"error": described, "erasure": erasure}, error.status)
