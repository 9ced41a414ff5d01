"""Every failure as ``{"error": {"code", "message", "remedy"}}`` with its status, and nothing of the inside in it.

Errors of the library are 422 where a request can cause them; those of the service say their own status. Paths on the
service's disk and addresses of its store are cut to their last name; an exception that nobody foresaw is 500 and goes
to the log under the request's id.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from segue.errors import (
    MethodRefused,
    RequestMalformed,
    RequestUnread,
    RouteUnknown,
    SegueError,
    Unforeseen,
    UnknownItems,
)
from segue.serving.api import schemas, schemas_admin

_log = logging.getLogger(__name__)
_SHOWN = 60
_BRANCHES = 20
# A value of the wrong kind, and what the right one is called.
_KINDS = {
    "bool_type": "boolean",
    "bool_parsing": "boolean",
    "int_type": "integer",
    "float_type": "number",
    "string_type": "string",
    "list_type": "list",
}


def install(app: FastAPI) -> None:
    """Let an application answer every failure in this form."""
    app.add_exception_handler(SegueError, _segue_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unforeseen)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route declares of its failures; 422 and 500 all have."""
    told = {
        401: "No key, or one that is not known",
        403: "The key does not allow this",
        404: "Not there",
        409: "Not as things stand",
        413: "The body is too large",
        415: "The body does not say that it is JSON",
        422: "The request cannot be taken as it is",
        429: "Too much at once; see Retry-After",
        500: "The service failed",
        503: "Not ready, or the store does not answer",
        504: "It took too long",
        507: "The store has no room left",
    }
    always = (400, 401, 403, 422, 429, 500, 503, 504)
    told[400] = "The request could not be read"
    return {
        status: {"model": schemas_admin.Problem, "description": told[status]} for status in sorted({*always, *statuses})
    }


def problem(error: SegueError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """An error as an answer."""
    document = {"code": error.code, "message": _clean(error.message), "remedy": _clean(error.advice)}
    body = orjson.dumps({"error": document})
    return Response(body, status, headers=dict(headers or {}), media_type="application/json")


def _counted(request: Request, error: SegueError, status: int, headers: Mapping[str, str] | None = None) -> Response:
    request.scope["segue_error"] = error.code  # where the metrics look for it
    return problem(error, status, headers)


def request_id(request: Request) -> str:
    """The id that the log knows the request by."""
    known = request.scope.get("state", {}).get("request_id")
    return str(known) if known else uuid.uuid4().hex


def shown(value: Any) -> str:
    """A value that was met, short and for a person."""
    if isinstance(value, Mapping):
        return "an object" if value else "an empty object"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}"
    if isinstance(value, str | bytes):
        # The end of a long text is of no use to anyone.
        return repr(value if len(value) <= _SHOWN else value[:_SHOWN]) + ("..." if len(value) > _SHOWN else "")
    text = repr(value) if not isinstance(value, int) or abs(value) < 10**_SHOWN else "a very large number"
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


async def _segue_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SegueError)
    status = 404 if isinstance(error, UnknownItems) else int(getattr(error, "status", 422))
    return _counted(request, _without_places(error), status, getattr(error, "headers", {}))


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _counted(request, malformed(error.errors()), RequestMalformed.status)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = str(request.scope.get("path", ""))[:_SHOWN]
    if error.status_code == 404:
        return _counted(request, RouteUnknown(), 404)
    if error.status_code == 405:
        return _counted(request, MethodRefused(method=request.method[:20], path=path), 405, error.headers)
    return _counted(request, RequestUnread(reason=_clean(str(error.detail))[:200]), error.status_code, error.headers)


async def _unforeseen(request: Request, error: Exception) -> Response:
    name = request_id(request)
    _log.error("request %s failed: %s", name, type(error).__name__)
    return _counted(request, Unforeseen(request_id=name), 500)


def malformed(errors: Sequence[Mapping[str, Any]]) -> RequestMalformed:
    """The first thing that pydantic found wrong, with its place and the value there."""
    found, others = _one_of(errors)
    kind, loc = str(found["type"]), found["loc"]
    if kind == "json_invalid":
        reason = str(found.get("ctx", {}).get("error", "")).partition(":")[0] or "this is not JSON"
        return RequestMalformed(place="body", reason=f"it is not JSON ({reason})", value=f"place {loc[-1]}")
    reason = str(found["msg"]).removeprefix("Value error, ").rstrip(".") + others
    reason = reason[:1].lower() + reason[1:]
    value = "nothing" if kind == "missing" else shown(found.get("input"))
    return RequestMalformed(place=_place(loc, kind), reason=reason, value=value)


def _one_of(errors: Sequence[Mapping[str, Any]]) -> tuple[Mapping[str, Any], str]:
    """What to tell of a value of which several kinds are taken, each with an error of its own.

    That of the kind which it has, else the first one and the names of the other kinds.
    """
    first = errors[0]
    if first["type"] not in _KINDS:
        return first, ""
    place = _place(first["loc"], "")
    same = [each for each in errors[:_BRANCHES] if each.get("input") is first.get("input")]
    same = [each for each in same if _place(each["loc"], "") == place]
    for each in same:
        if each["type"] not in _KINDS:
            return each, ""
    names = list(dict.fromkeys(_KINDS[each["type"]] for each in same if each is not first))
    return first, "".join([*(f", {name}" for name in names[:-1]), *(f" or {name}" for name in names[-1:])])


def _place(loc: Iterable[Any], kind: str) -> str:
    """``body.history[3].item_id``; the names that pydantic gives to the branches of a choice are left out."""
    parts = list(loc)
    text = ""
    for number, part in enumerate(parts):
        if isinstance(part, int):
            text += f"[{part}]"
        elif (
            _is_column(parts, number)
            or number == 0
            or part in _NAMES
            or (kind == "extra_forbidden" and number == len(parts) - 1)
        ):
            text += ("." if text else "") + str(part)[:_SHOWN]
    return text or "the request"


def _is_column(parts: Sequence[Any], number: int) -> bool:
    """A name after the number of a row, with the branch of a choice behind it: any column of a catalogue."""
    return 0 < number < len(parts) - 1 and isinstance(parts[number - 1], int)


def _without_places(error: SegueError) -> SegueError:
    """The same error without folders of the service's disk and addresses of its store."""
    hidden = {}
    for name, value in error.values.items():
        if name == "url":
            hidden[name] = str(value).partition("://")[0]
        elif isinstance(value, PurePath) or (name in ("path", "found") and str(value).startswith("/")):
            hidden[name] = PurePath(str(value)).name
    return type(error)(**{**error.values, **hidden}) if hidden else error


def _clean(text: str) -> str:
    """Text that can be sent: half of a surrogate pair cannot."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _names() -> set[str]:
    kinds = [*vars(schemas).values(), *vars(schemas_admin).values()]
    models = [each for each in kinds if isinstance(each, type) and issubclass(each, BaseModel)]
    queries = {"k", "n", "at", "explain", "action", "diversity", "exclude_seen", "query", "user_id", "item_id", "name"}
    return {name for model in models for name in model.model_fields} | queries


_NAMES = _names()
