"""``segue update``: new events for a saved recommender, from a file or from the store of a service."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from segue.cli.shared import Columns, Impressions, Model, Quiet, column_map, console

if TYPE_CHECKING:
    from segue.serving.learning.update import Outcome


def update(
    model: Model,
    events: Annotated[Path | None, typer.Argument(help="The new events, with --out.", show_default=False)] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory to write the updated model to.", show_default=False)
    ] = None,
    items: Annotated[Path | None, typer.Option(help="Catalogue of new items.", show_default=False)] = None,
    store: Annotated[
        str | None,
        typer.Option(
            envvar="SEGUE_STORE", help="Learn from what a service has recorded: sqlite:///shop.db", show_default=False
        ),
    ] = None,
    min_events: Annotated[int, typer.Option(help="Do nothing for fewer new events.", min=1)] = 1,
    keep: Annotated[int, typer.Option(help="Models that updates made and that are kept.", min=1)] = 3,
    users: Annotated[int, typer.Option(help="Judge by at least so many people.", min=2)] = 100,
    tolerance: Annotated[float, typer.Option(help="Share of a mean that may be lost.", min=0)] = 0.05,
    impression: Impressions = None,
    always: Annotated[
        bool, typer.Option("--always/--if-not-worse", help="Activate it even where it is worse, or cannot be judged.")
    ] = False,
    export: Annotated[bool, typer.Option(help="Export again where an export answers.")] = True,
    json: Annotated[Path | None, typer.Option(help="Write what came of it as JSON.", show_default=False)] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="key=value: forgetting, replay, epochs, ...", show_default=False),
    ] = None,
    columns: Columns = None,
    quiet: Quiet = False,
) -> None:
    """Learn on from new events without forgetting the old ones; new users and items join.

    With a store the new model is asked beside the old one about the newest events, and answers in its place unless it
    is worse. [bold]segue rollback[/bold] undoes that.

    [bold]Examples[/bold]

    segue update models/shop today.parquet --out models/shop-2 --set forgetting=ewc

    segue update models/shop --store sqlite:///shop.db
    """
    from segue.config import parse_assignments
    from segue.errors import UpdateUnclear

    chosen = parse_assignments(settings or [])
    if events is not None:
        if out is None:
            raise UpdateUnclear(reason=f"{events} is given, and no --out to write to")
        _from_file(model, events, out, items, columns, chosen, quiet)
        return
    if store is None:
        raise UpdateUnclear(reason="neither events nor --store are given")
    if beside := [
        name for name, given in (("--out", out), ("--items", items), ("--columns", columns)) if given is not None
    ]:
        raise UpdateUnclear(reason=f"{beside[0]} belongs to a file of events")
    limits: dict[str, Any] = {"min_events": min_events, "keep": keep, "users": users, "tolerance": tolerance}
    if impression is not None:
        limits["impression"] = [name for name in impression if name]
    _from_store(model, store, limits, always, export, json, chosen, quiet)


def _from_file(
    model: Path, events: Path, out: Path, items: Path | None, columns: str | None, chosen: dict[str, Any], quiet: bool
) -> None:
    from segue import artefacts
    from segue.data.frames import read_file
    from segue.data.schema import REQUIRED, rename
    from segue.errors import ArtefactForeign
    from segue.recommenders.sequence import SequenceRecommender
    from segue.recommenders.store import load

    artefacts.refuse_in_the_way(out)
    recommender = load(model)
    if not isinstance(recommender, SequenceRecommender):
        raise ArtefactForeign(path=model, found=type(recommender).__name__, wanted="SequenceRecommender")
    table = rename(read_file(events, "event log"), column_map(columns), REQUIRED, "event log")
    catalogue = None if items is None else read_file(items, "catalogue")
    console.print(str(recommender.update(table, items=catalogue, progress=not quiet, **chosen)), highlight=False)
    recommender.save(out)
    console.print(f"Saved to {escape(str(out))}", highlight=False, soft_wrap=True)


def _from_store(
    model: Path,
    url: str,
    limits: dict[str, Any],
    always: bool,
    export: bool,
    json: Path | None,
    chosen: dict[str, Any],
    quiet: bool,
) -> None:
    import dataclasses
    import json as documents

    from segue.artefacts import write_atomically
    from segue.deploy.refresh import export_as
    from segue.serving.learning.update import UpdatingConfig
    from segue.serving.learning.update import update as updated
    from segue.serving.store import Store

    settings = UpdatingConfig.parse(limits, owner="update")
    opened = Store.open(url, create=False)
    try:
        outcome = updated(
            opened,
            model,
            settings,
            always=always,
            export=export_as if export else None,
            progress=not quiet,
            **chosen,
        )
    finally:
        opened.close()
    _tell(outcome)
    if json is not None:
        text = documents.dumps(dataclasses.asdict(outcome), indent=1, ensure_ascii=False)
        write_atomically(json, (text + "\n").encode())


def _tell(outcome: Outcome) -> None:
    learnt = outcome.learnt
    if learnt.get("events"):
        way = ": learnt on, with replay" if learnt["way"] == "update" else ": fitted again on the joined log"
        way = way if learnt["verdicts"] or outcome.name else ""
        foreign = f"; {learnt['foreign']:,} with ids of another kind are left out" if learnt["foreign"] else ""
        again = f"; {learnt['known']:,} were known already" if learnt["known"] else ""
        console.print(f"{learnt['events']:,} new events{again}{foreign}{way}", highlight=False)
    if learnt.get("verdicts"):
        table = Table(title=f"{learnt['asked']:,} people, asked about the newest events", title_justify="left")
        table.add_column("")
        for name in ("old", "new", "difference", "95 % interval", "p (worse)"):
            table.add_column(name, justify="right")
        for name, each in learnt["verdicts"].items():
            interval = f"{each['low']:+.4f} to {each['high']:+.4f}"
            figures = (f"{each['old']:.4f}", f"{each['new']:.4f}", f"{each['difference']:+.4f}")
            table.add_row(name, *figures, interval, f"{each['p_worse']:.3f}")
        console.print(table)
    end = {"kept": f"{outcome.before} goes on: {outcome.why}", "nothing": f"Nothing to learn: {outcome.why}"}
    console.print(escape(end.get(outcome.state, f"{outcome.why} ({outcome.seconds:.1f} s)")), highlight=False)
    if outcome.dropped:
        console.print(escape(f"Dropped: {', '.join(outcome.dropped)}"), style="dim", highlight=False)
