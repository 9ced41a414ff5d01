"""The section of what became of lists: rates with intervals by model, place and hour, and two models in a sentence.

Counts are the source's, intervals ``watching.proportions``'; they take impressions as independent of each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from nicegui import ui

from segue.serving.page import parts
from segue.serving.page.parts import Tag
from segue.serving.page.source import Counted, PageSource
from segue.serving.watching.proportions import difference, wilson

_SECONDS = 5.0
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
            counted = await source.look(source.rates)
        except Exception as error:
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


def compared(models: Sequence[Counted]) -> str:
    """The two models with most impressions in one sentence."""
    if len(models) < 2:
        return f"One model answers: {models[0].model}. Two at once are compared here." if models else ""
    first, second = sorted(models, key=lambda row: -row.impressions)[:2]
    if min(first.impressions, second.impressions) < _FEW:
        return f"{first.model} and {second.model}: too few impressions to compare them; {_FEW} of each are needed."
    if first.clicks / first.impressions > second.clicks / second.impressions:
        first, second = second, first
    found = difference((first.clicks, second.clicks), (first.impressions, second.impressions))
    assert found is not None
    chance = "That is more than chance." if found.low > 0 else "That may be chance."
    return (
        f"{second.model} is clicked in {found.second:.2%} of its impressions, {first.model} in {found.first:.2%}: a "
        f"difference of {100 * found.value:.2f} points (95% interval {100 * found.low:.2f} to {100 * found.high:.2f}). "
        f"{chance}"
    )


def _summed(counted: Sequence[Counted], key: Callable[[Counted], object]) -> list[Counted]:
    """Counts of the rows of one key together, in the keys' order."""
    sums: dict[object, list[int]] = {}
    for row in counted:
        each = sums.setdefault(key(row), [0, 0, 0])
        for at, n in enumerate((row.impressions, row.clicks, row.conversions)):
            each[at] += n
    return [Counted(str(name), None, None, *sums[name]) for name in sorted(sums, key=_order)]


def _order(name: object) -> tuple[int, str]:
    return (name, "") if isinstance(name, int) else (0, str(name))


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
