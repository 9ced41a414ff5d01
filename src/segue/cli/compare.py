"""``segue compare``: saved recommenders side by side on the same test, with paired tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from segue.cli.shared import Action, Quiet, console, print_frame


def compare(
    models: Annotated[list[Path], typer.Argument(help="Directories that segue train wrote.", show_default=False)],
    metric: Annotated[str, typer.Option(help="What the paired test is about.")] = "ndcg@10",
    action: Action = None,
    quiet: Quiet = False,
) -> None:
    """Compare saved recommenders on the test of the first, with a paired test against it.

    [bold]Example[/bold]  segue compare models/a models/b
    """
    from segue.evaluation.compare import comparison_table
    from segue.evaluation.evaluate import evaluate
    from segue.recommenders.store import load_with_test

    loaded = [load_with_test(path) for path in models]
    action = loaded[0][0].target if action is None else action
    reports = [evaluate(model, test, action=action, progress=not quiet) for model, test in loaded]
    for report, path in zip(reports, models, strict=True):
        report.name = str(path)
    print_frame(comparison_table(reports, metric))
    console.print(
        f"difference in {metric}, to {escape(str(models[0]))}; p from a paired randomisation test",
        style="dim",
    )
