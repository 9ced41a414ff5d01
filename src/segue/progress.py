"""One way to show that long work is alive: a Rich bar on standard error, or silence.

Whether bars are shown is how to run today, not what to learn: ``progress=False`` on a call, or the
environment variable ``SEGUE_PROGRESS=0``, turns them off; without a terminal Rich draws none.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")
Advance = Callable[[float], None]
_part: ContextVar[str] = ContextVar("part", default="")


def enabled(progress: bool = True) -> bool:
    """Whether bars may be drawn at all."""
    return progress and os.environ.get("SEGUE_PROGRESS", "1") != "0"


@contextlib.contextmanager
def part(name: str) -> Iterator[None]:
    """Put ``name`` before the title of every bar while the block runs, where one piece of work is made of several."""
    token = _part.set(name)
    try:
        yield
    finally:
        _part.reset(token)


def titled(title: str) -> str:
    """A title with the part of the work that it belongs to, if any: ``"Member 1 of 3: Training"``."""
    return f"{name}: {title}" if (name := _part.get()) else title


@contextlib.contextmanager
def bar(title: str, total: float | None, progress: bool = True, *, as_bytes: bool = False) -> Iterator[Advance]:
    """Show a bar while the block runs; call the yielded function with the amount done since the last call."""
    if not enabled(progress):
        yield lambda amount: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    counter = DownloadColumn() if as_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), counter, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as display:
        task = display.add_task(titled(title), total=total)
        yield lambda amount: display.advance(task, amount)


@contextlib.contextmanager
def share(title: str, progress: bool = True) -> Iterator[Callable[[float, str], None]]:
    """As :func:`bar` for a share of the work; the yielded function also takes words to show, such as what was found."""
    if not enabled(progress):
        yield lambda amount, words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[words]}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as display:
        task = display.add_task(titled(title), total=1, words="")
        yield lambda amount, words: display.update(task, advance=amount, words=words)


def track(items: Iterable[T], title: str, total: int, progress: bool = True) -> Iterator[T]:
    """Iterate with a bar."""
    with bar(title, total, progress) as advance:
        for item in items:
            yield item
            advance(1)
