"""``segue keys``: who may ask the service for what."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from segue.cli.shared import console

if TYPE_CHECKING:
    from segue.serving.guard.keys import Keys

StoreUrl = Annotated[
    str,
    typer.Option("--store", envvar="SEGUE_STORE", help="The store, such as sqlite:///shop.db.", show_default=False),
]
KeyId = Annotated[str, typer.Argument(help="The id of a key: the part after segue_.", show_default=False)]

keys = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Make, list, rotate and revoke the keys of a service; running services follow within a second.",
)


@contextlib.contextmanager
def _keys(store: str, create: bool = False) -> Iterator[Keys]:
    from segue.serving.guard.keys import Keys
    from segue.serving.store import Store

    opened = Store.open(store, create=create)
    try:
        yield Keys(opened)
    finally:
        opened.close()


@keys.command()
def create(
    store: StoreUrl,
    scope: Annotated[
        list[str],
        typer.Option(help="events, recommend, metrics, items or admin; may be given again.", show_default=False),
    ],
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days until it expires.  [default: never]", show_default=False)
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.01, max=1e6, help="Requests a second at most.  [default: no limit]", show_default=False),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=100_000,
            help="Requests in flight at most.  [default: three quarters of the service's places]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Make a key. It is shown once, here; the store keeps its hash.

    [bold]Example[/bold]  segue keys create --store sqlite:///shop.db --scope events --scope recommend
    """
    with _keys(store, create=True) as opened:
        typer.echo(opened.create(scope, days, rate, concurrency))


@keys.command("list")
def list_(store: StoreUrl) -> None:
    """List the keys: ids, scopes, limits, and when they end."""
    with _keys(store) as opened:
        table = Table("id", "scopes", "created", "expires", "limits")
        for row in opened.rows():
            ends = "never" if row.expires is None else _day(row.expires)
            limits = [] if row.rate is None else [f"{row.rate:g}/s"]
            limits += [] if row.concurrency is None else [f"{row.concurrency} at once"]
            # One below the other: the table fits into 80 columns.
            table.add_row(row.key_id, ", ".join(row.scopes), _day(row.created), ends, "\n".join(limits))
        console.print(table)


@keys.command()
def rotate(
    key_id: KeyId,
    store: StoreUrl,
    keep_hours: Annotated[int, typer.Option(min=0, max=8_760, help="How long the old key is still valid.")] = 24,
) -> None:
    """Make a new key of the same scopes, and let the old one end later.

    [bold]Example[/bold]  segue keys rotate 1f0c2a9b --store sqlite:///shop.db --keep-hours 2
    """
    with _keys(store) as opened:
        typer.echo(opened.rotate(key_id, keep_hours))


@keys.command()
def revoke(key_id: KeyId, store: StoreUrl) -> None:
    """End a key at once."""
    with _keys(store) as opened:
        opened.revoke(key_id)
        typer.echo(f"Revoked {key_id}.")


def _day(microseconds: int) -> str:
    return datetime.fromtimestamp(microseconds / 1e6, UTC).strftime("%Y-%m-%d %H:%M")
