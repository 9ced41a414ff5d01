"""Errors of the service's page: what opening it or filling it in can meet."""

from __future__ import annotations

from segue.errors.serving import ServiceError


class PageFault(ServiceError):
    code = "V090"
    status = 500
    template = "This part of the page could not be filled."
    remedy = "The service's log says why; the rest of the page and the service itself go on."


class LoginRefused(ServiceError):
    code = "V091"
    status = 401
    template = "This key does not open the page: it is unknown, has expired, or is not an admin's."
    remedy = "Make one with: segue keys create --scope admin --store URL"


class LoginTooOften(ServiceError):
    code = "V092"
    status = 429
    template = "Too many keys were tried: {count} within a minute."
    remedy = "Wait a minute and try again."


class OriginRefused(ServiceError):
    code = "V093"
    status = 403
    template = "The page does not answer what comes from elsewhere ({origin})."
    remedy = "Open it at the address that the service was started with."


class FieldUnreadable(ServiceError):
    code = "V094"
    template = "{name} was given as {value!r}."
    remedy = "It must be {form}."
