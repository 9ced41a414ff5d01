"""Routes of the models that answer."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import Depends, Path, Request, Response

from segue.errors import OnlineUnknown
from segue.serving.answers import moments
from segue.serving.answers.settings import TEXT
from segue.serving.api import schemas, schemas_admin
from segue.serving.api.common import part, router, sent, service_of
from segue.serving.api.problems import responses
from segue.serving.guard.scopes import needs

modelling = router("models")
Name = Annotated[
    str, Path(min_length=1, max_length=TEXT, pattern=schemas.NO_NUL, description="As in the list of models.")
]


@modelling.get(
    "/models",
    summary="All models",
    response_model=schemas_admin.ModelsOut,
    responses=responses(),
    dependencies=[Depends(needs("admin"))],
)
async def all_models(request: Request) -> Response:
    """Every registered model, what it does, and whether it is in memory."""
    return sent(await asyncio.to_thread(_listed, service_of(request)))


@modelling.post(
    "/models",
    summary="Register a model",
    status_code=201,
    response_model=schemas_admin.ModelsOut,
    responses=responses(409, 507),
    dependencies=[Depends(needs("admin"))],
)
async def add(request: Request, body: schemas_admin.ModelIn) -> Response:
    """An artefact on the service's disk: for an A/B test (active), a trial in the shadow, or to be activated later.

    It is checked before it is registered, and loaded beside the requests; the list tells when that is done
    (``loaded``), or why it cannot be (``refused``).
    """
    service = service_of(request)
    await asyncio.to_thread(part(service, "models").add, body.path, body.name, body.role, body.weight)
    return sent(await asyncio.to_thread(_listed, service), 201)


@modelling.post(
    "/models/{name}/activate",
    summary="Let one model answer",
    response_model=schemas_admin.ModelsOut,
    responses=responses(404, 409),
    dependencies=[Depends(needs("admin"))],
)
async def activate(request: Request, name: Name) -> Response:
    """The model answers in place of all others, as soon as every process has loaded it; no request is dropped."""
    service = service_of(request)
    await asyncio.to_thread(part(service, "models").activate, name)
    return sent(await asyncio.to_thread(_listed, service))


@modelling.post(
    "/models/roll-back",
    summary="Undo the newest activation",
    response_model=schemas_admin.RolledBack,
    responses=responses(409),
    dependencies=[Depends(needs("admin"))],
)
async def roll_back(request: Request) -> Response:
    """Those answer again that answered before."""
    names = await asyncio.to_thread(part(service_of(request), "models").roll_back)
    return sent({"active": list(names)})


@modelling.put(
    "/models/{name}",
    summary="What a model does",
    response_model=schemas_admin.ModelsOut,
    responses=responses(404, 409),
    dependencies=[Depends(needs("admin"))],
)
async def change(request: Request, name: Name, body: schemas_admin.ModelChange) -> Response:
    """Answer beside the other active models by a weight, be asked in the background, or rest."""
    service = service_of(request)
    await asyncio.to_thread(part(service, "models").set_role, name, body.role, body.weight)
    return sent(await asyncio.to_thread(_listed, service))


@modelling.delete(
    "/models/{name}",
    summary="Unregister a model",
    response_model=schemas_admin.ModelsOut,
    responses=responses(404, 409),
    dependencies=[Depends(needs("admin"))],
)
async def remove(request: Request, name: Name) -> Response:
    """The model answers no more, and no roll-back returns to it. Its directory stays on the service's disk.

    The only model that answers is refused.
    """
    service = service_of(request)
    await asyncio.to_thread(part(service, "models").remove, name)
    return sent(await asyncio.to_thread(_listed, service))


@modelling.get(
    "/models/{name}/online",
    summary="What a model learns between updates",
    response_model=schemas_admin.OnlineOut,
    responses=responses(404),
    dependencies=[Depends(needs("admin"))],
)
async def online(request: Request, name: Name) -> Response:
    """How far it is, and how it does beside the same model frozen: each event is tested on before it is learnt from."""
    return sent(_online(service_of(request), name))


@modelling.post(
    "/models/{name}/online",
    summary="Take back what a model has learnt between updates",
    response_model=schemas_admin.OnlineOut,
    responses=responses(404, 409),
    dependencies=[Depends(needs("admin"))],
)
async def take_back(request: Request, name: Name, body: schemas_admin.OnlineChange) -> Response:
    """The newest batches, or everything; every replica follows within a second, and a restart keeps to it."""
    service = service_of(request)
    steering = _switched_on(service.steering, name)
    if body.undo is None:
        await asyncio.to_thread(steering.reset, name)
    else:
        await asyncio.to_thread(steering.undo, name, body.undo)
    return sent(_online(service, name))


def _switched_on(learning: Any, name: str) -> Any:
    """A part of online mode; without that mode nothing is learnt for any model."""
    if learning is None:
        raise OnlineUnknown(name=name, known="none, because online mode is off")
    return learning


def _online(service: Any, name: str) -> dict[str, Any]:
    report = _switched_on(service.online, name).report(name)
    return {key.replace("@", "_at_"): value for key, value in report.items() if key != "acts"}


def _listed(service: Any) -> dict[str, Any]:
    return {
        "models": [
            {
                "name": info.row.name,
                "role": info.row.role,
                "weight": info.row.weight,
                "created": moments.tell(info.row.created, "time"),
                "learnt_to": info.row.learnt_to_seq,
                "loaded": info.loaded,
                "refused": info.refused,
            }
            for info in part(service, "models").all()
        ]
    }
