"""``segue store``: backup, restore and check of a service's store."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from segue.cli.shared import console

if TYPE_CHECKING:
    from segue.serving.store.backup import StoreReport

StoreUrl = Annotated[
    str,
    typer.Option("--store", envvar="SEGUE_STORE", help="The store, such as sqlite:///shop.db.", show_default=False),
]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]

store = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Back up, restore and check the store of a service.\n\n"
    "[bold]Example[/bold]  segue store backup --store sqlite:///shop.db --out shop.backup",
)


@store.command(no_args_is_help=True)
def backup(
    store: StoreUrl,
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    force: Force = False,
) -> None:
    """Write all committed rows into one file, while the service runs.

    [bold]Example[/bold]

    segue store backup --store sqlite:///shop.db --out shop.backup
    """
    from segue.serving.store import backup as backups

    _show(backups.backup(store, out, force=force))
    console.print(f"Wrote {escape(str(out))} ({out.stat().st_size / 1e6:.1f} MB)", highlight=False, soft_wrap=True)


@store.command(no_args_is_help=True)
def restore(
    file: Annotated[Path, typer.Argument(help="What segue store backup wrote.", show_default=False)],
    store: StoreUrl,
    force: Force = False,
) -> None:
    """Make a store of a backup; stop the service first.

    [bold]Example[/bold]

    segue store restore shop.backup --store sqlite:///restored.db
    """
    from segue.serving.store import backup as backups

    found, erased = backups.restore(file, store, force=force)
    _show(found)
    if erased is None:
        console.print("No store was replaced: send again the erasures that came after the backup.", soft_wrap=True)
    else:
        console.print(f"{erased} users whose erasure the replaced store records were erased again.", soft_wrap=True)


@store.command(no_args_is_help=True)
def check(
    store: StoreUrl,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a store and show what it holds; a damaged one ends in an error and exit code 2.

    [bold]Example[/bold]

    segue store check --store sqlite:///shop.db
    """
    from segue.serving.store import backup as backups

    found = backups.check(store)
    if as_json:
        print(json.dumps(asdict(found)))
    else:
        _show(found)


def _show(found: StoreReport) -> None:
    import polars as pl

    from segue.cli.shared import print_frame

    rows = [{"table": name, "rows": count, "newest": found.newest.get(name)} for name, count in found.rows.items()]
    print_frame(pl.DataFrame(rows, infer_schema_length=None), f"{found.address}, version {found.version}, sound")
