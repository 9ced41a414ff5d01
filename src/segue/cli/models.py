"""``segue models``: the models of a service, what each is for, and what its update was worth."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import polars as pl
import typer

from segue.cli.shared import console, print_frame

if TYPE_CHECKING:
    from segue.serving.store.rows import ModelRow


def models(
    store: Annotated[
        str,
        typer.Option(envvar="SEGUE_STORE", help="The store, such as sqlite:///shop.db.", show_default=False),
    ],
) -> None:
    """List the models of a service, the oldest first.

    [bold]Example[/bold]  segue models --store sqlite:///shop.db
    """
    from segue.serving.models.registry import Registry
    from segue.serving.store import Store

    opened = Store.open(store)
    try:
        rows = Registry(opened).rows()
    finally:
        opened.close()
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
