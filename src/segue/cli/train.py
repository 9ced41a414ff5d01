"""``segue train``: from a log to a saved recommender."""

from __future__ import annotations

import shutil
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from segue.cli.shared import Columns, Quiet, TimeZone, console, print_frame, read_data


class SplitKind(StrEnum):
    """What to hold out."""

    leave_last_out = "leave-last-out"
    by_time = "by-time"
    none = "none"


def train(
    events: Annotated[
        str, typer.Argument(help="Log: Parquet, CSV, TSV, JSON lines, a directory, or ml-100k.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Directory to write the model to; with --ablate a file for the table.", show_default=False),
    ] = None,
    items: Annotated[Path | None, typer.Option(help="Catalogue, with item_id.", show_default=False)] = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML: recommender, [settings], [cleaning].", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, again and again.", show_default=False)
    ] = None,
    recommender: Annotated[
        str | None, typer.Option(help="Class, such as EASE.  [default: SequenceRecommender]", show_default=False)
    ] = None,
    split: Annotated[SplitKind, typer.Option(help="What to hold out for the test.")] = SplitKind.leave_last_out,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", show_default=False)] = None,
    columns: Columns = None,
    time_zone: TimeZone = None,
    ablate: Annotated[
        str | None,
        typer.Option(
            help="Train with and without each part of time (or behaviour) and print what it was worth; saves no model.",
            show_default=False,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue a training that was interrupted.")] = False,
    quiet: Quiet = False,
) -> None:
    """Train a recommender and save it with its test.

    [bold]Examples[/bold]

    segue train events.parquet --items items.parquet --out models/shop

    segue train log.csv --columns user_id=uid,item_id=sku --set epochs=20 --set loss=sampled --out models/shop

    segue train log.csv --ablate time --set epochs=10 --out ablation.csv
    """
    from segue import artefacts
    from segue.config import parse_assignments, read_toml
    from segue.recommenders.store import recommender_class, settings_of

    plan: dict[str, Any] = read_toml(config) if config else {}
    chosen = settings_of(plan, parse_assignments(settings or []), recommender, seed)
    model = recommender_class(chosen.recommender)(**chosen.settings)
    if ablate is not None:
        data = read_data(events, items, columns, chosen.cleaning, time_zone)
        _ablate(_made(data, split, chosen.settings.get("target")), chosen, ablate, out, resume, quiet)
        return
    if out is None:
        raise typer.BadParameter("say where to write the model", param_hint="'--out'")
    artefacts.refuse_in_the_way(out)
    data = read_data(events, items, columns, chosen.cleaning, time_zone)
    _tell(data)
    training, validation, test = _split(data, split, chosen.settings.get("target"))
    checkpoint = out.parent / f".{out.name}.training"
    if not resume:
        shutil.rmtree(checkpoint, ignore_errors=True)
    model.fit(training, validation, progress=not quiet, checkpoint=checkpoint, resume=resume)
    model.save(out, test=test)
    shutil.rmtree(checkpoint, ignore_errors=True)
    place = escape(str(out))
    console.print(f"Saved [bold]{type(model).__name__}[/bold] to {place}", highlight=False, soft_wrap=True)
    if test is not None:
        console.print(
            f"Next: segue evaluate {place} --report report.html", style="dim", highlight=False, soft_wrap=True
        )


def _split(data: Any, kind: SplitKind, target: str | None) -> tuple[Any, Any, Any]:
    if kind is SplitKind.none:
        return data, None, None
    made = _made(data, kind, target)
    return made.train, made.validation, made.test


def _made(data: Any, kind: SplitKind, target: str | None) -> Any:
    from segue.data import split as splits

    return splits.by_time(data) if kind is SplitKind.by_time else splits.leave_last_out(data, target)


def _ablate(split: Any, chosen: Any, what: str, out: Path | None, resume: bool, quiet: bool) -> None:
    """Print the table, and write it where a file is named; finished variants are kept beside it until it is there."""
    import polars as pl

    from segue import artefacts
    from segue.data.frames import write_file
    from segue.errors import ConfigValue
    from segue.evaluation.ablation import ablate

    if chosen.recommender != "SequenceRecommender":
        reason = "only the SequenceRecommender has parts to switch off"
        raise ConfigValue(name="recommender", owner="--ablate", value=chosen.recommender, reason=reason)
    if out is not None:
        write_file(pl.DataFrame(), out)  # a name that cannot be written is told before hours of training
    checkpoint = None if out is None else out.parent / f".{out.name}.ablation"
    if checkpoint is not None and not resume:
        shutil.rmtree(checkpoint, ignore_errors=True)
    table = ablate(split, chosen.settings, what, checkpoint=checkpoint, progress=not quiet, resume=resume)
    interval = pl.format("{} to {}", *(pl.col(name).round(4) for name in ("low", "high"))).alias("95 % interval")
    print_frame(table.select("part", "without", "difference", interval, "p", "seconds"))
    note = (
        f"with all parts {table['with'][0]:.4f}, {table['users'][0]:,} users of the validation holdout; "
        "difference: with - without, p of a paired randomisation test"
    )
    console.print(note, style="dim", highlight=False, soft_wrap=True)
    if out is not None and checkpoint is not None:
        artefacts.write_atomically(out, write_file(table, out))
        shutil.rmtree(checkpoint, ignore_errors=True)
        console.print(f"Wrote {escape(str(out))}", highlight=False, soft_wrap=True)


def _tell(data: Any) -> None:
    console.print(str(data), highlight=False)
    for step in data.report.steps:
        text = f"  removed {step['events']:,} events of {step['users']:,} users lost altogether: {step['step']}"
        console.print(text, style="dim", highlight=False)
    for note in data.report.notes:
        console.print(f"  {note}", style="dim", highlight=False)
