"""Routes of the catalogue."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

import polars as pl
from fastapi import Body, Depends, Path, Query, Request, Response

from segue.errors import ItemRowsUnreadable, ItemsNotTaken, UnknownItems
from segue.recommenders import growing
from segue.serving.answers.settings import TEXT, K
from segue.serving.api import item_kinds, schemas, schemas_admin
from segue.serving.api.common import (
    limits_of,
    listed,
    part,
    router,
    sent,
    service_of,
    through_changes,
    through_gate,
    timed,
    within,
)
from segue.serving.api.problems import responses
from segue.serving.guard.scopes import needs

cataloguing = router("items")
ItemId = Annotated[
    str,
    Path(min_length=1, max_length=TEXT, pattern=schemas.NO_NUL, description="As in the catalogue.", examples=["i7"]),
]


@cataloguing.get(
    "/items/{item_id:path}/similar",
    summary="Items that go with one",
    response_model=schemas_admin.SimilarOut,
    responses=responses(404),
    dependencies=[Depends(needs("recommend"))],
)
async def similar(
    request: Request,
    item_id: ItemId,
    k: Annotated[int, Query(ge=1, le=K, description="Length of the list.")] = 10,
) -> Response:
    """What follows or accompanies the item best. 404 where the catalogue lacks it."""
    service = service_of(request)
    within("query.k", k, limits_of(service).k, "k")
    answers = part(service, "answers")
    (name, items), seconds = await timed(service, partial(answers.similar, item_id, k))
    if service.watch is not None:
        service.watch.metrics.answered(name, "similar", seconds)
    return sent({"model": name, "item_id": item_id, "items": [listed(each) for each in items]})


@cataloguing.get(
    "/items/{item_id:path}",
    summary="One item",
    response_model=schemas_admin.ItemOut,
    responses=responses(404),
    dependencies=[Depends(needs("recommend"))],
)
async def item(request: Request, item_id: ItemId) -> Response:
    """Its row of the catalogue, as the model in service has it. 404 where the catalogue lacks it."""
    service = service_of(request)
    name, row = await through_gate(service, partial(part(service, "answers").item, item_id))
    return sent({"model": name, "item": row})


@cataloguing.get(
    "/items",
    summary="Search the catalogue",
    response_model=schemas_admin.CatalogueOut,
    responses=responses(),
    dependencies=[Depends(needs("recommend"))],
)
async def search(
    request: Request,
    query: Annotated[str, Query(max_length=TEXT, pattern=schemas.NO_NUL, description="A part of a title or id.")] = "",
    k: Annotated[int, Query(ge=1, le=K, description="At most so many.")] = 20,
) -> Response:
    """Rows whose id or title begins with the text, then those whose title holds it; popular ones first."""
    service = service_of(request)
    within("query.k", k, limits_of(service).k, "k")
    name, rows = await through_gate(service, partial(part(service, "answers").search, query, k))
    return sent({"model": name, "items": rows})


@cataloguing.put(
    "/items",
    summary="New or changed items",
    response_model=schemas_admin.ItemsOut,
    responses=responses(413, 415, 507),
    dependencies=[Depends(needs("items"))],
)
async def put_items(
    request: Request,
    body: Annotated[schemas_admin.ItemsForms, Body()],
) -> Response:
    """Rows with ``item_id`` and any columns of the catalogue; models rank them within a second, without training.

    A recommender that knows items by their text ranks new ones by it; others list them where nothing else is left.
    Columns take the type that the catalogue has for them.
    """
    service = service_of(request)
    given = body if isinstance(body, list) else body.items
    within("body.items", len(given), limits_of(service).batch, "batch")
    rows = [each.model_dump() for each in given]
    new = await through_gate(service, partial(taken, service, rows, "body[{}]" if given is body else "body.items[{}]"))
    await through_changes(service, partial(part(service, "store").put_items, rows))
    for name in ("models", "follower"):
        wake = getattr(getattr(service, name), "wake", None)
        if wake is not None:
            wake()
    return sent({"stored": len({str(row["item_id"]) for row in rows}), "new": new})


@cataloguing.delete(
    "/items/{item_id:path}",
    summary="Remove an item",
    response_model=schemas_admin.ItemRemoved,
    responses=responses(404, 507),
    dependencies=[Depends(needs("items"))],
)
async def remove_item(request: Request, item_id: ItemId) -> Response:
    """The item leaves every list within a second, in each model and after updates; its events stay.

    ``PUT /v1/items`` brings it back. Removing an item again removes nothing (``removed`` is false); an item that the
    catalogue never had is 404.
    """
    service = service_of(request)
    served = part(service, "models").main()
    if not served.recommender.item_vocabulary.code_of(item_id):
        raise UnknownItems(count=1, example=item_id, hint="")
    removed = await through_changes(service, partial(part(service, "store").remove_item, item_id))
    for name in ("models", "follower"):
        wake = getattr(getattr(service, name), "wake", None)
        if wake is not None:
            wake()
    return sent({"item_id": item_id, "removed": removed})


def taken(service: Any, rows: list[dict[str, Any]], where: str = "items[{}]") -> int:
    """Refuse rows that the model in service cannot take, before they are kept; how many items are new to it."""
    model = part(service, "models").main().recommender
    if not growing.can_grow(model):
        raise ItemsNotTaken(owner=type(model).__name__)
    item_kinds.check(rows, model.items, where)
    last = list({str(row["item_id"]): row for row in rows}.values())
    try:
        # An id may be a number in one row and text in the next; columns may not.
        frame = pl.DataFrame(
            [{**row, "item_id": str(row["item_id"])} for row in last], infer_schema_length=None, strict=True
        )
    except (pl.exceptions.PolarsError, TypeError, ValueError, OverflowError) as error:
        raise ItemRowsUnreadable(reason=str(error).partition("\n")[0][:200]) from None
    given = growing.read(model, frame)
    return int((model.item_vocabulary.encode(given["item_id"]) == 0).sum())
