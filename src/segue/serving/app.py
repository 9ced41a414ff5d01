"""The ASGI application: routes, middlewares and the page, around one ``Service``.

Rooms hand in routers and middlewares; the order is decided here. The process that runs it is ``run``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from segue import __version__
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

    app = FastAPI(title="Segue", version=__version__, description=_ABOUT, lifespan=lifespan)
    app.state.service = service
    if service.watch is not None:
        app.include_router(watching_router())
    # Routers of api/ and watching/ are included here, then middlewares are added, the innermost first:
    # limits of the body, security headers, logs, latency. The page is mounted last.
    if service.watch is not None:
        app.add_middleware(Latency, metrics=service.watch.metrics)
    return app
