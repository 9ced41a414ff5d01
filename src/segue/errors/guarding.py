"""Errors of the guard: keys, scopes, limits, deadlines, addresses.

``headers`` of an error are what HTTP wants beside the status, such as ``Retry-After``.
"""

from __future__ import annotations

from typing import ClassVar

from segue.errors.serving import ServiceError


class GuardError(ServiceError):
    """Somebody may not ask this, not so much, or not now."""


class LaterError(GuardError):
    """Refused now; the same question can be asked again after ``seconds``."""

    @property
    def headers(self) -> dict[str, str]:
        """When to come back."""
        return {"Retry-After": str(self.values["seconds"])}


class Busy(LaterError):
    code = "V040"
    status: ClassVar[int] = 429
    template = "The service has all the work it can take ({what})."
    remedy = "Ask again after {seconds} s."


class KeyBusy(LaterError):
    code = "V110"
    status: ClassVar[int] = 429
    template = "The key {key_id} has {limit} requests in flight, as many as it may have."
    remedy = "Ask again after {seconds} s; segue keys create --concurrency N makes a key that may have more."


class KeyTooFast(LaterError):
    code = "V111"
    status: ClassVar[int] = 429
    template = "The key {key_id} sends more than {limit} requests a second."
    remedy = "Ask again after {seconds} s; segue keys create --rate N makes a key that may send more."


class DeadlinePassed(GuardError):
    code = "V041"
    status: ClassVar[int] = 504
    template = "No answer within {seconds} s."
    remedy = "Ask again, or ask for less (a smaller k, a shorter history)."


class Stalled(LaterError):
    code = "V042"
    status: ClassVar[int] = 503
    template = "{count} calls never came back and hold their threads."
    remedy = "Ask again after {seconds} s; if it persists, restart the service."


class ClientGone(GuardError):
    code = "V043"
    status: ClassVar[int] = 499
    template = "The client left before its turn."
    remedy = "Nothing was computed; ask again."


class Draining(LaterError):
    code = "V044"
    status: ClassVar[int] = 503
    template = "The service is stopping."
    remedy = "Ask again after {seconds} s; another replica or the next start answers."


class KeyMissing(GuardError):
    code = "V045"
    status: ClassVar[int] = 401
    template = "{reason}."
    remedy = "Send a valid key as 'Authorization: Bearer segue_...' or 'X-API-Key: segue_...'."

    @property
    def headers(self) -> dict[str, str]:
        """How to identify oneself (RFC 9110, 11.6.1)."""
        return {"WWW-Authenticate": 'Bearer realm="segue"'}


class ScopeMissing(GuardError):
    code = "V046"
    status: ClassVar[int] = 403
    template = "This needs a key with the scope {scope!r}; the key {key_id} has {found}."
    remedy = "Use another key, or have one made: segue keys create --scope {scope}"


class TooManyAttempts(LaterError):
    code = "V047"
    status: ClassVar[int] = 429
    template = "Too many wrong keys from this address."
    remedy = "Correct the key, and ask again after {seconds} s."


class ScopeUndeclared(GuardError):
    code = "V048"
    status: ClassVar[int] = 500
    template = "The route {route} says not which scope it needs."
    remedy = "Give it dependencies=[Depends(needs('recommend'))], or needs(None) where anybody may ask."


class ScopeUnknown(GuardError):
    code = "V049"
    template = "There is no scope {scope!r}.{hint}"
    remedy = "Known: {known}."


class KeyUnknown(GuardError):
    code = "V050"
    status: ClassVar[int] = 404
    template = "There is no key {key_id!r} in the store.{hint}"
    remedy = "See segue keys list."


class BodyTooLarge(GuardError):
    code = "V051"
    status: ClassVar[int] = 413
    template = "The body has more than {limit} bytes."
    remedy = "Send less at once, in several requests."


class BodyMalformed(GuardError):
    code = "V052"
    status: ClassVar[int] = 422
    template = "The body has more than {limit} {what}."
    remedy = "Send less at once, and flat objects as the interface describes them."


class BodyTooSlow(GuardError):
    code = "V053"
    status: ClassVar[int] = 408
    template = "The body did not arrive within {seconds} s."
    remedy = "Send it again, faster or smaller."

    @property
    def headers(self) -> dict[str, str]:
        """The rest of the body is not waited for."""
        return {"Connection": "close"}


class HeadRefused(GuardError):
    code = "V054"
    status: ClassVar[int] = 431
    template = "The head of the request {reason}."
    remedy = "Send a well-formed HTTP/1.1 request with a shorter address and fewer headers."


class HostRefused(GuardError):
    code = "V055"
    status: ClassVar[int] = 421
    template = "This service does not answer to {what}."
    remedy = "Call it by its own name; connections.hosts lists further names."


class OpenToOthers(GuardError):
    code = "V056"
    template = "Without a key the service is open to everybody, and {host} can be reached from other machines."
    remedy = "Make a key first (segue keys create --store URL --scope admin), or leave --host at 127.0.0.1."


class ProxyWithoutKey(GuardError):
    code = "V106"
    status: ClassVar[int] = 403
    template = (
        "Without a key this service answers its own machine alone, and this request came through a proxy ({sign})."
    )
    remedy = (
        "Make a key (segue keys create --store URL --scope recommend) and send it as 'Authorization: Bearer KEY'; "
        "or start the service with segue serve --open, which answers everybody whom the proxy lets through."
    )


class AddressTaken(GuardError):
    code = "V057"
    template = "Cannot listen on {host}:{port}: {reason}."
    remedy = "Choose another --port or --host, or stop what uses it."


class Unforeseen(GuardError):
    code = "V058"
    status: ClassVar[int] = 500
    template = "Something unforeseen went wrong in the service."
    remedy = "The log tells more under the request id {request_id}."


class RouteUnknown(GuardError):
    code = "V059"
    status: ClassVar[int] = 404
    template = "There is nothing at this address."
    remedy = "GET /openapi.json lists what there is."
