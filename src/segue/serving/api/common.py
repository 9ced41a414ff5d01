"""What all routes share: the service behind the application, the gate, quick JSON in and out, and scopes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from typing import Any, TypeVar

import orjson
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.routing import Match

from segue.errors import ContentTypeRefused, NotReady, OverLimit, ParameterUnknown, nearest
from segue.serving.answers import moments, reasons
from segue.serving.answers.questions import Answer, Listed
from segue.serving.answers.settings import LimitsConfig
from segue.serving.guard.paths import PathPattern

T = TypeVar("T")


class QuickRequest(Request):
    """Reads JSON with orjson: quicker, no NaN, no half surrogates, no depth beyond what the stack bears."""

    async def json(self) -> Any:
        """The body; raises ``json.JSONDecodeError``."""
        return orjson.loads(await self.body())


class QuickRoute(APIRoute):
    """A route whose request is a :class:`QuickRequest`, and whose path is matched exactly.

    What it would not read is refused: unknown parameters of the query, and a body that does not say that it is JSON
    (which a browser sends to any site without asking).
    """

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self._exact = PathPattern(self.path)

    def matches(self, scope: MutableMapping[str, Any]) -> tuple[Match, dict[str, Any]]:
        """As in the base, of the whole path; routers are included without a further prefix."""
        params = self._exact.match(scope) if scope["type"] == "http" else None
        if params is None:
            return Match.NONE, {}
        found = Match.FULL if scope["method"] in (self.methods or ()) else Match.PARTIAL
        return found, {"endpoint": self.endpoint, "path_params": params, "route": self}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """As in the base."""
        handler = super().get_route_handler()
        known = [each.alias for each in self.dependant.query_params]
        takes_body = self.body_field is not None

        async def quick(request: Request) -> Response:
            read = QuickRequest(request.scope, request.receive)
            for name in read.query_params:
                if name not in known:
                    taken = ", ".join(known) or "none"
                    raise ParameterUnknown(name=name[:60], path=self.path, known=taken, hint=nearest(name[:60], known))
            if takes_body and not _is_json(kind := read.headers.get("content-type", "")) and await read.body():
                raise ContentTypeRefused(value=repr(kind[:60]) if kind else "missing")
            return await handler(read)

        return quick


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind.startswith("application/") and kind.endswith(("/json", "+json"))


def router(tag: str) -> APIRouter:
    """A router of the interface's first version."""
    return APIRouter(prefix="/v1", tags=[tag], route_class=QuickRoute)


def service_of(request: Request) -> Any:
    """The service."""
    return request.app.state.service


def limits_of(service: Any) -> LimitsConfig:
    """How much a request may ask for."""
    limits = getattr(service.settings, "limits", None)
    return limits if isinstance(limits, LimitsConfig) else _LIMITS


def within(place: str, value: int, limit: int, setting: str) -> None:
    """Raise ``OverLimit`` where a request asks for more than the settings allow."""
    if value > limit:
        raise OverLimit(place=place, value=value, limit=limit, setting=setting)


async def answered(
    request: Request, service: Any, kind: str, call: Callable[[], Answer], cost_ms: float = 1.0
) -> Response:
    """An answer made in a thread of the gate, as JSON; the log and the metrics hear of it.

    ``cost_ms`` is what it is estimated to take; the gate is fair between the keys by it.
    """
    answer, seconds = await timed(service, call, cost_ms, getattr(request.state, "key", None))
    request.state.model = answer.model
    if answer.user_id is not None:
        request.state.user_id = answer.user_id
    if service.watch is not None:
        service.watch.answered(answer, seconds, kind)
    return sent(told(answer))


async def timed(service: Any, call: Callable[[], T], cost_ms: float = 1.0, key: str | None = None) -> tuple[T, float]:
    """What a call returns, made in a thread of the gate, and the seconds it took there."""

    def clocked() -> tuple[T, float]:
        began = time.perf_counter()
        return call(), time.perf_counter() - began

    if service.gate is None:
        return await asyncio.to_thread(clocked)
    admitted: Awaitable[tuple[T, float]] = service.gate.run(clocked, cost_ms=cost_ms, key=key)
    return await admitted


async def through_gate(service: Any, call: Callable[[], T]) -> T:
    """What a call returns, made in a thread of the gate: no more at once than it admits, none longer than it allows."""
    return await _through(service.gate, call)


async def through_changes(service: Any, call: Callable[[], T]) -> T:
    """As :func:`through_gate`, for what changes the store or artefacts: it takes longer and no place of a question.

    What is past its deadline goes on behind the back; asking for it again is harmless.
    """
    return await _through(getattr(service, "changes", None), call)


async def _through(gate: Any, call: Callable[[], T]) -> T:
    if gate is None:
        return await asyncio.to_thread(call)
    admitted: Awaitable[T] = gate.run(call)
    return await admitted


def part(service: Any, name: str) -> Any:
    """A part of the service; raises ``NotReady`` while it is not there."""
    found = getattr(service, name)
    if found is None:
        raise NotReady(reason=f"it has no {name}")
    return found


def sent(document: Any, status: int = 200) -> Response:
    """JSON; what is not finite is null."""
    return Response(orjson.dumps(document, default=str), status, media_type="application/json")


def told(answer: Answer) -> dict[str, Any]:
    """An answer as its JSON; ``history_source`` and ``explained`` where they say something."""
    document = {
        "recommendation_id": answer.recommendation_id,
        "model": answer.model,
        "user_id": answer.user_id,
        "at": moments.tell(answer.at, answer.clock),
        "cold": answer.cold,
        "history_length": answer.history_length,
        "unknown_items": answer.unknown_items,
        "items": [listed(each) for each in answer.items],
    }
    for name in ("history_source", "explained"):
        if (value := getattr(answer, name)) is not None:
            document[name] = value
    return document


def listed(item: Listed) -> dict[str, Any]:
    """An item as its JSON; reasons and propensity where there are any."""
    document: dict[str, Any] = {
        "item_id": item.item_id,
        "title": item.title,
        "score": item.score,
        "rank": item.rank,
    }
    if item.reasons is not None:
        document["reasons"] = [reasons.document(each) for each in item.reasons]
    if item.propensity is not None:
        document["propensity"] = item.propensity
    return document


_LIMITS = LimitsConfig()
