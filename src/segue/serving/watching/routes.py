"""``/metrics`` for Prometheus, ``/v1/alerts`` for people and programs."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel

from segue.serving.guard.scopes import needs
from segue.serving.watching.alerts import Change


class AlertsOut(BaseModel):
    """The alerts that are on, and what was raised and cleared; the latest first."""

    active: list[Change]
    history: list[Change]


def watching_router() -> APIRouter:
    """The two routes: ``/metrics`` for the scope ``metrics``, alerts for ``admin``."""
    router = APIRouter(tags=["watching"])

    @router.get(
        "/metrics",
        summary="Metrics for Prometheus",
        response_class=PlainTextResponse,
        dependencies=[Depends(needs("metrics"))],
    )
    def metrics(request: Request) -> Response:
        """Text in the format of Prometheus, or of OpenMetrics where the request accepts it."""
        # A plain function: it runs in a thread, and other requests go on.
        page, content_type = request.app.state.service.watch.metrics.scrape(request.headers.get("accept", ""))
        return Response(page, media_type=None, headers={"Content-Type": content_type})

    @router.get("/v1/alerts", summary="Alerts", dependencies=[Depends(needs("admin"))])
    def alerts(request: Request) -> AlertsOut:
        """The alerts that are on, and the history of all."""
        known = request.app.state.service.watch.alerts
        return AlertsOut(active=known.active(), history=known.history())

    return router
