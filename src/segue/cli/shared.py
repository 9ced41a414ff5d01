"""Arguments and printing that several verbs share."""

from __future__ import annotations

import contextlib
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.console import Console
from rich.table import Table

from segue.data.dataset import Dataset
from segue.data.schema import OPTIONAL, REQUIRED, zone_of
from segue.data.split import Holdout, Split
from segue.errors import ConfigSet, SplitUnknown, nearest

console = Console()
_FILES = (".parquet", ".pq", ".csv", ".tsv", ".jsonl", ".ndjson")  # endings that make a text a file, also a missing one

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]
Impressions = Annotated[
    list[str] | None,
    typer.Option(
        "--impression",
        help="An action that says an item was shown, not taken; may be given again.  [default: impression]",
        show_default=False,
    ),
]
Columns = Annotated[
    str | None, typer.Option(help="Your column names: user_id=uid,item_id=sku,timestamp=time.", show_default=False)
]
Action = Annotated[
    str | None,
    typer.Option(
        help="Count targets of this kind alone, such as purchase.  [default: what it has learnt]", show_default=False
    ),
]
ExcludeSeen = Annotated[
    bool | None, typer.Option(help="Leave out items seen before.  [default: what suits the log]", show_default=False)
]
Among = Annotated[
    str | None,
    typer.Option(
        help="The only items to list: ids by commas, or a file of item_id and, for each user, user_id.",
        show_default=False,
    ),
]
Exclude = Annotated[str | None, typer.Option(help="Items not to list, told as for --among.", show_default=False)]
Diversity = Annotated[float, typer.Option(help="From 0, the best items, to 1, items that are least alike.")]
TimeZone = Annotated[
    str | None,
    typer.Option(
        help="Where hours and weekdays are read, such as Europe/Rome.  [default: the log's own, or UTC]",
        show_default=False,
    ),
]
Model = Annotated[Path, typer.Argument(help="Directory that segue train wrote.", show_default=False)]


SPLITS = "leave-last-out, by-time[:SHARE or DATE], last-n[:N], user-share[:SHARE], cold-items[:SHARE] or none"
"""What ``--split`` takes."""
SplitKind = Annotated[str, typer.Option("--split", metavar="KIND[:VALUE]", help=f"What to hold out: {SPLITS}.")]


def begin_or_resume(checkpoint: Path | None, resume: bool) -> None:
    """Remove what an interrupted run left, or say that there is nothing to resume."""
    if not resume:
        if checkpoint is not None:
            shutil.rmtree(checkpoint, ignore_errors=True)
    elif checkpoint is None:
        raise typer.BadParameter("without --out there is nothing to resume from", param_hint="'--resume'")
    elif not checkpoint.exists():
        note = (
            f"Nothing to resume: {checkpoint} is not there, since no run to this --out was interrupted. It begins anew."
        )
        console.print(note, markup=False, highlight=False, soft_wrap=True)


def print_next(verb: str, *arguments: object, **options: object) -> None:
    """Print a command that does the next step as it stands; options that are None are left out.

    Args:
        arguments: in their order.
        options: by their names; ``set_`` is ``--set``.
    """
    words = ["segue", verb, *(str(each) for each in arguments)]
    for name, value in options.items():
        if value is not None:
            words += [f"--{name.strip('_').replace('_', '-')}", str(value)]
    console.print(f"Next: {shlex.join(words)}", style="dim", markup=False, highlight=False, soft_wrap=True)


def column_map(text: str | None) -> dict[str, str] | None:
    """``"user_id=uid,item_id=sku"`` to a dictionary; raises ``ConfigSet``."""
    if text is None:
        return None
    pairs = {ours.strip(): yours.strip() for ours, _, yours in (part.partition("=") for part in text.split(","))}
    if not all(pairs.values()) or not set(pairs) <= {*REQUIRED, *OPTIONAL}:
        raise ConfigSet(text=text, form="ours=yours,...", example="--columns user_id=uid,item_id=sku,timestamp=time")
    return pairs


