"""Updates by the clock, or by what has come in: ``segue update`` as a process of its own, one at a time.

Learning needs libraries and cores that answering does not, so it happens in another process, which may die without
harm. All replicas of a service may have a schedule: the lease in the store lets one of them work, and what came of it
tells the others when the next is due. What an update does is ``update``'s.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib.util
import logging
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field
from sqlalchemy import make_url

from segue import artefacts
from segue.config import Config
from segue.errors import ExtraMissing, SegueError
from segue.recommenders.store import recommender_class
from segue.serving.learning.update import EventStore
from segue.serving.models.lease import Lease
from segue.serving.models.models import Alarm
from segue.serving.models.registry import Registry, root_of
from segue.serving.store.rows import ModelRow

FAILED = "update_failed"
_log = logging.getLogger(__name__)


class ScheduleConfig(Config):
    """When models are updated; with neither hours nor events, never."""

    hours: float | None = Field(None, gt=0)
    """An update is due so many hours after the one before."""
    events: int | None = Field(None, ge=1)
    """An update is due when so many new events are in the store."""
    keep: int = Field(3, ge=1)
    """Models that updates made and that are kept, of each line."""
    users: int = Field(100, ge=2)
    """New models are judged by at least so many people."""
    tolerance: float = Field(0.05, ge=0)
    """Share of a mean that may be lost."""
    learning: dict[str, Any] = Field(default_factory=dict)
    """How a model learns on, such as ``forgetting = "ewc"``."""
    retry_minutes: float = Field(15.0, gt=0)
    """After one that failed, or made nothing, the next is tried no earlier."""
    poll_seconds: float = Field(5.0, gt=0)
    """How often it is seen whether one is due."""

    @property
    def on(self) -> bool:
        """Whether there is anything to wait for."""
        return self.hours is not None or self.events is not None


@dataclass(frozen=True)
class ScheduleState:
    """What the page shows.

    Attributes:
        running: the directory whose line is being updated by this process now.
        elsewhere: whether another process is at work on an update.
        last: what came of the one before, on whichever replica: ``state``, ``name``, ``why``, ``seq``, ``finished``.
        next: when one is due by the clock; None where only events count.
        waiting: new events since the one before.
        failed: why the last one of this process failed; None where it did not.
        tail: the newest lines that updates of this process have printed.
    """

    running: str | None
    elsewhere: bool
    last: dict[str, Any] | None
    next: dt.datetime | None
    waiting: int
    failed: str | None
    tail: tuple[str, ...] = field(default=())


class Schedule:
    """A thread that starts updates.

    Args:
        store: what is learnt from.
        url: its address; a password in it goes to the update by its environment, and into no log.
        config: when, and how.
        alarm: told ``update_failed``, and when that is over.
        command: what is run; the directory and options of ``segue update`` are put behind it.
        shown: actions that say that an item was shown, not taken.
    """

    def __init__(
        self,
        store: EventStore,
        url: str,
        config: ScheduleConfig,
        alarm: Alarm | None = None,
        command: Sequence[str] = (sys.executable, "-m", "segue", "update"),
        shown: Collection[str] = ("impression",),
    ) -> None:
        self.config = config
        self._shown = tuple(shown) or ("",)  # with none of its own, an update would take the usual
        self._store, self._url, self._command = store, url, tuple(command)
        self._alarm: Alarm = alarm or (lambda name, detail: None)
        self._hide = _hider(url)
        self._tail: deque[str] = deque(maxlen=100)
        self._process: subprocess.Popen[str] | None = None
        self._running: str | None = None
        self._failed: str | None = None
        self._not_before = 0.0
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch the clock and the store."""
        self._ended.clear()
        if missing := self._missing():
            self._tell(missing)
        self._thread = threading.Thread(target=self._watch, name="schedule", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; an update that is at work is told to end, and leaves everything as it was."""
        self._ended.set()
        if (process := self._process) is not None:
            _end(process)
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def state(self) -> ScheduleState:
        """See :class:`ScheduleState`."""
        rows, told = self._answering(), Lease(self._store).state()
        begun, seq = _since(rows, told.get("last"))
        hours = self.config.hours
        return ScheduleState(
            self._running,
            self._running is None and time.time() * 1e6 < int(told.get("until", 0)),
            told.get("last"),
            None if hours is None else dt.datetime.fromtimestamp(begun + hours * 3_600, dt.UTC),
            max(0, self._store.last_seq() - seq),
            self._failed,
            tuple(self._tail),
        )

    def due(self) -> bool:
        """Whether an update should begin now, and none is at work."""
        told = Lease(self._store).state()
        if time.monotonic() < self._not_before or time.time() * 1e6 < int(told.get("until", 0)):
            return False
        begun, seq = _since(self._answering(), told.get("last"))
        hours, events = self.config.hours, self.config.events
        by_clock = hours is not None and time.time() >= begun + hours * 3_600
        return by_clock or (events is not None and self._store.last_seq() - seq >= events)

    def _watch(self) -> None:
        while not self._ended.wait(self.config.poll_seconds):
            try:
                if self.due():
                    for root in dict.fromkeys(map(root_of, self._answering())):
                        self._run(root)
            except SegueError as error:  # the store is away: it is asked again
                _log.warning("the schedule could not see whether an update is due: %s", error)
            except Exception:  # noqa: BLE001 - a schedule that ends would do so unseen
                _log.exception("the schedule failed")
                self._tell("see the log of the service")

    def _run(self, root: str) -> None:
        """One update; its output goes to the log, and its failure to the alerts."""
        if self._ended.is_set():
            return
        config = self.config
        options = ["--keep", str(config.keep), "--users", str(config.users), "--tolerance", str(config.tolerance)]
        for name in self._shown:
            options += ["--impression", name]
        for name, value in config.learning.items():
            options += ["--set", f"{name}={value}"]
        environment = {**os.environ, "SEGUE_STORE": self._url, "SEGUE_PROGRESS": "0", "PYTHONUNBUFFERED": "1"}
        self._running, lines = root, deque[str](maxlen=20)
        try:
            with subprocess.Popen(
                [*self._command, root, "--quiet", *options],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as self._process:
                with contextlib.suppress(AttributeError, OSError):  # answering comes first
                    os.setpriority(os.PRIO_PROCESS, self._process.pid, 10)
                if self._ended.is_set():  # told to end before there was anything to end
                    _end(self._process)
                for line in self._process.stdout or ():
                    if text := self._hide(line.rstrip()):
                        lines.append(text)
                        self._tail.append(text)
                        _log.info("update: %s", text)
            self._judge(self._process.returncode, list(lines))
        except OSError as error:
            self._tell(f"it could not be started: {error}")
        finally:
            self._process = self._running = None

    def _judge(self, code: int, lines: list[str]) -> None:
        if code == 0 or any("V066" in line for line in lines) or self._ended.is_set():
            # Another one at work is no failure; how often nothing comes of it is limited as well.
            last = Lease(self._store).state().get("last") or {}
            if code or last.get("state") in ("kept", "nothing"):
                self._not_before = time.monotonic() + self.config.retry_minutes * 60
            if code == 0:
                self._failed = None
                self._alarm(FAILED, None)
            return
        said = next((n for n, line in enumerate(lines) if line.startswith("error ")), max(0, len(lines) - 3))
        self._tell(f"exit code {code}: {' '.join(lines[said:])[:500]}")

    def _tell(self, why: str) -> None:
        self._failed = why
        self._not_before = time.monotonic() + self.config.retry_minutes * 60
        _log.error("update failed: %s", why)
        self._alarm(FAILED, why)

    def _answering(self) -> list[ModelRow]:
        return [row for row in Registry(self._store).rows() if row.role == "active"]

    def _missing(self) -> str | None:
        """What the models need to learn and is not installed here, by name."""
        if importlib.util.find_spec("torch") is not None:
            return None
        try:
            for row in self._answering():
                found = artefacts.read(row.source).manifest["class"]
                recommender_class(found)
        except ExtraMissing as error:
            package = error.values["package"]
            return f"{row.name} ({found}) learns with {package}, which is not installed: pip install segue[train]"
        except SegueError as error:
            return str(error)
        return None


def _since(rows: list[ModelRow], last: dict[str, Any] | None) -> tuple[float, int]:
    """When the last update ended (seconds since 1970) and what it had read; else when the models came."""
    begun = max((row.created for row in rows), default=0)
    seq = min((row.learnt_to_seq for row in rows), default=0)
    if last:
        begun, seq = max(begun, int(last.get("finished", 0))), max(seq, int(last.get("seq", 0)))
    return begun / 1e6, seq


def _hider(url: str) -> Callable[[str], str]:
    """Takes the password of an address, and the address, out of a line."""
    password = make_url(url).password
    if not password:
        return lambda line: line
    return lambda line: line.replace(url, "***").replace(str(password), "***")


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
        return
    process.kill()
