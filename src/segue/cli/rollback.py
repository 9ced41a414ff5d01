"""``segue rollback``: the model that answered before answers again."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from segue.cli.shared import console


def rollback(
    store: Annotated[
        str,
        typer.Option(envvar="SEGUE_STORE", help="The store, such as sqlite:///shop.db.", show_default=False),
    ],
) -> None:
    """Undo the newest activation; running services follow within a second.

    [bold]Example[/bold]  segue rollback --store sqlite:///shop.db
    """
    from segue.serving.models.registry import Registry
    from segue.serving.store import Store

    opened = Store.open(store, create=False)
    try:
        names = Registry(opened).roll_back()
    finally:
        opened.close()
    console.print(escape(f"{', '.join(names)} {'answers' if len(names) == 1 else 'answer'} again"), highlight=False)
