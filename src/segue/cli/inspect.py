"""``segue inspect``: what is in a log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from segue.cli.shared import Columns, console, print_frame


def inspect(
    events: Annotated[
        str, typer.Argument(help="Log: Parquet, CSV, TSV, JSON lines, a directory, or ml-100k.", show_default=False)
    ],
    columns: Columns = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what is in a log: counts, time, ties, duplicates, gaps, and what cleaning would remove.

    [bold]Example[/bold]  segue inspect events.parquet --columns user_id=uid
    """
    import polars as pl

    from segue.cli.shared import column_map
    from segue.data.frames import read_file
    from segue.data.inspect import inspect as look
    from segue.datasets.catalogue import READY, folder

    path = folder(events) / f"{events}.inter" if events in READY and not Path(events).exists() else Path(events)
    facts = look(read_file(path, "event log"), columns=column_map(columns))
    if as_json:
        console.print_json(json.dumps(facts, default=str))
        return
    rows = [{"what": name, "value": _text(value)} for name, value in facts.items()]
    print_frame(pl.DataFrame(rows), title=str(events))


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each:,}" for name, each in value.items())
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.2%}" if value <= 1 else f"{value:,.2f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
