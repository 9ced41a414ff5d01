"""``segue export``: a trained recommender made small and fast, to answer where there is no torch."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from segue.cli.shared import Model, console

if TYPE_CHECKING:
    from segue.deploy.export import Export


class Numbers(StrEnum):
    """What an exported model computes with."""

    fp32 = "fp32"
    int8 = "int8"


class Searches(StrEnum):
    """How an exported model finds items."""

    exact = "exact"
    approximate = "approximate"
    auto = "auto"


def export(
    model: Model,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write.  [default: DIR-onnx]", show_default=False)
    ] = None,
    precision: Annotated[Numbers, typer.Option(help="fp32, or int8: a quarter of the bytes.")] = Numbers.fp32,
    users: Annotated[int, typer.Option(help="People that both are asked about, at most.", min=1)] = 1_000,
    least_overlap: Annotated[
        float, typer.Option(help="Share of the 10 best that must be the same.", min=0, max=1)
    ] = 0.95,
    most_loss: Annotated[float, typer.Option(help="Share of NDCG@10 that may be lost.", min=0, max=1)] = 0.01,
    search: Annotated[
        Searches, typer.Option(help="Hold a history against all items, or those of an index; auto: by their number.")
    ] = Searches.exact,
    candidates: Annotated[int, typer.Option(help="Items that the index finds.", min=1)] = 1_000,
    least_recall: Annotated[
        float, typer.Option(help="Share of the 10 best that the index must find.", min=0, max=1)
    ] = 0.95,
    text: Annotated[bool, typer.Option(help="Take along the language model that reads new items.")] = True,
) -> None:
    """Write a trained model as ONNX: it answers without torch, and is refused where it answers otherwise.

    [bold]Examples[/bold]

    segue export models/shop --precision int8

    segue export models/shop --out models/shop-small --precision int8 --least-overlap 0.98
    """
    from segue.deploy.export import ExportConfig
    from segue.deploy.export import export as exported

    target = model.with_name(f"{model.resolve().name}-onnx") if out is None else out
    settings: dict[str, object] = {"users": users, "least_overlap": least_overlap, "most_loss": most_loss}
    settings |= {"search": search.value, "candidates": candidates, "least_recall": least_recall}
    found = exported(model, target, ExportConfig.parse({"precision": precision.value, "text": text, **settings}))
    console.print(_table(found))
    for line in _told(found):
        console.print(line, highlight=False)
    size = sum(file.stat().st_size for file in target.iterdir())
    console.print(f"Saved to {escape(str(target))} ({size / 1e6:.1f} MB)", highlight=False, soft_wrap=True)


def _table(found: Export) -> Table:
    users, asked_of = found.users
    table = Table(title=f"{users:,} people, {asked_of}", title_justify="left")
    table.add_column("")
    for name in ("NDCG@10", "same 10 best", "ms for one"):
        table.add_column(name, justify="right")
    for name, each in found.figures.items():
        table.add_row(name, f"{each.ndcg:.4f}", f"{each.overlap:.1%}", f"{each.milliseconds:.2f}")
    if found.search is not None and found.search.used:
        table.add_row("with an index", "", f"{found.search.recall:.1%}", f"{found.search.approximate_ms:.2f}")
    return table


def _told(found: Export) -> list[str]:
    lines = [
        f"  given up: int8 in {each['way']}: overlap {each['overlap']:.3f}, NDCG@10 {each['ndcg']:.4f}"
        for each in found.tried
    ]
    if found.way is not None:
        lines.append(f"  int8: {found.way}")
    if found.search is not None:
        told = f"{found.search.recall:.1%} of exact search, {found.search.index_bytes / 1e6:.1f} MB"
        lines.append(f"  index{'' if found.search.used else ' given up'}: recall at 10 is {told}")
    if found.text_cosine is not None:
        lines.append(f"  text of items: cosine {found.text_cosine:.4f} to the trained language model")
    return lines
