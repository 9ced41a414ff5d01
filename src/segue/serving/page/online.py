"""The section of what became of lists: rates with intervals by model, place and hour, and two models in a sentence.

Intervals are Wilson's score intervals at 95% (Wilson 1927), which hold for few impressions too; two rates are compared
by the difference with its interval (Newcombe 1998, method 10), which takes impressions as independent. The counts are
the source's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from nicegui import ui

from segue.serving.page import parts
from segue.serving.page.parts import Tag
from segue.serving.page.source import Counted, PageSource

_SECONDS = 5.0
_Z = 1.959963984540054
_PLACES, _HOURS = 20, 48
_FEW = 100  # impressions of a model below which two are not compared


async def show(source: PageSource, asked: Mapping[str, str]) -> None:
    """Build the section."""
    Tag("h1", "Online")
    parts.soft("What became of the lists that were shown: events that name a list's id close the loop.")
    box = Tag("div")
    seen: list[Sequence[Counted]] = []

    async def refresh() -> None:
        try:
            counted = await source.run(source.rates)
        except Exception as error:  # noqa: BLE001 - told in the page
            seen.clear()
            with parts.filling(box):
                raise error
            return
        if seen != [counted]:
            seen[:] = [counted]
            with parts.filling(box):
                _fill(counted)

    await ui.context.client.connected()
    parts.every(_SECONDS, refresh)


def _fill(counted: Sequence[Counted]) -> None:
    if not sum(row.impressions for row in counted):
        parts.soft("No impression came yet. Send events of the action \"impression\" with the recommendation_id of the "
                   "list, and of \"click\" when something in it is taken.")  # fmt: skip
        return
    models = _summed(counted, lambda row: row.model)
    Tag("p", compared(models), "note", role="status")
    Tag("h2", "By model")
    _table("model", models)
    Tag("h2", "By place in the list")
    _table("place", _summed([r for r in counted if r.position is not None], lambda row: row.position)[:_PLACES])
    Tag("h2", "By hour (UTC)")
    _table("hour", _summed([r for r in counted if r.hour is not None], lambda row: row.hour)[-_HOURS:])


def wilson(hits: int, tries: int) -> tuple[float, float]:
    """The 95% interval of a rate; (0, 1) where nothing was tried."""
    if tries <= 0:
        return 0.0, 1.0
    rate, z2 = min(hits / tries, 1.0), _Z * _Z
    centre = (rate + z2 / (2 * tries)) / (1 + z2 / tries)
    half = _Z / (1 + z2 / tries) * math.sqrt(rate * (1 - rate) / tries + z2 / (4 * tries * tries))
    return max(0.0, centre - half), min(1.0, centre + half)


def compared(models: Sequence[Counted]) -> str:
    """The two models with most impressions in one sentence."""
    if len(models) < 2:
        return f"One model answers: {models[0].model}. Two at once are compared here." if models else ""
    first, second = sorted(models, key=lambda row: -row.impressions)[:2]
    if min(first.impressions, second.impressions) < _FEW:
        return f"{first.model} and {second.model}: too few impressions to compare them; {_FEW} of each are needed."
    rates = [min(row.clicks / row.impressions, 1.0) for row in (first, second)]
    if rates[1] > rates[0]:
        first, second, rates = second, first, rates[::-1]
    (low1, high1), (low2, high2) = (wilson(row.clicks, row.impressions) for row in (first, second))
    gap = rates[0] - rates[1]
    low = gap - math.hypot(rates[0] - low1, high2 - rates[1])
    high = gap + math.hypot(high1 - rates[0], rates[1] - low2)
    told = (f"{first.model} is clicked in {rates[0]:.2%} of its impressions, {second.model} in {rates[1]:.2%}: "
            f"a difference of {100 * gap:.2f} points (95% interval {100 * low:.2f} to {100 * high:.2f})")  # fmt: skip
    return f"{told}. {'That is more than chance.' if low > 0 else 'That may be chance.'}"


def _summed(counted: Sequence[Counted], key: Callable[[Counted], object]) -> list[Counted]:
    """Counts of the rows of one key together, in the keys' order."""
    sums: dict[object, list[int]] = {}
    for row in counted:
        each = sums.setdefault(key(row), [0, 0, 0])
        for at, n in enumerate((row.impressions, row.clicks, row.conversions)):
            each[at] += n
    return [Counted(str(name), None, None, *sums[name]) for name in sorted(sums, key=lambda name: (str(type(name)), name))]  # type: ignore[type-var,operator]


def _table(what: str, rows: Sequence[Counted]) -> None:
    if not rows:
        parts.soft(f"Nothing is known by {what} yet.")
        return
    columns = [(what, True), ("impressions", False), ("clicks", False), ("rate", False), ("95% interval", False),
               ("conversions", False), ("rate", False)]  # fmt: skip
    made = []
    for row in rows:
        low, high = wilson(row.clicks, row.impressions)
        made.append(
            [row.model, f"{row.impressions:,}", f"{row.clicks:,}", _share(row.clicks, row.impressions),
             f"{low:.1%} to {high:.1%}", f"{row.conversions:,}", _share(row.conversions, row.impressions)]
        )  # fmt: skip
    parts.table(columns, made, f"Rates by {what}")


def _share(hits: int, tries: int) -> str:
    return f"{hits / tries:.1%}" if tries else "–"
