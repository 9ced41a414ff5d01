"""The route that listens."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import Body, Depends, Request, Response

from segue.errors import EventAhead, MomentUnreadable, RequestMalformed
from segue.serving.answers import moments
from segue.serving.answers.settings import LimitsConfig
from segue.serving.api import schemas
from segue.serving.api.common import limits_of, part, router, sent, service_of, within
from segue.serving.api.problems import responses
from segue.serving.guard.scopes import needs
from segue.serving.store.rows import Event

listening = router("events")


@listening.post(
    "/events",
    summary="Record what people did",
    status_code=201,
    response_model=schemas.EventsOut,
    responses={**responses(413, 415, 507), 200: {"model": schemas.EventsOut, "description": "All of them were known"}},
    dependencies=[Depends(needs("events"))],
)
async def record(request: Request, body: Annotated[schemas.EventsIn, Body()]) -> Response:
    """One event, a list of them, or ``{"events": [...]}``; the answer is sent after they are durable.

    With an ``event_id`` the request may be sent again at will. The batch is taken whole or not at all.
    ``conflicts`` lists ids under which something else was stored before; that stays.
    """
    service = service_of(request)
    given = body if isinstance(body, list) else body.events if isinstance(body, schemas.EventBatch) else [body]
    within("body", len(given), limits_of(service).batch, "batch")
    model = part(service, "models").choose(None).recommender
    where = "body.events[{}]" if isinstance(body, schemas.EventBatch) else "body[{}]" if body is given else "body"
    events = _events(given, model.clock, model.time_zone, where, limits_of(service))
    unknown = int((model.item_vocabulary.encode([event.item_id for event in events]) == 0).sum())
    appended = await part(service, "writer").append(events)
    if service.watch is not None:
        service.watch.stored(appended)
    made = any(each.event_id is None for each in given)
    document = {
        "stored": appended.stored,
        "known": appended.known,
        "unknown_items": unknown,
        "conflicts": list(appended.conflicts),
        "event_ids": [event.event_id for event in events] if made else None,
    }
    return sent(document, 201 if appended.stored else 200)


def _events(given: list[Any], clock: str, time_zone: str, where: str, limits: LimitsConfig) -> list[Event]:
    now = moments.now()
    latest = now + limits.ahead_hours * moments.HOUR if clock == "time" else float("inf")
    events = []
    for place, each in enumerate(given):
        stamp = now
        if each.timestamp is not None:
            try:
                stamp = moments.read(each.timestamp, clock, time_zone)
            except MomentUnreadable as error:
                told = f"{where.format(place)}.timestamp"
                raise RequestMalformed(place=told, reason=error.values["reason"], value=error.values["value"]) from None
            if stamp > latest:
                told = f"{where.format(place)}.timestamp"
                moment, clocked = moments.tell(stamp, clock), moments.tell(now, clock)
                raise EventAhead(place=told, value=moment, hours=f"{limits.ahead_hours:g}", now=clocked)
        events.append(
            Event(
                uuid.uuid4().hex if each.event_id is None else str(each.event_id),
                str(each.user_id),
                str(each.item_id),
                stamp,
                each.action,
                each.value,
                each.recommendation_id,
                dated=each.timestamp is not None,
            )
        )
    return events
