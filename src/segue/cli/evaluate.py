"""``segue evaluate``: figures of a saved recommender on the test it was saved with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from segue.cli.shared import Action, ExcludeSeen, Model, Quiet, console, print_frame


def evaluate(
    model: Model,
    json: Annotated[Path | None, typer.Option(help="Write the figures as JSON.", show_default=False)] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page with plots and examples.", show_default=False)
    ] = None,
    baselines: Annotated[bool, typer.Option(help="Train and show the baselines beside it.")] = True,
    action: Action = None,
    exclude_seen: ExcludeSeen = None,
    tell_moment: Annotated[
        bool, typer.Option(help="Ask at the moment of each user's first target, or without saying when.")
    ] = True,
    quiet: Quiet = False,
) -> None:
    """Evaluate a saved recommender with full ranking, beside the baselines.

    [bold]Example[/bold]  segue evaluate models/shop --report report.html
    """
    from segue.evaluation.answers import Answering, evaluate_answers
    from segue.evaluation.compare import comparison_table
    from segue.evaluation.evaluate import evaluate as measure
    from segue.recommenders.store import fit_baselines, load_with_test

    recommender: Any
    recommender, test = load_with_test(model)
    others = fit_baselines(test, besides=type(recommender).__name__, progress=not quiet) if baselines else []
    if isinstance(recommender, Answering):  # what is re-ranked is shown as it was
        base = recommender.base
        others = [base, *(each for each in others if type(each) is not type(base))]
    result = measure(
        recommender,
        test,
        action=action,
        exclude_seen=exclude_seen,
        tell_moment=tell_moment,
        beside=others,
        progress=not quiet,
    )
    seen = "items seen before are left out" if result.protocol["exclude_seen"] else "items seen before may come again"
    told = f", targets are {result.protocol['action']} events" if "action" in result.protocol else ""
    console.print(
        f"{result.protocol['users']:,} users{told}, full ranking of {result.protocol['catalogue']:,} items, {seen} "
        f"({result.protocol['exclude_seen_because']})",
        highlight=False,
        soft_wrap=True,
    )
    print_frame(comparison_table([result, *result.beside]))
    if isinstance(recommender, Answering):
        result.answers = evaluate_answers(recommender, test, beside=others)
        print_frame(result.answers.table(), "Each held-out event, asked about by itself")
        if result.answers.kind == "probability":
            print_frame(result.answers.calibration(), "Calibration: what was said, and how often it was so")
    if json is not None:
        result.to_json(json)
    if report is not None:
        result.to_html(report)
        console.print(f"Wrote {escape(str(report))}", highlight=False, soft_wrap=True)
