"""``segue classify``: labels of users from the patterns in their histories."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import polars as pl
import typer
from rich.markup import escape

from segue.cli.shared import Columns, Quiet, column_map, console, print_frame, read_data, tell_data

_SHOWN = 15


def classify(
    events: Annotated[
        str, typer.Argument(help="Log: Parquet, CSV, TSV, JSON lines, a directory, or ml-100k.", show_default=False)
    ],
    labels: Annotated[Path | None, typer.Option(help="File of user_id and label.", show_default=False)] = None,
    target: Annotated[
        str | None, typer.Option(help="Instead of labels: will_leave, or will_do:purchase.", show_default=False)
    ] = None,
    items: Annotated[Path | None, typer.Option(help="Catalogue, with item_id.", show_default=False)] = None,
    classifier: Annotated[str, typer.Option(help="logistic, forest or lightgbm.")] = "logistic",
    of: Annotated[
        str, typer.Option(help="Mine over item, action, action+item, or a column of the catalogue.")
    ] = "item",
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, such as horizon=14.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Directory to save the classifier in.", show_default=False)] = None,
    model: Annotated[
        Path | None, typer.Option(help="Learn nothing: ask a saved classifier about this log.", show_default=False)
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write every user's label as Parquet, CSV, TSV ...", show_default=False)
    ] = None,
    report: Annotated[Path | None, typer.Option(help="Write the figures as JSON.", show_default=False)] = None,
    columns: Columns = None,
    quiet: Quiet = False,
) -> None:
    """Learn to tell labels of users by sequential patterns, and show what that is worth by cross-validation.

    [bold]Examples[/bold]

    segue classify events.parquet --labels segments.csv --out models/segments

    segue classify events.parquet --target will_leave --set horizon=30 --predictions leaving.csv

    segue classify today.parquet --model models/segments --predictions labels.csv
    """
    from segue.config import parse_assignments
    from segue.data.frames import read_file
    from segue.data.schema import REQUIRED, rename
    from segue.patterns.classification import SequenceClassifier

    if model is not None:
        saved = SequenceClassifier.load(model)
        log = rename(read_file(events, "event log"), column_map(columns), REQUIRED, "event log")
        _tell(saved.predict(histories=log), predictions)
        return
    chosen: dict[str, Any] = {"classifier": classifier, "of": of, "target": target}
    learner = SequenceClassifier(**{**chosen, **parse_assignments(settings or [])})
    given = None if labels is None else read_file(labels, "labels")
    data = read_data(events, items, columns)
    tell_data(data)
    learner.fit(data, given)
    found = learner.cross_validate(progress=not quiet)
    sizes = ", ".join(f"{label} {size:,}" for label, size in found.as_dict()["users"].items())
    title = f"{len(found.classes):,} users ({sizes}), {learner.config.folds} folds"
    print_frame(found.table(), escape(title))
    mattered = pl.DataFrame(learner.patterns_that_mattered()).head(_SHOWN)
    measures = [name for name in ("label", "weight", "odds", "importance") if name in mattered.columns]
    shares = [name for name in mattered.columns if name.startswith("share ")]
    print_frame(mattered.select("feature", *measures, "support", *shares), "What mattered")
    if report is not None:
        found.to_json(report)
    if out is not None:
        learner.save(out)
        console.print(f"Saved SequenceClassifier to {escape(str(out))}", highlight=False, soft_wrap=True)
    if predictions is not None:
        _tell(learner.predict(data.user_vocabulary.ids), predictions)


def _tell(answer: Any, predictions: Path | None) -> None:
    """Write the labels, or show the first and how many there are of each."""
    from segue import artefacts
    from segue.data.frames import to_polars, write_file

    frame = to_polars(answer)[0]
    if predictions is None:
        print_frame(frame.group_by("label").len("users").sort("label"))
        print_frame(frame.head(_SHOWN))
        return
    artefacts.write_atomically(predictions, write_file(frame, predictions))
    console.print(f"Wrote {frame.height:,} rows to {escape(str(predictions))}", highlight=False, soft_wrap=True)
