"""The ``segue`` command: its verbs, and the one place where errors become messages."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer
from rich.console import Console

from segue import __version__
from segue.cautions import SegueWarning
from segue.cli import (
    add_items,
    classify,
    compare,
    compare_tuning,
    estimate,
    evaluate,
    export,
    fetch,
    generate,
    inspect,
    keys,
    mine,
    models,
    pretrain,
    recommend,
    rollback,
    serve,
    similar,
    store,
    train,
    tune,
    update,
)
from segue.errors import SegueError, extras_named

app = typer.Typer(
    name="segue",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Learns what comes next: event logs to next-item recommendations.\n\n"
    "[bold]Start with[/bold]  segue fetch ml-100k  and  segue train ml-100k --out models/films",
)
for module in (
    fetch,
    inspect,
    mine,
    pretrain,
    train,
    tune,
    evaluate,
    recommend,
    generate,
    similar,
    classify,
    compare,
    compare_tuning,
    add_items,
    update,
    estimate,
    serve,
    export,
):
    verb = module.__name__.rpartition(".")[2]
    app.command(verb.replace("_", "-"), no_args_is_help=True)(getattr(module, verb))
app.command()(rollback.rollback)  # its store may stand in the environment
app.add_typer(models.models, name="models")
app.add_typer(keys.keys, name="keys")
app.add_typer(store.store, name="store")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"segue {__version__}")
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Learns what comes next."""


def run() -> None:
    """Entry point: a user's mistake ends in one message and exit code 2, Ctrl-C in 130."""
    errors = Console(stderr=True)

    shown: set[str] = set()  # a model that is fitted twice warns twice

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        if issubclass(category, SegueWarning) and str(message) not in shown:
            shown.add(str(message))
            errors.print(f"[yellow]note[/yellow]: {message}", highlight=False, soft_wrap=True)

    warnings.simplefilter("ignore")
    warnings.simplefilter("always", SegueWarning)
    warnings.showwarning = show
    try:
        with extras_named(f"segue {next(iter(sys.argv[1:]), '')}".rstrip()):
            app()
    except SegueError as error:
        errors.print(f"[bold red]error {error.code}[/bold red]: ", end="")
        errors.print(error.message, markup=False, highlight=False, soft_wrap=True)
        if error.advice:
            errors.print(error.advice, style="cyan", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    except SystemExit as stop:
        if stop.code == 130:  # what typer makes of Ctrl-C
            errors.print("Interrupted. What was saved stays valid.")
        raise
    except BrokenPipeError:
        sys.exit(0)
