"""``segue add-items``: new items for a saved recommender, without training."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segue.cli.shared import Model, console


def add_items(
    model: Model,
    items: Annotated[Path, typer.Argument(help="Catalogue of the new items, with item_id.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Directory to write the grown model to.", show_default=False)],
) -> None:
    """Take new items into a saved recommender: they are ranked by their text at once, nothing is trained.

    [bold]Example[/bold]  segue add-items models/shop new.parquet --out models/shop-2
    """
    from segue import artefacts
    from segue.data.frames import read_file
    from segue.recommenders.store import load_with_any_test

    artefacts.refuse_in_the_way(out)
    recommender, test = load_with_any_test(model)
    console.print(str(recommender.add_items(read_file(items, "catalogue"))), highlight=False)
    recommender.save(out, test=test)
    console.print(f"Saved to {escape(str(out))}", highlight=False, soft_wrap=True)
