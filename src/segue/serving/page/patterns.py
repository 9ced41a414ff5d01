"""The section of what people do after what: common paths, what comes directly next, and when in the week.

Counting takes seconds over large stores, so it is done on a button, in a thread, and keeps what it found for everybody
until it is asked for anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from nicegui import ui

from segue.serving.page import parts
from segue.serving.page.parts import Tag
from segue.serving.page.source import PageSource, Patterns

_PATHS = 30
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass
class _Work:
    """One count at a time, whoever asked for it."""

    found: Patterns | None = None
    task: asyncio.Task[Patterns] | None = None
    done: float = 0.0
    what: str = ""

    def step(self, share: float, what: str) -> None:
        """Note how far it is; from the thread."""
        self.done, self.what = share, what

    async def count(self, source: PageSource) -> Patterns:
        """Count in a thread of its own: it would hold a place of the gate for long, and outlast its deadline."""
        self.done, self.what = 0.0, "Reading events"
        with ThreadPoolExecutor(1, "patterns") as threads:
            self.found = await asyncio.get_running_loop().run_in_executor(threads, source.patterns, self.step)
        return self.found


_works: dict[int, _Work] = {}


async def show(source: PageSource, asked: Mapping[str, str]) -> None:
    """Build the section."""
    Tag("h1", "Patterns")
    parts.soft("What people do after what, counted over the newest events of the store and the model's own log.")
    work = _works.setdefault(id(source), _Work())
    with Tag("p", classes="row"):
        start = parts.button("Count now", lambda: count(), "main")
    bar = Tag("progress", max="1", aria_label="Progress")
    told = Tag("p", classes="soft", role="status")
    bar.set_visibility(False)
    box = Tag("div")

    async def count() -> None:
        if work.task is None or work.task.done():
            work.task = asyncio.create_task(work.count(source))
        await follow()

    async def follow() -> None:
        task = work.task
        assert task is not None
        start.props["disabled"] = True
        bar.set_visibility(True)
        while not task.done() and not box.is_deleted:
            bar.props["value"] = f"{work.done:.3f}"
            told.set_text(work.what)
            await asyncio.wait([task], timeout=1.0)
        if box.is_deleted:
            return
        bar.set_visibility(False)
        told.set_text("")
        del start.props["disabled"]
        with parts.filling(box):
            _fill(await task)

    await ui.context.client.connected()
    if work.task is not None and not work.task.done():
        await follow()
    elif work.found is not None:
        with parts.filling(box):
            _fill(work.found)
    else:
        with box:
            parts.soft("Nothing was counted since the start. It takes seconds; the service goes on answering.")


def _fill(found: Patterns) -> None:
    Tag("p", found.about, "soft")
    Tag("h2", "Common paths")
    if found.paths:
        most = max(users for _, users, _ in found.paths)
        with Tag("ol", classes="list"):
            for rank, (path, users, share) in enumerate(found.paths[:_PATHS], 1):
                with Tag("li"):
                    Tag("span", f"{rank}", "rank")
                    Tag("span", " → ".join(path))
                    Tag("span", f"{users:,} users, {share:.1%}", "soft acts")
                    with Tag("div", classes="more"):
                        parts.bar(users / most)
    else:
        parts.soft("Nothing follows upon anything for enough users yet. More events will tell.")
    if found.names:
        Tag("h2", "What comes directly next")
        parts.soft("Of the users who have what stands on the left, how many took what stands above directly after it.")
        most_share = max((share for row in found.shares for share in row), default=0.0) or 1.0
        columns = [("", True), *((name, True) for name in found.names)]
        rows = [[name, *(_heat(share, most_share) for share in row)]
                for name, row in zip(found.names, found.shares, strict=True)]  # fmt: skip
        parts.table(columns, rows, "What comes directly next")
    if found.week:
        _week(found.week)


def _week(week: Sequence[Sequence[int]]) -> None:
    Tag("h2", "When in the week (UTC)")
    most = max(max(row) for row in week) or 1
    columns = [("", True), *((f"{hour:02}", False) for hour in range(24))]
    rows = [[day, *(_shaded(count, most) for count in row)] for day, row in zip(_DAYS, week, strict=True)]
    parts.table(columns, rows, "Hours and weekdays")


def _shaded(count: int, most: int) -> Callable[[], None]:
    return _cell(f"{count}" if count else "", count / most)


def _heat(share: float, most: float) -> Callable[[], None]:
    return _cell(f"{share:.0%}" if share else "", share / most)


def _cell(text: str, depth: float) -> Callable[[], None]:
    """A cell as deep in colour as it counts, and no deeper than text stays readable on."""

    def made() -> None:
        Tag("div", text, "cell").style(f"background: color-mix(in srgb, var(--accent) {40 * depth:.0f}%, transparent)")

    return made
