"""The route that forgets somebody."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import Depends, Path, Request, Response

from segue.serving.answers.settings import TEXT
from segue.serving.api import schemas, schemas_admin
from segue.serving.api.common import router, sent, service_of, through_changes
from segue.serving.api.problems import responses
from segue.serving.erasing import erase_user
from segue.serving.guard.scopes import needs

forgetting = router("users")


@forgetting.delete(
    "/users/{user_id:path}",
    summary="Forget a user",
    response_model=schemas_admin.ErasureOut,
    responses=responses(507),
    dependencies=[Depends(needs("admin"))],
)
async def erase(
    request: Request,
    user_id: Annotated[
        str, Path(min_length=1, max_length=TEXT, pattern=schemas.NO_NUL, description="As in the log.", examples=["u1"])
    ],
) -> Response:
    """Removes every row of the store that names the user, and their history from the artefacts that are kept.

    What models learnt from the history in training stays in their weights until they are trained again. Erasing
    somebody who is not known removes nothing, and is no error.
    """
    service = service_of(request)
    return sent(await through_changes(service, partial(erase_user, service, user_id)))
