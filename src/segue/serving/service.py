"""The parts of the service, joined; started and stopped as one.

Each part is a room with its own idea; this module only puts them together, in the order in which they need each other,
and takes them apart again in the opposite one. HTTP is ``app``'s, the process is ``run``'s.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from segue.serving.settings import ServiceConfig


@dataclass
class Service:
    """What routes, page and metrics read.

    Attributes:
        settings: all settings.
        store: what happened and what was shown; durable.
        writer: commits events of many requests together.
        follower: tells the parts what is new in the store, from whichever replica.
        state: what is known of a user now.
        models: which models answer.
        answers: questions to ranked lists.
        gate: how many work at once, who waits, and for how long.
        changes: the same for what changes the store or artefacts at an admin's word.
        keys: who may ask for what.
        admission: which requests are refused before they are read.
        watch: metrics, rates, drift, alerts.
        online: what is learnt between updates; None where it is off.
        steering: what operators do to online mode; None where it is off.
        schedule: updates by the clock; None where there is none.
        pruner: removes lists that were served long ago.
        draining: whether the process has been told to end.
    """

    settings: ServiceConfig
    store: Any = None
    writer: Any = None
    follower: Any = None
    state: Any = None
    models: Any = None
    answers: Any = None
    gate: Any = None
    changes: Any = None
    keys: Any = None
    admission: Any = None
    watch: Any = None
    online: Any = None
    steering: Any = None
    schedule: Any = None
    pruner: Any = None
    draining: bool = False
    _stops: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self) -> None:
        """Start every part that runs by itself; parts that were started are stopped when one fails."""
        with contextlib.ExitStack() as stops:
            for part, start, stop in self._running():
                if part is not None:
                    start(part)
                    stops.callback(stop, part)
            self._stops = stops.pop_all()

    def stop(self) -> None:
        """Stop the parts in the opposite order; a part that fails does not keep the others from it."""
        self._stops.close()

    def _running(self) -> list[tuple[Any, Callable[[Any], None], Callable[[Any], None]]]:
        def start(part: Any) -> None:
            part.start()

        def stop(part: Any) -> None:
            part.stop()

        def close(part: Any) -> None:
            part.close()

        def nothing(part: Any) -> None:
            pass

        return [
            (self.store, nothing, close),
            (self.writer, nothing, close),
            (self.models, start, stop),
            (self.follower, start, stop),
            (self.answers, start, stop),
            (self.gate, nothing, close),
            (self.changes, nothing, close),
            (self.keys, start, stop),
            (self.watch, lambda part: part.start(self), stop),
            (self.online, start, stop),
            (self.schedule, start, stop),
            (self.pruner, start, stop),
        ]
