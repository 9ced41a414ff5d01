"""``segue fetch``: bring data or weights into the cache."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from segue.cli.shared import Quiet, console


def fetch(
    names: Annotated[list[str], typer.Argument(help="ml-100k, ml-1m, minilm or smollm2.", show_default=False)],
    quiet: Quiet = False,
) -> None:
    """Bring data or weights into the user's cache, check them, and show their licence.

    [bold]Example[/bold]  segue fetch ml-100k
    """
    from segue.datasets.catalogue import source
    from segue.datasets.fetch import fetch as bring

    for name in names:
        path = bring(name, progress=not quiet)
        console.print(
            f"[bold]{name}[/bold] is in {escape(str(path))} (SHA-256 of every file checked)",
            highlight=False,
            soft_wrap=True,
        )
        console.print(source(name).terms, style="dim", highlight=False, soft_wrap=True)
