"""Which route needs which scope: declared at the route, checked when the application is built.

A route says ``dependencies=[Depends(needs("recommend"))]``; what is no route of FastAPI (a mounted page, the OpenAPI
document) is declared by its path. ``RouteTable`` gathers all of them and refuses one that says nothing. ``Doorman``
enforces the table; the dependency itself only makes sure that the doorman was passed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection

from segue.errors import KeyMissing, ScopeUndeclared, ScopeUnknown, nearest
from segue.serving.guard.paths import PathPattern
from segue.serving.guard.refusing import Scope

SCOPES = ("events", "recommend", "metrics", "items", "admin")
"""``events`` writes what people did, ``recommend`` asks, ``metrics`` reads ``/metrics``, ``items`` changes the
catalogue, ``admin`` does all of it and the rest."""


def known_scope(scope: str) -> str:
    """The scope itself; raises ``ScopeUnknown``."""
    if scope not in SCOPES:
        raise ScopeUnknown(scope=scope, hint=nearest(scope, SCOPES), known=", ".join(SCOPES))
    return scope


class Needs:
    """A dependency of FastAPI that declares the scope of a route; None is open to everybody."""

    def __init__(self, scope: str | None) -> None:
        self.scope = None if scope is None else known_scope(scope)

    async def __call__(self, connection: HTTPConnection) -> None:
        """Refuse whom the doorman has not let in for this scope; without a doorman that is everybody."""
        allowed = connection.scope.get("state", {}).get("allowed", ())
        if self.scope is not None and self.scope not in allowed:
            raise KeyMissing(reason="This needs a key")


def needs(scope: str | None) -> Needs:
    """Declare what a route needs: ``Depends(needs("events"))``."""
    return Needs(scope)


@dataclass(frozen=True, slots=True)
class Declared:
    """One route: where, by which methods (None: all), for whom (no scope: everybody)."""

    template: str
    methods: frozenset[str] | None
    pattern: PathPattern
    scopes: frozenset[str]


class RouteTable:
    """All routes of an application and the scopes they declare.

    Args:
        app: an application whose routes and mounts are complete; what is added later is not found.
        declared: scope by path, of what has no dependencies: mounts, plain Starlette routes.

    Raises:
        ScopeUndeclared: a route says nothing.
    """

    def __init__(self, app: FastAPI, declared: Mapping[str, str | None] | None = None) -> None:
        self.routes = list(_read(app, declared or {}))

    def find(self, scope: Scope) -> Declared | None:
        """The route of a request (of a WebSocket, which has no method), or None.

        A known path asked by an unknown method gives a route without scopes: the router answers 405.
        """
        method = scope.get("method")
        other: Declared | None = None
        for route in self.routes:
            if route.pattern.match(scope) is not None:
                if method is None or route.methods is None or method in route.methods:
                    return route
                other = Declared(route.template, None, route.pattern, frozenset())
        return other


def _read(app: FastAPI, declared: Mapping[str, str | None]) -> Iterator[Declared]:
    for route in iter_route_contexts(app.routes):
        template = route.path or ""
        found = [need.scope for need in _needs_of(getattr(route, "dependant", None))]
        if template in declared:
            found.append(declared[template])
        if not found:
            raise ScopeUndeclared(route=template or type(route.original_route).__name__)
        pattern = PathPattern(template, getattr(route, "path_regex", None))
        methods = route.methods
        scopes = frozenset(known_scope(scope) for scope in found if scope is not None)
        yield Declared(template, None if methods is None else frozenset(methods), pattern, scopes)


def _needs_of(dependant: Any) -> Iterator[Needs]:
    if dependant is None:
        return
    if isinstance(dependant.call, Needs):
        yield dependant.call
    for below in dependant.dependencies:
        yield from _needs_of(below)
