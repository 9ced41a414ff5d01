"""The section that shows events as they come: newest first, never more than fit, and it can be paused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nicegui import ui

from segue.serving.page import parts
from segue.serving.page.parts import Tag
from segue.serving.page.source import Feed, Happened, PageSource

_SECONDS = 1.0
_ROWS, _AT_ONCE = 60, 20


async def show(source: PageSource, asked: Mapping[str, str]) -> None:
    """Build the section."""
    Tag("h1", "Live")
    rate = Tag("p", classes="soft")
    with Tag("svg", classes="plot", viewBox="0 0 60 20", preserveAspectRatio="none", role="img",
             aria_label="Events in each of the last 60 seconds"):  # fmt: skip
        plot = Tag("path", d="")
    paused = False

    def pause() -> None:
        nonlocal paused
        paused = not paused
        button.set_text("Go on" if paused else "Pause")
        button.props(f"aria-pressed={'true' if paused else 'false'}")

    with Tag("p", classes="row"):
        button = parts.button("Pause", pause, aria_pressed="false")
        more = Tag("span", classes="soft")
    nothing = Tag("div")
    with nothing:
        parts.soft("No event came yet. Send one to /v1/events, or click on an item in the section Try.")
    with Tag("div", classes="wide", tabindex="0", role="region", aria_label="Events"), Tag("table"):
        with Tag("thead"), Tag("tr"):
            for name in ("when", "user", "did", "item", "list"):
                Tag("th", name, "t", scope="col")
        rows = Tag("tbody")
    fault = Tag("div")
    shown: list[Tag] = []
    seq = 0

    def fill(feed: Feed) -> None:
        nonlocal seq
        rate.set_text(
            f"{sum(feed.per_second):,} events in the last minute, {feed.per_second[-1]:,} in the last second."
        )
        plot.props["d"] = _path(feed.per_second)
        if paused:
            return
        seq = feed.seq
        if feed.left_out:
            more.set_text(f"{feed.left_out:,} more came at once and are not shown.")
        for event in feed.events:
            with rows:
                row = _row(event)
            row.move(rows, 0)
            shown.append(row)
        for row in shown[:-_ROWS]:
            row.delete()
        del shown[:-_ROWS]
        if shown:
            nothing.clear()

    async def refresh() -> None:
        try:
            feed = await source.look(lambda: source.feed(seq, _AT_ONCE))
        except Exception as error:
            with parts.filling(fault):
                raise error
        else:
            fault.clear()
            fill(feed)

    await ui.context.client.connected()
    parts.every(_SECONDS, refresh)


def _row(event: Happened) -> Tag:
    with Tag("tr") as row:
        for value in (event.moment, event.user_id, event.action or "", event.title):
            Tag("td", value, "t", cut="title")
        with Tag("td", classes="t"):
            Tag("code", (event.recommendation_id or "")[:8])
    return row


def _path(counts: Sequence[int]) -> str:
    """Bars of a minute in a room of 60 by 20."""
    most = max(max(counts), 1)
    return "".join(f"M{at} 20v{-19 * n / most:.2f}h.8V20z" for at, n in enumerate(counts) if n)
