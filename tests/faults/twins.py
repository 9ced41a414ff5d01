"""Servers with one promise broken: ``python twins.py NAME serve ...`` breaks it, then runs the command.

Each test of a promise is run against its twin and must fail there; otherwise the test could not see the promise broken.
"""

from __future__ import annotations

import sys
from collections.abc import Callable


def whole() -> None:
    """Nothing is broken."""


TWINS: dict[str, Callable[[], None]] = {each.__name__: each for each in (whole,)}


if __name__ == "__main__":
    TWINS[sys.argv.pop(1)]()
    from segue.cli.main import run

    run()
