"""All middlewares of the guard around an application, in their order."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import FastAPI

from segue.serving.guard.admission import Admission, AdmissionMiddleware
from segue.serving.guard.connections import ConnectionsConfig
from segue.serving.guard.doorman import Doorman
from segue.serving.guard.gate import Presence
from segue.serving.guard.headers import SameSite, SecurityHeaders
from segue.serving.guard.keys import Keys
from segue.serving.guard.limits import BodyConfig, BodyLimit
from segue.serving.guard.logs import AccessLog, LogsConfig, Pseudonyms
from segue.serving.guard.scopes import RouteTable


def guard(
    app: FastAPI,
    keys: Keys,
    *,
    declared: Mapping[str, str | None] | None = None,
    pages: Mapping[str, str] | None = None,
    limits: BodyConfig | None = None,
    logs: LogsConfig | None = None,
    connections: ConnectionsConfig | None = None,
    admission: Admission | None = None,
) -> RouteTable:
    """Close an application: the last thing done to it, when its routes and mounts are complete.

    Args:
        app: the application.
        keys: who may ask.
        declared: scope by path, of routes and mounts that cannot declare one themselves (None: open to everybody).
        pages: content security policy by the beginning of a path, of what is shown in a browser.
        limits: of bodies.
        logs: what the log says of people.
        connections: for the further names of the service.
        admission: limits of keys, and the gate's queue; None: no limits of keys.

    Raises:
        ScopeUndeclared: a route says not which scope it needs.
    """
    table = RouteTable(app, declared)
    # The last one added is the outermost.
    app.add_middleware(Presence)
    app.add_middleware(BodyLimit, settings=limits)
    if admission is not None:
        app.add_middleware(AdmissionMiddleware, admission=admission)
    settings = connections or ConnectionsConfig()
    app.add_middleware(Doorman, keys=keys, table=table, open_to_proxies=settings.open)
    app.add_middleware(SameSite, hosts=("*",) if settings.open else settings.hosts)
    app.add_middleware(AccessLog, pseudonyms=Pseudonyms(logs))
    app.add_middleware(SecurityHeaders, pages=pages)
    return table
