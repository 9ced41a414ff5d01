"""The ASGI application: routes, middlewares and the page, around one ``Service``.

Rooms hand in routers and middlewares; the order is decided here. The process that runs it is ``run``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse

from segue import __version__
from segue.serving.api import openapi, routes
from segue.serving.guard.admission import AliveMiddleware
from segue.serving.guard.guarding import guard
from segue.serving.guard.head import HeadAsGet
from segue.serving.guard.scopes import needs
from segue.serving.service import Service
from segue.serving.watching.latency import Latency
from segue.serving.watching.routes import watching_router

_ABOUT = """Recommend, listen, learn, in one loop. Ids are those of your log and catalogue, in and out."""


def create_app(service: Service) -> FastAPI:
    """The application around a service; it starts and stops the service's parts with itself.

    Routes read the parts at ``request.app.state.service``.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            service.stop()

    # The documents' own pages would load scripts from elsewhere; the document is what counts.
    app = FastAPI(
        title="Segue", version=__version__, description=_ABOUT, lifespan=lifespan, docs_url=None, redoc_url=None
    )
    app.state.service = service
    routes.install(app)
    if service.watch is not None:
        app.include_router(watching_router())
    declared: dict[str, str | None] = {"/openapi.json": "admin"}
    pages = {}
    if service.settings.page.on:
        from segue.serving.page.mount import PATH, POLICY, mount
        from segue.serving.page.service_source import ServiceSource

        mount(app, ServiceSource(service))
        app.add_api_route(
            "/", lambda: RedirectResponse(PATH), dependencies=[Depends(needs(None))], include_in_schema=False
        )
        declared[PATH], pages[PATH] = None, POLICY  # the page has a door of its own
    openapi.install(app, declared)
    if service.keys is not None:
        # After all routes and mounts: what comes later is not found. Without keys nothing but health is let in.
        settings = service.settings
        app.state.routes = guard(
            app,
            service.keys,
            declared=declared,
            pages=pages,
            limits=settings.body,
            logs=settings.logs,
            connections=settings.connections,
            admission=service.admission,
        )
    app.add_middleware(HeadAsGet)
    app.add_middleware(AliveMiddleware)
    if service.watch is not None:
        # The outermost, so that refusals count; routing leaves the template of the path in the scope that all share.
        app.add_middleware(Latency, metrics=service.watch.metrics)
    return app
