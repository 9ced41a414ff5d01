"""What the artefact that a service is started with comes to: the first one answers, later ones wait to be activated.

The store says who answers, on every replica and after every restart. A directory on a command line, which another
replica may have been given otherwise, changes that only where nobody answers or where it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from segue.serving.models.registry import Registry, root_of, row_of, sourced
from segue.serving.store.rows import ModelRow


def know(registry: Registry, directory: Path, load: Callable[[ModelRow], Any], activate: bool = False) -> str | None:
    """Register an artefact that the store does not know; one that is to answer is activated.

    Args:
        registry: of the store.
        directory: the artefact.
        load: raises where the artefact cannot serve; it is not registered then.
        activate: let it answer in place of all others, whatever the store says.

    Returns:
        Which models answer instead of it, and what to do about it; None where it, or what was learnt on from it, does.
    """
    rows, row = registry.rows(), row_of(directory)
    path = sourced(directory)
    active = [each for each in rows if each.role == "active"]
    own = next((each for each in rows if each.path == path), None)
    line = [each for each in rows if path in (each.path, each.source, root_of(each)) or root_of(each) == row.source]
    if activate or not active:
        if own not in active:
            load(own or row)
        if own is None:
            registry.add(replace(row, role="active"))
        elif own not in active:
            registry.activate(own.name)
        return None
    if any(each in active for each in line):
        return None
    if not line:
        load(row)
        registry.add(row)
    name = own.name if own is not None else line[-1].name if line else row.name
    names = ", ".join(each.name for each in active)
    verb = "answers" if len(active) == 1 else "answer"
    what = f"{directory} is registered as {name} and does not" if line else f"{directory} is new here: {name} waits"
    return (
        f"{names} {verb}, as the store says; {what}. To let it answer: POST /v1/models/{name}/activate, or --activate"
    )
