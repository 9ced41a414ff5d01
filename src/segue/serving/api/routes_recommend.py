"""Routes of ranked lists and sequences."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from segue.serving.answers.cost import estimated_ms
from segue.serving.answers.questions import Filters, Question
from segue.serving.answers.settings import TEXT, K
from segue.serving.api import schemas
from segue.serving.api.common import answered, limits_of, part, router, service_of, within
from segue.serving.api.problems import responses
from segue.serving.guard.scopes import needs
from segue.serving.store.trouble import ID_LENGTH

recommending = router("recommend")
UserId = Annotated[
    str, Path(min_length=1, max_length=ID_LENGTH, pattern=schemas.NO_NUL, description="As in the log.", examples=["u1"])
]
_SHARED: dict[str, Any] = {"response_model": schemas.AnswerOut, "dependencies": [Depends(needs("recommend"))]}


@recommending.get("/recommend/{user_id:path}", summary="The best items for a user", responses=responses(), **_SHARED)
async def recommend_user(
    request: Request,
    user_id: UserId,
    k: Annotated[int, Query(ge=1, le=K, description="Length of the list.")] = 10,
    at: Annotated[
        str | None,
        Query(min_length=1, max_length=TEXT, description="The moment asked about: ISO 8601, seconds, or 'now'."),
    ] = None,
    action: Annotated[
        str | None, Query(min_length=1, max_length=ID_LENGTH, description="What the items are wanted for.")
    ] = None,
    exclude_seen: Annotated[bool | None, Query(description="Leave out items of the history.")] = None,
    diversity: Annotated[float, Query(ge=0, le=1, allow_inf_nan=False, description="From best to least alike.")] = 0.0,
    explain: Annotated[bool, Query(description="With reasons.")] = False,
) -> Response:
    """The best items by all that is known of the user: the log, and every event that was reported since."""
    service = service_of(request)
    within("query.k", k, limits_of(service).k, "k")
    question = Question(
        user_id=user_id,
        at=at,
        action=action,
        k=k,
        exclude_seen=exclude_seen,
        diversity=diversity,
        explain=explain,
    )
    call = partial(part(service, "answers").recommend, question)
    return await answered(request, service, "recommend", call, estimated_ms(question))


@recommending.post("/recommend", summary="The best items for anyone", responses=responses(413, 415), **_SHARED)
async def recommend_anyone(request: Request, body: schemas.RecommendIn) -> Response:
    """The best items for a user, or by a history in the body, also of somebody who was never seen."""
    service = service_of(request)
    within("body.k", body.k, limits_of(service).k, "k")
    question = question_of(service, body, body.k)
    call = partial(part(service, "answers").recommend, question)
    return await answered(request, service, "recommend", call, estimated_ms(question))


@recommending.post("/generate", summary="A sequence of next items", responses=responses(413, 415), **_SHARED)
async def generate(request: Request, body: schemas.GenerateIn) -> Response:
    """The next n items, each chosen as if those before it had been taken; none comes twice.

    Where the log has a clock, the moment that is asked about moves on with each item by the median gap of the
    history's events.
    """
    service = service_of(request)
    within("body.n", body.n, limits_of(service).steps, "steps")
    question = question_of(service, body, body.n)
    call = partial(part(service, "answers").generate, question, body.n)
    return await answered(request, service, "generate", call, estimated_ms(question, body.n))


def question_of(service: Any, body: schemas.Asking, k: int) -> Question:
    """A body as a question."""
    history: list[Any] | None = body.history
    columns: dict[str, Any] = {"items": history}
    if history is not None:
        within("body.history", len(history), limits_of(service).history, "history")
        if history and isinstance(history[0], schemas.HistoryEvent):
            columns = {
                "items": [each.item_id for each in history],
                "timestamps": [each.timestamp for each in history],
                "actions": [each.action for each in history],
                "values": [each.value for each in history],
            }
    filters = body.filters
    return Question(
        user_id=body.user_id,
        at=body.at,
        action=body.action,
        k=k,
        exclude_seen=body.exclude_seen,
        filters=Filters(
            tuple(filters.categories), filters.price_min, filters.price_max, filters.in_stock, tuple(filters.exclude)
        ),
        diversity=body.diversity,
        explain=body.explain,
        **columns,
    )
