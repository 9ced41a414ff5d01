"""Servers with one promise broken: ``python twins.py NAME serve ...`` breaks it, then runs the command.

Each test of a promise is run against its twin and must fail there; otherwise the test could not see the promise broken.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def whole() -> None:
    """Nothing is broken."""


def acknowledge_before_commit() -> None:
    """Events are acknowledged when they have come, and written a little later."""
    from segue.serving.store import Appended, Writer

    whole_append = Writer.append

    async def append(self: Writer, events: Any, deadline_seconds: float | None = None) -> Appended:
        async def later() -> None:
            await asyncio.sleep(0.3)
            await whole_append(self, events, deadline_seconds)

        _tasks.add(asyncio.create_task(later()))
        return Appended(len(events), 0, 0)

    Writer.append = append  # type: ignore[method-assign]


def memory_alone() -> None:
    """What people do is kept in the memory of the process that heard it, and read from there."""
    from segue.serving.store import Store, Writer
    from segue.serving.store.rows import Event, UserEvents

    heard: dict[str, list[Event]] = {}
    whole_append = Writer.append

    async def append(self: Writer, events: Any, deadline_seconds: float | None = None) -> Any:
        for event in events:
            heard.setdefault(event.user_id, []).append(event)
        return await whole_append(self, events, deadline_seconds)

    def history(self: Store, user_id: str, newest: int, until: int | None = None, without: Any = ()) -> UserEvents:
        events = sorted(heard.get(user_id, []), key=lambda event: event.timestamp)[-newest:]
        return UserEvents(
            [event.item_id for event in events],
            np.array([event.timestamp for event in events], dtype=np.int64),
            [event.action for event in events],
            np.full(len(events), np.nan, dtype=np.float32),
        )

    Writer.append, Store.history = append, history  # type: ignore[method-assign]


def unguarded_look_up() -> None:
    """An answer looks up what a request need not have, and its failure is told as it is."""
    import traceback

    from fastapi import Request, Response

    from segue.serving.answers.answers import Answers
    from segue.serving.api import problems

    whole_read = Answers._read

    def read(self: Answers, question: Any, served: Any) -> Any:
        {}[question.action]  # no request need name one
        return whole_read(self, question, served)

    async def told(request: Request, error: Exception) -> Response:
        return Response("".join(traceback.format_exception(error)), 500)

    Answers._read, problems._unforeseen = read, told  # type: ignore[method-assign]


def load_in_the_way() -> None:
    """A model is loaded by whoever asks next, and that takes its time."""
    import time

    from segue.serving.models.models import Models

    whole_choose = Models.choose
    seen: dict[int, int] = {}

    def choose(self: Models, user_id: str | None = None) -> Any:
        newest = self._store.newest()["models"]
        if seen.setdefault(id(self), newest) != newest:
            seen[id(self)] = newest
            time.sleep(2)
            self.refresh()
        return whole_choose(self, user_id)

    Models.choose, Models.start = choose, lambda self: None  # type: ignore[method-assign]


def stalling() -> None:
    """Nothing is broken, but a question for five items takes five seconds."""
    import time

    from segue.serving.answers.answers import Answers

    whole_recommend = Answers.recommend

    def recommend(self: Answers, question: Any) -> Any:
        time.sleep(5 if question.k == 5 else 0)
        return whole_recommend(self, question)

    Answers.recommend = recommend  # type: ignore[method-assign]


def stalling_for_ever() -> None:
    """It stalls, and the gate keeps the place of what it has given up."""
    from segue.errors import DeadlinePassed
    from segue.serving.guard.gate import Gate

    def expire(self: Gate, job: Any) -> None:
        job.answer.set_exception(DeadlinePassed(seconds=self.deadline_seconds))

    stalling()
    Gate._expire = expire  # type: ignore[method-assign]


_tasks: set[asyncio.Task[None]] = set()
TWINS: dict[str, Callable[[], None]] = {
    each.__name__: each
    for each in (
        whole,
        acknowledge_before_commit,
        load_in_the_way,
        memory_alone,
        stalling,
        stalling_for_ever,
        unguarded_look_up,
    )
}


if __name__ == "__main__":
    TWINS[sys.argv.pop(1)]()
    from segue.cli.main import run

    run()
