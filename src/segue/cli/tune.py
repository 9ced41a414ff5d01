"""``segue tune``: search for the settings that do best on validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from segue.cli.shared import (
    Columns,
    Quiet,
    SplitKind,
    console,
    print_frame,
    print_next,
    read_data,
    split_data,
    tell_data,
)


def tune(
    events: Annotated[
        str, typer.Argument(help="Log: Parquet, CSV, TSV, JSON lines, a directory, or ml-100k.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="TOML to write the best settings to.", show_default=False)],
    items: Annotated[Path | None, typer.Option(help="Catalogue, with item_id.", show_default=False)] = None,
    trials: Annotated[int, typer.Option(help="Trials in the end, over all runs and processes.", min=1)] = 20,
    study_db: Annotated[
        Path | None, typer.Option(help="SQLite file of the study.  [default: --out with .db]", show_default=False)
    ] = None,
    study: Annotated[str, typer.Option(help="Name of the study in the file.")] = "segue",
    config: Annotated[
        Path | None, typer.Option(help="TOML: recommender, \\[settings], \\[cleaning], \\[space].", show_default=False)
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, fixed in every trial.", show_default=False)
    ] = None,
    recommender: Annotated[
        str | None, typer.Option(help="Class, such as EASE.  [default: SequenceRecommender]", show_default=False)
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="What to search for.  [default: ndcg@10]", show_default=False)
    ] = None,
    split: SplitKind = "leave-last-out",
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which no trial begins.", show_default=False)
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Seed of the search and of each training.")] = 0,
    report: Annotated[Path | None, typer.Option(help="Write a page with plots.", show_default=False)] = None,
    columns: Columns = None,
    quiet: Quiet = False,
) -> None:
    """Search for the settings that do best on validation; the test is not used.

    The same command goes on where it was interrupted, and several may run at once on one study.

    [bold]Example[/bold]  segue tune events.parquet --trials 30 --out best.toml --report tuning.html
    """
    from segue.config import parse_assignments, read_toml
    from segue.errors import ConfigValue
    from segue.recommenders.store import recommender_class, settings_of
    from segue.tuning.tune import tune as search

    file: dict[str, Any] = read_toml(config) if config else {}
    space = file.pop("space", None)
    if space is not None and not isinstance(space, dict):
        raise ConfigValue(name="space", owner="the configuration", value=space, reason="it is no table")
    chosen = settings_of(file, parse_assignments(settings or []), recommender, seed)
    recommender_class(chosen.recommender)(**chosen.settings)
    data = read_data(events, items, columns, chosen.cleaning)
    tell_data(data)
    train, validation, _ = split_data(data, split)
    storage = study_db or out.with_suffix(".db")
    try:
        result = search(
            train,
            validation,
            recommender=chosen.recommender,
            settings=chosen.settings,
            space=space,
            trials=trials,
            storage=storage,
            study=study,
            metric=metric,
            seed=seed,
            timeout=timeout,
            jobs=jobs,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        note = f"The study is in {escape(str(storage))}; the same command goes on with it."
        console.print(note, highlight=False, soft_wrap=True)
        raise
    result = dataclasses.replace(result, cleaning=chosen.cleaning)
    result.to_toml(out)
    best = result.table.sort("value", descending=True, nulls_last=True).head(5)
    print_frame(best.select("trial", "state", "value", "epochs_run", "seconds"))
    console.print(
        f"{result.metric} {result.best_value:.4f} on validation with "
        + escape(", ".join(f"{name} {value}" for name, value in result.found.items())),
        highlight=False,
        soft_wrap=True,
    )
    if report is not None:
        result.to_html(report)
        console.print(f"Wrote {escape(str(report))}", highlight=False, soft_wrap=True)
    console.print(f"Wrote {escape(str(out))}", highlight=False, soft_wrap=True)
    print_next("train", events, items=items, columns=columns, split=split, config=out, out="models/best")
