"""All routes of the interface, and its failures, put on an application."""

from __future__ import annotations

from fastapi import FastAPI

from segue.serving.api import problems
from segue.serving.api.routes_events import listening
from segue.serving.api.routes_health import checking
from segue.serving.api.routes_items import cataloguing
from segue.serving.api.routes_models import modelling
from segue.serving.api.routes_recommend import recommending
from segue.serving.api.routes_users import forgetting


def install(app: FastAPI) -> None:
    """Add the routes, and let every failure be answered in one form."""
    for each in (recommending, listening, cataloguing, forgetting, modelling, checking):
        app.include_router(each)
    problems.install(app)
