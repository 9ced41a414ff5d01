"""``segue compare-tuning``: ways of tuning the language model, side by side on one log."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape

from segue.cli.shared import (
    Columns,
    Quiet,
    SplitKind,
    TimeZone,
    begin_or_resume,
    console,
    print_frame,
    read_data,
    split_of,
)


def compare_tuning(
    events: Annotated[str, typer.Argument(help="Log, as for segue train.", show_default=False)],
    items: Annotated[Path | None, typer.Option(help="Catalogue, with item_id and text.", show_default=False)] = None,
    modes: Annotated[
        str, typer.Option(help="Of top, lora, dora, adalora, prefix, adapter, full.")
    ] = "top,lora,prefix,adapter,full",
    text: Annotated[str, typer.Option(help="Language model: minilm, smollm2, a name or a path.")] = "minilm",
    epochs: Annotated[int, typer.Option(help="At most so many epochs of tuning.", min=1)] = 5,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, again and again.", show_default=False)
    ] = None,
    split: SplitKind = "leave-last-out",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    columns: Columns = None,
    time_zone: TimeZone = None,
    out: Annotated[Path | None, typer.Option(help="Table to write: .json or .md.", show_default=False)] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after an interruption; with --out.")] = False,
    quiet: Quiet = False,
) -> None:
    """Tune the language model in several ways: parameters, memory, seconds and quality of each, beside two baselines.

    The frozen model, and a control that trains on for as many epochs with the language model frozen.

    [bold]Example[/bold]  segue compare-tuning events.parquet --items items.parquet --modes lora,full
    """
    from segue import artefacts
    from segue.config import parse_assignments
    from segue.errors import FormatNotWritten
    from segue.evaluation.tuning_modes import compare_tuning as compared

    if out is not None and out.suffix not in (".json", ".md"):
        raise FormatNotWritten(path=out, found=out.suffix or "no ending", known=".json, .md")
    given: dict[str, Any] = {"text": text, "tuning_epochs": epochs, "seed": seed, **parse_assignments(settings or [])}
    made = split_of(read_data(events, items, columns, None, time_zone), split)
    home = None if out is None else out.parent / f".{out.name}.tuning"
    begin_or_resume(home, resume)
    wanted = [mode.strip() for mode in modes.split(",")]
    table = compared(made, given, wanted, checkpoint=home, progress=not quiet)
    print_frame(_narrow(table))
    console.print(
        "MB: at the peak, beyond what was held before. s/step and s: of a tuning step, and in all. One half of the "
        "validation users chose the epochs, the metric is of the other half, with its 95 % interval. vs control: the "
        "difference to the frozen model trained on for as many epochs, with the interval of the difference.",
        style="dim",
        highlight=False,
    )
    if out is not None and home is not None:
        rows = table.to_dicts()
        text_of = json.dumps(rows, indent=1) if out.suffix == ".json" else _markdown(rows)
        artefacts.write_atomically(out, (text_of + "\n").encode())
        shutil.rmtree(home, ignore_errors=True)
        console.print(f"Wrote {escape(str(out))}", highlight=False, soft_wrap=True)


def _narrow(table: pl.DataFrame) -> pl.DataFrame:
    """What a terminal of 80 columns has room for."""
    metric = next(name for name in table.columns if "@" in name)

    def number(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    def between(low: float | None, high: float | None) -> str:
        return " to ".join(number(each, 3) for each in (low, high) if each is not None)

    return pl.DataFrame(
        {
            "mode": row["mode"],
            "trainable": f"{row['trainable']:,} {row['share']:.1%}",
            "MB": number(row["memory"], 0),
            "s/step": number(row["step_seconds"], 2),
            "s": number(row["seconds"], 0),
            metric: number(row[metric], 4),
            "95 %": between(row["low"], row["high"]),
            "vs control": "" if row["mode"] == "control" else f"{row['difference']:+.4f}",
            "95 % ": "" if row["mode"] == "control" else between(row["difference_low"], row["difference_high"]),
        }
        for row in table.to_dicts()
    )


def _markdown(rows: list[dict[str, Any]]) -> str:
    def cell(value: Any) -> str:
        return "" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)

    head = [f"| {' | '.join(rows[0])} |", "|" + "---|" * len(rows[0])]
    return "\n".join([*head, *(f"| {' | '.join(cell(value) for value in row.values())} |" for row in rows)])
