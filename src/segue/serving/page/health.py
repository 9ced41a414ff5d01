"""The section of health: ready or not, the figures that matter, models with their switches, and alerts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from segue.serving.page import parts
from segue.serving.page.parts import Tag
from segue.serving.page.source import Health, Model, PageSource

_SECONDS = 5.0


async def show(source: PageSource, asked: Mapping[str, str]) -> None:
    """Build the section."""
    Tag("h1", "Health")
    said = Tag("div", role="status")
    figures, models, alerts, rest = Tag("div"), Tag("div"), Tag("div"), Tag("div")
    seen: dict[str, Any] = {}

    async def refresh() -> None:
        try:
            health = await source.look(source.health)
        except Exception as error:
            with parts.filling(figures):
                raise error
            return
        # What did not change stays, so that neither focus nor a reader's place is lost.
        for box, fill, value in (
            (figures, _figures, (health.ready, health.why, health.tiles)),
            (models, None, (health.models, health.can_roll_back)),
            (alerts, _alerts, (health.alerts, health.past_alerts)),
            (rest, _rest, health.groups),
        ):
            if seen.get(str(box.id)) == repr(value):
                continue
            seen[str(box.id)] = repr(value)
            with parts.filling(box):
                if fill is None:
                    _models(health, act)
                else:
                    fill(health)

    async def act(call: Any, told: str) -> None:
        with parts.filling(said):
            await source.look(call)
            Tag("p", told, "note")
        await refresh()

    def _models(health: Health, act: Any) -> None:
        Tag("h2", "Models")
        if not health.models:
            parts.soft("No model is registered. Start the service with an artefact: segue serve DIR")
            return
        columns = [("name", True), ("role", True), ("weight", False), ("since", True), ("", True), ("", True)]
        rows = [[m.name, m.role, f"{m.weight:g}", m.created, m.note, _switch(m, act)] for m in health.models]
        parts.table(columns, rows, "Models")
        with Tag("p", classes="row"):
            parts.button("Roll back", lambda: act(source.roll_back, "The model before answers again."),
                         disabled=not health.can_roll_back,
                         data_confirm="Undo the newest activation? The model before it answers again.")  # fmt: skip

    def _switch(model: Model, act: Any) -> Any:
        def made() -> None:
            if model.role != "active":
                parts.button("Activate", lambda: act(lambda: source.activate(model.name), f"{model.name} answers now."),
                             aria_label=f"Activate {model.name}",
                             data_confirm=f"Let {model.name} answer everybody?")  # fmt: skip

        return made

    await ui.context.client.connected()
    parts.every(_SECONDS, refresh)


def _figures(health: Health) -> None:
    with Tag("p"):
        Tag("span", "Ready" if health.ready else "Not ready", "chip good" if health.ready else "chip bad")
        Tag("span", f" {health.why}")
    with Tag("div", classes="tiles"):
        for name, value, meaning in health.tiles:
            with Tag("div", name, classes="tile"):
                Tag("b", value)
                Tag("span", meaning, "soft")


def _alerts(health: Health) -> None:
    Tag("h2", "Alerts")
    if not health.alerts:
        parts.soft("None is on.")
    for alert in health.alerts:
        with Tag("div", classes="error", role="alert"):
            Tag("b", f"{alert.name} ", "bad")
            Tag("span", f"since {alert.at}. {alert.detail}")
    if health.past_alerts:
        with Tag("details"):
            Tag("summary", f"Past changes ({len(health.past_alerts)})")
            columns = [("when", True), ("alert", True), ("", True), ("detail", True)]
            parts.table(columns, [[a.at, a.name, a.state, a.detail] for a in health.past_alerts], "Past alerts")


def _rest(health: Health) -> None:
    for title, pairs in health.groups.items():
        Tag("h2", title)
        parts.facts(pairs)
