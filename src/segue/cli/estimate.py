"""``segue estimate``: what another model would have earned, from the lists in a store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from segue.cli.shared import Impressions, console


def estimate(
    store: Annotated[
        str,
        typer.Option(envvar="SEGUE_STORE", help="Event store, such as sqlite:///shop.db.", show_default=False),
    ],
    model: Annotated[Path, typer.Option(help="Directory of the other model.", show_default=False)],
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="key=value: by, clip, min_effective, seed; of its lists method, share, temperature, ...",
            show_default=False,
        ),
    ] = None,
    impression: Impressions = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """The click rate another model would have had, from lists that were served with exploration.

    [bold]Examples[/bold]

    segue estimate --store sqlite:///shop.db --model models/shop-2

    segue estimate --store sqlite:///shop.db --model models/shop-2 --set method=plackett_luce --set by=cascade
    """
    from segue.config import parse_assignments
    from segue.recommenders.store import load
    from segue.serving.answers.exploration import ExploreConfig
    from segue.serving.learning.estimates import EstimateConfig
    from segue.serving.learning.estimates import estimate as estimated
    from segue.serving.learning.policies import views_of
    from segue.serving.state import State
    from segue.serving.store import Store

    chosen = parse_assignments(settings or [])
    own = {name: chosen.pop(name) for name in EstimateConfig.model_fields if name in chosen}
    # What the other model is without a word about it: its best items as they are.
    policy = ExploreConfig.parse({"share": 0.0, **chosen}, owner="estimate")
    config = EstimateConfig.parse(own, owner="estimate")
    shown = ["impression"] if impression is None else [name for name in impression if name]
    opened = Store.open(store, migrate=False, create=False)
    try:
        state = State(opened, without=shown)
        views, notes = views_of(opened, state, load(model), policy, shown=shown)
        found = estimated(views, config, notes)
    finally:
        opened.close()
    if as_json:
        typer.echo(json.dumps(found.document(), indent=1))
        return
    console.print(f"{found.lists:,} lists, {found.views:,} places seen by {found.people:,} people", highlight=False)
    names = {"served": "as served", "ips": "IPS", "clipped": "IPS, clipped", "snips": "SNIPS"}
    for name, title in {**names, "doubly_robust": "doubly robust"}.items():
        figure = getattr(found, name)
        rate = "withheld" if figure.rate is None else f"{figure.rate:8.4f}"
        interval = "" if figure.low is None else f"  ({figure.low:.4f} to {figure.high:.4f})"
        console.print(f"  {title:14}{rate}{interval}", highlight=False)
    weights = f"mean weight {found.mean_weight:.3f}, largest {found.largest_weight:.1f}"
    told = f"effective views {found.effective:,.0f}, people {found.effective_people:,.0f}, {weights}"
    console.print(f"  {told}", style="dim", highlight=False)
    for note in found.notes:
        console.print(f"[yellow]note[/yellow]: {note}", highlight=False, soft_wrap=True)
