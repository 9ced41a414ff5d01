"""``segue pretrain``: a language model learns a catalogue and its log before it reads items for a recommender."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segue.cli.shared import (
    Columns,
    Quiet,
    SplitKind,
    TimeZone,
    console,
    print_frame,
    print_next,
    read_data,
    split_data,
    tell_data,
)


class TaskName(StrEnum):
    """What is learnt."""

    masked = "masked"
    contrast = "contrast"
    behaviour = "behaviour"


def pretrain(
    events: Annotated[
        str, typer.Argument(help="Log: Parquet, CSV, TSV, JSON lines, a directory, or ml-100k.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Directory to write the language model to.", show_default=False)],
    items: Annotated[Path | None, typer.Option(help="Catalogue, with item_id.", show_default=False)] = None,
    model: Annotated[str, typer.Option(help="What to begin with: a name, or a directory.")] = "minilm",
    task: Annotated[
        list[TaskName] | None,
        typer.Option(help="Again and again for several, one after the other.  [default: behaviour]"),
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="key=value, again and again.", show_default=False)
    ] = None,
    split: SplitKind = "leave-last-out",
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", show_default=False)] = None,
    columns: Columns = None,
    time_zone: TimeZone = None,
    quiet: Quiet = False,
) -> None:
    """Let a language model learn a catalogue's words and what its people take together.

    Nothing that --split holds out is learnt, so that what is trained with the result can be tested.

    [bold]Examples[/bold]

    segue pretrain events.parquet --items items.parquet --out models/minilm-shop

    segue pretrain log.csv --items items.csv --task masked --task behaviour --set epochs=5 --out models/minilm-shop
    """
    from segue.config import parse_assignments
    from segue.language.keep import refuse_in_the_way
    from segue.language.pretraining import PretrainingConfig
    from segue.language.pretraining import pretrain as learn

    chosen = parse_assignments(settings or [])
    if task:
        chosen["tasks"] = [each.value for each in task]
    if seed is not None:
        chosen["seed"] = seed
    PretrainingConfig.parse(chosen)
    refuse_in_the_way(out)
    data = read_data(events, items, columns, None, time_zone)
    tell_data(data)
    training, _, _ = split_data(data, split)
    learnt = learn(training, model, out, progress=not quiet, **chosen)
    held = learnt.document["held_out"]
    if len(learnt.gain):
        print_frame(learnt.gain)
        note = (
            f"finding the next item by its text alone, among {held['candidates']:,}: {held['pairs']:,} pairs held out"
        )
        console.print(note, style="dim", highlight=False, soft_wrap=True)
    place = escape(str(out))
    console.print(f"Saved [bold]{escape(model)}[/bold], pretrained, to {place}", highlight=False, soft_wrap=True)
    reading = {"items": items, "columns": columns, "time_zone": time_zone, "split": split}
    print_next("train", events, **reading, set_=f"text={out}", out="models/shop")