def read_data(
    events: str,
    items: Path | None,
    columns: str | None,
    cleaning: dict[str, Any] | None = None,
    time_zone: str | None = None,
) -> Dataset:
    """A log (and catalogue) from files, or a ready data set by its name."""
    from segue.datasets.catalogue import READY

    if events in READY and not Path(events).exists():
        data = READY[events]()
        # Their times are numbers: the zone says where hours are read, and moves nothing.
        return data if time_zone is None else replace(data, time_zone=zone_of(data.events["timestamp"], time_zone))
    mapping = column_map(columns)
    item_columns = {"item_id": mapping["item_id"]} if items and mapping and "item_id" in mapping else None
    return Dataset.from_files(
        events,
        items,
        columns=mapping,
        item_columns=_present(items, item_columns),
        cleaning=cleaning,
        time_zone=time_zone,
    )


def _present(items: Path | None, mapping: dict[str, str] | None) -> dict[str, str] | None:
    """The mapping for the catalogue, unless the catalogue already has our name."""
    if items is None or mapping is None:
        return None
    from segue.data.frames import read_file

    names = read_file(items, "catalogue").columns
    return mapping if mapping["item_id"] in names else None


def split_data(data: Dataset, kind: str, target: str | None = None) -> tuple[Dataset, Holdout | None, Holdout | None]:
    """Train, validation and test; ``target`` is the kind of action to hold out. Raises ``SplitEmpty``."""
    if kind == "none":
        return data, None, None
    made = split_of(data, kind, target)
    return made.train, made.validation, made.test


def split_of(data: Dataset, kind: str, target: str | None = None) -> Split:
    """As :func:`split_data`, whole; ``none`` is leave-last-out. Raises ``SplitUnknown``."""
    from segue.data import split as splits

    name, colon, value = kind.partition(":")
    number: int | float | None = None
    with contextlib.suppress(ValueError):
        number = int(value) if value.isdigit() else float(value)
    if name in ("leave-last-out", "none") and not colon:
        return splits.leave_last_out(data, target)
    if name == "by-time" and (value or not colon):
        return splits.by_time(data, test=value if number is None else number) if colon else splits.by_time(data)
    numbered = {"last-n": splits.last_n, "user-share": splits.user_share, "cold-items": splits.cold_items}
    if name not in numbered or (colon and number is None):
        raise SplitUnknown(value=kind, hint=nearest(name, ["leave-last-out", "by-time", *numbered, "none"]))
    made: Split = numbered[name](data, number) if number is not None else numbered[name](data)  # type: ignore[operator]
    return made


def filter_of(text: str | None, name: str) -> Any:
    """``--among`` or ``--exclude``: the frame of a file, or a list of ids; None where it is not given."""
    from segue.data.frames import read_file

    if text is None:
        return None
    if Path(text).suffix.lower() in _FILES or Path(text).is_file():
        return read_file(text, name)
    return [each.strip() for each in text.split(",") if each.strip()]


def ids_of(text: str, name: str, column: str) -> Any:
    """Ids by commas, or the column of a file. Raises ``ColumnMissing``, ``FileNotReadable``."""
    from segue.data.schema import rename

    found = filter_of(text, name)
    return rename(found, None, (column,), f"file of {name}")[column] if isinstance(found, pl.DataFrame) else found


def print_or_write(frame: pl.DataFrame, out: Path | None) -> None:
    """A frame as a table, or into a file."""
    from rich.markup import escape

    from segue import artefacts
    from segue.data.frames import write_file

    if out is None:
        print_frame(frame)
        return
    artefacts.write_atomically(out, write_file(frame, out))
    console.print(f"Wrote {frame.height:,} rows to {escape(str(out))}", highlight=False, soft_wrap=True)


def tell_data(data: Dataset) -> None:
    """What was read, and what cleaning removed."""
    console.print(str(data), highlight=False)
    for step in data.report.steps:
        text = f"  removed {step['events']:,} events of {step['users']:,} users lost altogether: {step['step']}"
        console.print(text, style="dim", highlight=False)
    for note in data.report.notes:
        console.print(f"  {note}", style="dim", highlight=False)


def print_frame(frame: pl.DataFrame, title: str | None = None) -> None:
    """A small frame as a table."""
    table = Table(title=title, title_justify="left")
    for name, dtype in frame.schema.items():
        longest = 0 if dtype.is_numeric() else max((len(str(value)) for value in frame[name]), default=0)
        width = min(max(len(name), longest), 24)
        table.add_column(name, justify="right" if dtype.is_numeric() else "left", overflow="fold", min_width=width)
    for row in frame.iter_rows():
        table.add_row(*(_cell(value) for value in row))
    console.print(table)


def _cell(value: Any) -> str:
    from rich.markup import escape

    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    text = str(value)
    return escape(text if len(text) <= 80 else text[:79] + "…")
