"""``segue mine``: what people do one after the other, as a table, a file and a page."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segue.cli.shared import Columns, Quiet, TimeZone, console, read_data


class What(StrEnum):
    """What to mine."""

    patterns = "patterns"
    windows = "windows"
    rules = "rules"
    contrast = "contrast"
    refills = "refills"
    clock = "clock"


class Keep(StrEnum):
    """Which patterns to keep."""

    all = "all"
    closed = "closed"
    maximal = "maximal"


class Ties(StrEnum):
    """What events of one moment are."""

    log = "log"
    together = "together"


class Elements(StrEnum):
    """What a pattern is made of."""

    single = "single"
    sets = "sets"


_BOUNDS, _CHOICE, _GROUPS, _OUTPUT = "How far apart", "Which patterns", "Of contrast, refills and clock", "Output"


def mine(
    context: typer.Context,
    events: Annotated[str, typer.Argument(help="Log, as for segue train, or ml-100k.", show_default=False)],
    items: Annotated[Path | None, typer.Option(help="Catalogue, with item_id.", show_default=False)] = None,
    what: Annotated[What, typer.Option(help="What to look for.")] = What.patterns,
    min_support: Annotated[
        str | None,
        typer.Option(help="A share of the users (0.01) or a number of them (50).  [default: 0.01]", show_default=False),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(
            help="A symbol is an item, action, action+item, or a COLUMN of the catalogue.  [default: item]",
            show_default=False,
        ),
    ] = None,
    level: Annotated[
        int | None, typer.Option(help="Levels of a column such as 'Home > Kitchen'.", min=1, show_default=False)
    ] = None,
    ties: Annotated[
        Ties | None, typer.Option(help="Events of one moment: as in the log, or together.", show_default=False)
    ] = None,
    elements: Annotated[
        Elements | None,
        typer.Option(help="Of a pattern: single symbols, or sets of one moment.", show_default=False),
    ] = None,
    min_length: Annotated[
        int | None, typer.Option(help="Symbols, at least.", min=1, rich_help_panel=_CHOICE, show_default=False)
    ] = None,
    max_length: Annotated[
        int | None, typer.Option(help="Symbols, at most.", min=1, rich_help_panel=_CHOICE, show_default=False)
    ] = None,
    max_gap: Annotated[
        int | None,
        typer.Option(help="Events to the next symbol, at most; 1: directly.", min=1, rich_help_panel=_BOUNDS),
    ] = None,
    max_span: Annotated[
        int | None, typer.Option(help="Events from first to last symbol, at most.", min=1, rich_help_panel=_BOUNDS)
    ] = None,
    max_gap_time: Annotated[
        str | None, typer.Option(help="Time to the next symbol, at most: 7d, 36h.", rich_help_panel=_BOUNDS)
    ] = None,
    max_span_time: Annotated[
        str | None, typer.Option(help="Time from first to last symbol, at most.", rich_help_panel=_BOUNDS)
    ] = None,
    min_gap_time: Annotated[
        str | None, typer.Option(help="Time to the next symbol, at least.", rich_help_panel=_BOUNDS)
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Symbols that count: a,b; or of the catalogue: brand=Acme.", rich_help_panel=_CHOICE),
    ] = None,
    excluding: Annotated[str | None, typer.Option(help="Symbols that do not count.", rich_help_panel=_CHOICE)] = None,
    containing: Annotated[
        str | None, typer.Option(help="Patterns must hold one of these.", rich_help_panel=_CHOICE)
    ] = None,
    keep: Annotated[
        Keep | None,
        typer.Option(help="Leave out what a longer pattern says too.", rich_help_panel=_CHOICE, show_default=False),
    ] = None,
    top: Annotated[
        int | None, typer.Option(help="The first N alone, whatever their support.", min=1, rich_help_panel=_CHOICE)
    ] = None,
    measures: Annotated[
        str | None, typer.Option(help="Of confidence, lift, leverage, days.", rich_help_panel=_CHOICE)
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Contrast with before this moment.", rich_help_panel=_GROUPS)
    ] = None,
    action: Annotated[
        str | None,
        typer.Option(
            help="Contrast those who do this later with the others; else count this alone.", rich_help_panel=_GROUPS
        ),
    ] = None,
    groups: Annotated[
        Path | None, typer.Option(help="Contrast by a file of user_id and group.", rich_help_panel=_GROUPS)
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="What else the miner takes: --set min_confidence=0.3", show_default=False),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Patterns to find before giving up.", min=1, show_default="1,000,000")
    ] = None,
    memory: Annotated[
        float | None, typer.Option(help="Megabytes to take before giving up.", show_default="2,000")
    ] = None,
    columns: Columns = None,
    time_zone: TimeZone = None,
    out: Annotated[
        Path | None, typer.Option(help="Write .parquet, .csv, .tsv, .json or .jsonl.", rich_help_panel=_OUTPUT)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write a page with pictures.", rich_help_panel=_OUTPUT)] = None,
    quiet: Quiet = False,
) -> None:
    """Find what many users do in the same order: patterns, rules, contrasts, and when people come back.

    [bold]Examples[/bold]

    segue mine ml-100k --min-support 0.1 --max-length 3 --report patterns.html

    segue mine events.parquet --items items.parquet --top 1000 --max-gap-time 7d --measures confidence,lift,days

    segue mine events.parquet --items items.parquet --of brand --keep closed --out patterns.parquet

    segue mine events.parquet --what refills --min-support 20 --out refills.csv

    segue mine events.parquet --what contrast --action purchase --max-length 2

    segue mine events.parquet --what rules --set order=before --set min_confidence=0.3
    """
    from segue import artefacts
    from segue.cautions import MiningStopped
    from segue.cli import mining
    from segue.errors import SetsUnsupported
    from segue.patterns.page import page

    if out is not None:
        mining.refuse_ending(out)
    if report is not None and elements is Elements.sets:
        raise SetsUnsupported(what="a page (--report)")
    data = read_data(events, items, columns, None, time_zone)
    asked = {name: value for name, value in context.params.items() if name in mining.OPTIONS and value is not None}
    arguments = mining.arguments_of(what.value, asked, settings or [], data)
    with mining.heard() as notes:
        found = mining.found_by(what.value, arguments, data, progress=not quiet)
    whole = not any(isinstance(note, MiningStopped) for note in notes)
    mining.show(found, data, what.value, arguments.get("of", "item"), whole)
    if out is not None:
        artefacts.write_atomically(out, mining.content(found, out))
        console.print(f"Wrote {found.height:,} rows to {escape(str(out))}", highlight=False, soft_wrap=True)
    if report is not None:
        text = page(
            found,
            data,
            of=arguments.get("of", "item"),
            level=arguments.get("level"),
            what=mining.ROWS.get(what.value, what.value),
            name=Path(events).stem,
            settings={"log": events, "what": what.value, **arguments, "groups": groups or "none"},
            notes=[str(note) for note in notes],
        )
        artefacts.write_atomically(report, text.encode())
        console.print(f"Wrote {escape(str(report))}", highlight=False, soft_wrap=True)
    if any(isinstance(note, MiningStopped) for note in notes):
        raise typer.Exit(130)
