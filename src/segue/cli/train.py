"""``segue train``: from a log to a saved recommender."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

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
    print_next,
    read_data,
    split_data,
    split_of,
    tell_data,
)


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
        Path | None, typer.Option(help="TOML: recommender, \\[settings], \\[cleaning].", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, again and again.", show_default=False)
    ] = None,
    recommender: Annotated[
        str | None, typer.Option(help="Class, such as EASE.  [default: SequenceRecommender]", show_default=False)
    ] = None,
    split: SplitKind = "leave-last-out",
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
    tracker: Annotated[
        str, typer.Option(help="Where the figures of each epoch go: tensorboard, wandb, mlflow (a,b for both) or none.")
    ] = "tensorboard",
    log_dir: Annotated[
        Path | None,
        typer.Option(help="Where trackers write.  [default: runs/NAME beside the model]", show_default=False),
    ] = None,
    init_from: Annotated[
        Path | None,
        typer.Option(help="Begin from this trained model: all but its ids carry over.", show_default=False),
    ] = None,
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
    from segue.errors import ConfigValue
    from segue.recommenders.store import recommender_class, settings_of
    from segue.training.trackers import tracker_names

    plan: dict[str, Any] = read_toml(config) if config else {}
    chosen = settings_of(plan, parse_assignments(settings or []), recommender, seed)
    model = recommender_class(chosen.recommender)(**chosen.settings)
    trackers = tracker_names(tracker)
    target = model.target
    if ablate is not None:
        data = read_data(events, items, columns, chosen.cleaning, time_zone)
        _ablate(split_of(data, split, target), chosen, ablate, out, resume, quiet)
        return
    if init_from is not None and chosen.recommender != "SequenceRecommender":
        reason = "only a SequenceRecommender begins from another"
        raise ConfigValue(name="recommender", owner="--init-from", value=chosen.recommender, reason=reason)
    if out is None:
        raise typer.BadParameter("say where to write the model", param_hint="'--out'")
    artefacts.refuse_in_the_way(out)
    data = read_data(events, items, columns, chosen.cleaning, time_zone)
    tell_data(data)
    training, validation, test = split_data(data, split, target)
    checkpoint = out.parent / f".{out.name}.training"
    begin_or_resume(checkpoint, resume)
    run = {"progress": not quiet, "checkpoint": checkpoint, "resume": resume}
    run |= {} if init_from is None else {"init_from": init_from}
    run |= {"tracker": trackers, "log_dir": log_dir or out.parent / "runs" / out.name}
    model.fit(training, validation, **run)
    model.save(out, test=test)
    shutil.rmtree(checkpoint, ignore_errors=True)
    place = escape(str(out))
    console.print(f"Saved [bold]{type(model).__name__}[/bold] to {place}", highlight=False, soft_wrap=True)
    if test is not None:
        print_next("evaluate", out, report="report.html")


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
    begin_or_resume(checkpoint, resume)
    table = ablate(split, chosen.settings, what, checkpoint=checkpoint, progress=not quiet, resume=resume)
    interval = pl.format("{} to {}", *(pl.col(name).round(4) for name in ("low", "high"))).alias("95 % interval")
    print_frame(table.select("part", "without", "difference", interval, "p", "seconds"))
    note = (
        f"with all parts {table['with'][-1]:.4f}, {table['users'][0]:,} users of the validation holdout; "
        "difference: with - without, p of a paired randomisation test"
    )
    console.print(note, style="dim", highlight=False, soft_wrap=True)
    if out is not None and checkpoint is not None:
        artefacts.write_atomically(out, write_file(table, out))
        shutil.rmtree(checkpoint, ignore_errors=True)
        console.print(f"Wrote {escape(str(out))}", highlight=False, soft_wrap=True)
