"""The OpenAPI document: how keys are shown, which scope each route needs, and defaults that generators read rightly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fastapi import FastAPI

from segue.serving.guard.scopes import RouteTable

_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "A key of `segue keys create`."},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key."},
}
_REFERENCE = "#/components/schemas/"


def install(app: FastAPI, declared: Mapping[str, str | None]) -> None:
    """Complete the document that FastAPI makes; the routes must be complete when it is first read.

    Args:
        app: the application.
        declared: as for ``RouteTable``.
    """
    plain = app.openapi

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = plain()
            _secure(made, RouteTable(app, declared))
            _optional_defaults(made)
        schema: dict[str, Any] = app.openapi_schema or made
        return schema

    app.openapi = document  # type: ignore[method-assign]


def _secure(document: dict[str, Any], table: RouteTable) -> None:
    """Name the scopes of every operation; without any it is open to everybody.

    A service without keys answers the machine that it runs on for every scope.
    """
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    scopes = {
        (route.template.replace(":path}", "}"), method): sorted(route.scopes)
        for route in table.routes
        for method in route.methods or ()
    }
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            needed = scopes[path, method.upper()]
            operation["security"] = [{name: needed} for name in _SCHEMES] if needed else []


def _optional_defaults(document: dict[str, Any]) -> None:
    """Move defaults of request bodies into their descriptions.

    Generators of typed clients take a property with a default for one that is always there, and so ask for it in a
    request. ``required`` alone says what a request must have.
    """
    schemas = document["components"]["schemas"]
    bodies = (
        operation["requestBody"]
        for operations in document["paths"].values()
        for operation in operations.values()
        if "requestBody" in operation
    )
    names: list[str] = [name for body in bodies for name in _references(body)]
    met: set[str] = set()
    while names:
        name = names.pop()
        if name in met:
            continue
        met.add(name)
        names += _references(schemas[name])
        for each in schemas[name].get("properties", {}).values():
            if "default" in each:
                default = each.pop("default")
                if default is not None and default != {}:
                    each["description"] = f"{each.get('description', '')} Default: {default}.".strip()


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(_REFERENCE):
            yield reference.removeprefix(_REFERENCE)
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from _references(each)
