"""``/metrics`` for Prometheus, ``/v1/alerts`` for people and programs."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from segue.serving.watching.alerts import Change


class AlertsOut(BaseModel):
    """The alerts that are on, and what was raised and cleared; the latest first."""

    active: list[Change]
    history: list[Change]


def watching_router(*dependencies: Any) -> APIRouter:
    """The two routes; ``dependencies`` guard both (``Depends(needs("admin"))``)."""
    router = APIRouter(dependencies=list(dependencies), tags=["watching"])

    @router.get("/metrics", include_in_schema=False)
    def metrics(request: Request) -> Response:
        # A plain function: it runs in a thread, and other requests go on.
        page, content_type = request.app.state.service.watch.metrics.scrape(request.headers.get("accept", ""))
        return Response(page, media_type=None, headers={"Content-Type": content_type})

    @router.get("/v1/alerts")
    def alerts(request: Request) -> AlertsOut:
        """The alerts that are on, and the history of all."""
        known = request.app.state.service.watch.alerts
        return AlertsOut(active=known.active(), history=known.history())

    return router
