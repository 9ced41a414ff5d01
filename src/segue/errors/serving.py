"""Errors of the service: what a request or its start can meet."""

from __future__ import annotations

from typing import ClassVar

from segue.errors.base import SegueError


class ServiceError(SegueError):
    """A request or the start of the service was refused; ``status`` is what HTTP says."""

    status: ClassVar[int] = 400

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP wants beside the status."""
        return {}


class RequestMalformed(ServiceError):
    code = "V001"
    status = 422
    template = "{place}: {reason} (met {value})."
    remedy = "Correct it there; GET /openapi.json shows what each request takes."


class MethodRefused(ServiceError):
    code = "V002"
    status = 405
    template = "{method} is not taken at {path!r}."
    remedy = "GET /openapi.json lists the methods of each path."


class OverLimit(ServiceError):
    code = "V003"
    status = 422
    template = "{place} is {value}, and at most {limit} is taken."
    remedy = "Ask for less at once, or raise limits.{setting}."


class FilterUnavailable(ServiceError):
    code = "V004"
    status = 422
    template = "The filter {name!r} needs the catalogue to have {wanted}; its columns are: {found}."
    remedy = "Leave the filter out, or give the catalogue such a column (PUT /v1/items)."


class DiversityUnavailable(ServiceError):
    code = "V005"
    status = 422
    template = "{model!r} knows of no likeness of items: it has neither item vectors nor categories."
    remedy = "Ask with diversity=0, or give the catalogue a column 'categories'."


class HistoryMixed(ServiceError):
    code = "V006"
    status = 422
    template = "{told} of the {count} events of the history have a timestamp, the others have none."
    remedy = "Give all of them one or none; without timestamps the order given counts, oldest first."


class ItemRowsUnreadable(ServiceError):
    code = "V007"
    status = 422
    template = "The rows of items make no table: {reason}."
    remedy = "Give each column values of one kind in all rows: text, numbers, true/false or lists of text."


class NotReady(ServiceError):
    code = "V008"
    status = 503
    template = "The service is not ready: {reason}."
    remedy = "Ask again in a moment; /readyz tells when it is."


class RequestUnread(ServiceError):
    code = "V009"
    status = 400
    template = "The request could not be read: {reason}."
    remedy = "Send it again, with a body of JSON and its content type application/json."


class EventAhead(ServiceError):
    code = "V010"
    status = 422
    template = "{place} is {value}, more than {hours} hours ahead of the service's clock ({now})."
    remedy = "Correct the clock of the sender or the time zone, or raise limits.ahead_hours."


class ParameterUnknown(ServiceError):
    code = "V011"
    status = 422
    template = "query.{name}: there is no such parameter; {path} takes {known}.{hint}"
    remedy = "Correct the name or leave it out. Filters are taken by POST /v1/recommend alone."


class ContentTypeRefused(ServiceError):
    code = "V012"
    status = 415
    template = "The header content-type is {value}, and this takes application/json."
    remedy = "Send the header, as in curl -H 'content-type: application/json' -d '...'."
