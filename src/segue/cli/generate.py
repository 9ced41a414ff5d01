"""``segue generate``: a sequence of next items for known users or for any history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segue.cli.shared import Among, Diversity, Exclude, ExcludeSeen, Model, filter_of, ids_of, print_or_write


def generate(
    model: Model,
    users: Annotated[
        str | None, typer.Option(help="User ids by commas, or a file of user_id.", show_default=False)
    ] = None,
    histories: Annotated[
        Path | None,
        typer.Option(help="File of user_id, item_id and, if known, timestamp, action, value, at.", show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Moment of the first item: 2024-05-01T18:00, a number as in the log, or now."),
    ] = None,
    action: Annotated[
        str | None, typer.Option(help="What for, such as purchase; several, by commas, a sequence each.")
    ] = None,
    n: Annotated[int, typer.Option("-n", "--n", help="Length of each sequence.")] = 10,
    among: Among = None,
    exclude: Exclude = None,
    exclude_seen: ExcludeSeen = None,
    diversity: Diversity = 0.0,
    out: Annotated[Path | None, typer.Option(help="Write Parquet, CSV, TSV or JSON lines.", show_default=False)] = None,
) -> None:
    """Generate the next items one after the other, each as if those before it had been taken.

    [bold]Examples[/bold]

    segue generate models/shop --users u1,u2 -n 5

    segue generate models/shop --histories new_people.csv --diversity 0.3 --out next.parquet
    """
    from segue.data.frames import read_file, to_polars
    from segue.recommenders.asking import titles_frame
    from segue.recommenders.store import load

    recommender = load(model)
    answer = recommender.generate(
        None if users is None else ids_of(users, "users", "user_id"),
        n,
        histories=read_file(histories, "histories") if histories is not None else None,
        at=at,
        action=[name.strip() for name in action.split(",")] if action is not None else None,
        exclude_seen=exclude_seen,
        among=filter_of(among, "among"),
        exclude=filter_of(exclude, "exclude"),
        diversity=diversity,
    )
    print_or_write(titles_frame(recommender, to_polars(answer)[0]), out)
