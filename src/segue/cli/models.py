"""``segue models``: the models of a service, what each is for, and what its update was worth; and more of them."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import polars as pl
import typer

from segue.cli.shared import console, print_frame

if TYPE_CHECKING:
    from segue.serving.store import Store
    from segue.serving.store.rows import ModelRow

StoreUrl = Annotated[
    str,
    typer.Option("--store", envvar="SEGUE_STORE", help="The store, such as sqlite:///shop.db.", show_default=False),
]

models = typer.Typer(
    invoke_without_command=True,
    rich_markup_mode="rich",
    help="List the models of a service, or add one; running services follow within a second.\n\n"
    "[bold]Example[/bold]  segue models --store sqlite:///shop.db",
)


@models.callback()
def _all(
    context: typer.Context,
    store: Annotated[
        str | None,
        typer.Option("--store", envvar="SEGUE_STORE", help="As of: segue models list.", show_default=False),
    ] = None,
) -> None:
    if context.invoked_subcommand is not None:
        return
    if store is None:
        raise typer.BadParameter("it is missing, and so is SEGUE_STORE", param_hint="--store")
    list_(store)


@models.command("list")
def list_(store: StoreUrl) -> None:
    """List the models, the oldest first."""
    with _opened(store) as opened:
        _show(opened)


@models.command(no_args_is_help=True)
def add(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="What segue train or segue export saved.", show_default=False)
    ],
    store: StoreUrl,
    role: Annotated[
        Literal["active", "shadow", "waiting"],
        typer.Option(help="Answer beside the others, be asked and not shown, or rest."),
    ] = "waiting",
    weight: Annotated[float, typer.Option(min=0, help="Share of the users, relative to other active models.")] = 1.0,
    name: Annotated[
        str | None,
        typer.Option(help="What answers say gave them.  [default: that of the directory]", show_default=False),
    ] = None,
) -> None:
    """Register a model, for an A/B test (active), a trial in the shadow, or to be activated later.

    [bold]Examples[/bold]

    segue models add models/shop-b --store sqlite:///shop.db --role active --weight 0.25

    segue models add models/shop-c --store sqlite:///shop.db --role shadow
    """
    from segue import artefacts
    from segue.serving.models.models import Models

    artefacts.read(directory)  # first: what is refused leaves no new store behind
    with _opened(store, create=True) as opened:
        Models(opened).add(directory, name, role, weight)
        _show(opened)


@models.command(no_args_is_help=True)
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As segue models list shows it.", show_default=False)],
    store: StoreUrl,
) -> None:
    """Unregister a model; the only one that answers is refused. Its directory stays.

    [bold]Example[/bold]

    segue models remove shop-0002 --store sqlite:///shop.db
    """
    from segue.serving.models.models import Models

    with _opened(store) as opened:
        row = Models(opened).remove(name)
        console.print(f"{row.name} is unregistered; its directory {row.path} stays.", highlight=False, soft_wrap=True)
        _show(opened)


@contextlib.contextmanager
def _opened(url: str, create: bool = False) -> Iterator[Store]:
    from segue.serving.store import Store

    opened = Store.open(url, create=create)
    try:
        yield opened
    finally:
        opened.close()


def _show(store: Store) -> None:
    from segue.serving.models.registry import Registry

    rows = Registry(store).rows()
    if not rows:
        console.print("No model is registered. The first is by: segue serve DIR --store URL", highlight=False)
        return
    print_frame(pl.DataFrame([_told(row) for row in rows], infer_schema_length=None))


def _told(row: ModelRow) -> dict[str, object]:
    ndcg = row.document.get("update", {}).get("verdicts", {}).get("ndcg@10", {})
    made = dt.datetime.fromtimestamp(row.created / 1e6, dt.UTC)
    return {
        "name": row.name,
        "role": row.role,
        "weight": f"{row.weight:g}" if row.role == "active" else "",
        "created (UTC)": f"{made:%Y-%m-%d %H:%M}",
        "learnt to": row.learnt_to_seq,
        "NDCG@10 old": ndcg.get("old"),
        "new": ndcg.get("new"),
    }
