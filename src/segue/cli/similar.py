"""``segue similar``: items that go together, and users who are alike."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.shared import Model, ids_of, print_or_write


def similar(
    model: Model,
    items: Annotated[
        str | None, typer.Option(help="Item ids by commas, or a file of item_id.", show_default=False)
    ] = None,
    users: Annotated[
        str | None, typer.Option(help="User ids by commas, or a file of user_id.", show_default=False)
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Length of each list.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write Parquet, CSV, TSV or JSON lines.", show_default=False)] = None,
) -> None:
    """List the items that go best with some items, or the users of the log who are most like some users.

    [bold]Examples[/bold]

    segue similar models/shop --items 50,172 -k 5

    segue similar models/shop --users u1,u2 --out alike.parquet
    """
    from segue.data.frames import to_polars
    from segue.errors import NothingAsked
    from segue.recommenders.asking import titles_frame
    from segue.recommenders.store import load

    if (items is None) == (users is None):
        raise NothingAsked(given="Neither items nor users were given" if items is None else "Both were given")
    recommender = load(model)
    if items is not None:
        answer = recommender.similar_items(ids_of(items, "items", "item_id"), k)
        frame = titles_frame(recommender, to_polars(answer)[0], "similar_item_id")
    else:
        assert users is not None
        frame = to_polars(recommender.similar_users(ids_of(users, "users", "user_id"), k))[0]
    print_or_write(frame, out)
