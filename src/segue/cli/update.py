"""``segue update``: new events for a saved recommender."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segue.cli.shared import Columns, Model, Quiet, column_map, console


def update(
    model: Model,
    events: Annotated[Path, typer.Argument(help="The new events.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Directory to write the updated model to.", show_default=False)],
    items: Annotated[Path | None, typer.Option(help="Catalogue of new items.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: forgetting, replay, epochs, ...", show_default=False),
    ] = None,
    columns: Columns = None,
    quiet: Quiet = False,
) -> None:
    """Learn on from new events without forgetting the old ones; new users and items join.

    [bold]Example[/bold]  segue update models/shop today.parquet --out models/shop-2 --set forgetting=ewc
    """
    from segue import artefacts
    from segue.config import parse_assignments
    from segue.data.frames import read_file
    from segue.data.schema import REQUIRED, rename
    from segue.errors import ArtefactForeign
    from segue.recommenders.sequence import SequenceRecommender
    from segue.recommenders.store import load

    artefacts.refuse_in_the_way(out)
    recommender = load(model)
    if not isinstance(recommender, SequenceRecommender):
        raise ArtefactForeign(path=model, found=type(recommender).__name__, wanted="SequenceRecommender")
    table = rename(read_file(events, "event log"), column_map(columns), REQUIRED, "event log")
    catalogue = None if items is None else read_file(items, "catalogue")
    chosen = parse_assignments(settings or [])
    console.print(str(recommender.update(table, items=catalogue, progress=not quiet, **chosen)), highlight=False)
    recommender.save(out)
    console.print(f"Saved to {escape(str(out))}", highlight=False, soft_wrap=True)
