"""``segue recommend``: lists for known users or for any history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segue.cli.shared import ExcludeSeen, Model, Quiet, console, print_frame


def recommend(
    model: Model,
    users: Annotated[str | None, typer.Option(help="User ids, separated by commas.", show_default=False)] = None,
    histories: Annotated[
        Path | None, typer.Option(help="File of user_id, item_id and, if known, timestamp.", show_default=False)
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Length of each list.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write Parquet, CSV, TSV or JSON lines.", show_default=False)] = None,
    exclude_seen: ExcludeSeen = None,
    quiet: Quiet = False,
) -> None:
    """Recommend to known users, or to anyone whose history is given.

    [bold]Examples[/bold]

    segue recommend models/shop --users u1,u2 -k 5

    segue recommend models/shop --histories new_people.csv --out lists.parquet
    """
    from segue import artefacts
    from segue.data.frames import read_file, to_polars, write_file
    from segue.recommenders.base import titles_frame
    from segue.recommenders.store import load

    recommender = load(model)
    answer = recommender.recommend(
        [user.strip() for user in users.split(",")] if users is not None else None,
        k,
        histories=read_file(histories, "histories") if histories is not None else None,
        exclude_seen=exclude_seen,
        progress=not quiet,
    )
    frame = titles_frame(recommender, to_polars(answer)[0])
    if out is None:
        print_frame(frame)
        return
    artefacts.write_atomically(out, write_file(frame, out))
    console.print(f"Wrote {frame.height:,} rows to {escape(str(out))}", highlight=False, soft_wrap=True)
