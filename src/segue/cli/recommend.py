"""``segue recommend``: lists for known users or for any history."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from segue.cli.shared import Among, Diversity, Exclude, ExcludeSeen, Model, Quiet, filter_of, print_or_write


def recommend(
    model: Model,
    users: Annotated[str | None, typer.Option(help="User ids, separated by commas.", show_default=False)] = None,
    users_file: Annotated[
        Path | None,
        typer.Option(help="File of user_id and, for a moment of each, at.", show_default=False),
    ] = None,
    histories: Annotated[
        Path | None,
        typer.Option(help="File of user_id, item_id and, if known, timestamp, action, value, at.", show_default=False),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(help="Moment asked about: 2024-05-01T18:00, a number as in the log, or now.", show_default=False),
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(help="What for, such as purchase; several, by commas, a list each.", show_default=False),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--k", help="Length of each list.")] = 10,
    out: Annotated[Path | None, typer.Option(help="Write Parquet, CSV, TSV or JSON lines.", show_default=False)] = None,
    exclude_seen: ExcludeSeen = None,
    among: Among = None,
    exclude: Exclude = None,
    diversity: Diversity = 0.0,
    quiet: Quiet = False,
) -> None:
    """Recommend to known users, or to anyone whose history is given, also about a moment and a kind of action.

    [bold]Examples[/bold]

    segue recommend models/shop --users u1,u2 -k 5

    segue recommend models/shop --users u1 --at "2024-12-24 18:00" --action view,purchase

    segue recommend models/shop --users-file tonight.csv --out lists.parquet

    segue recommend models/shop --histories new_people.csv --out lists.parquet

    segue recommend models/shop --users u1 --among in_stock.csv --exclude 50,172 --diversity 0.3
    """
    from segue.data.frames import read_file, to_polars
    from segue.recommenders.asking import titles_frame
    from segue.recommenders.store import load

    recommender = load(model)
    asked, moments = _users(users, users_file)
    answer = recommender.recommend(
        asked,
        k,
        histories=read_file(histories, "histories") if histories is not None else None,
        at=moments if at is None else at,
        action=[name.strip() for name in action.split(",")] if action is not None else None,
        exclude_seen=exclude_seen,
        among=filter_of(among, "among"),
        exclude=filter_of(exclude, "exclude"),
        diversity=diversity,
        progress=not quiet,
    )
    print_or_write(titles_frame(recommender, to_polars(answer)[0]), out)


def _users(names: str | None, file: Path | None) -> tuple[Any, Any]:
    """Users and the moment of each, if any; the file's are read when no names are given."""
    from segue.data.frames import read_file
    from segue.data.schema import rename

    if file is None or names is not None:
        return None if names is None else [name.strip() for name in names.split(",")], None
    table = rename(read_file(file, "users"), None, ("user_id",), "file of users")
    return table["user_id"], table["at"] if "at" in table.columns else None
