"""The section to try: a user or a history, a moment, filters; the list with reasons; and what is done with it counts.

The buttons of a list send events as a shop would, so the loop can be seen: what was clicked is history in the next
list, which is asked for at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from segue.serving.page import parts
from segue.serving.page.parts import Given, Tag
from segue.serving.page.source import Ask, PageSource, Ranked, Shown

_NEWEST = 30
_MOST, _LONGEST = 100, 50


async def show(source: PageSource, asked: Mapping[str, str]) -> None:
    """Build the section; ``user`` may be given in the address."""
    Tag("h1", "Try")
    parts.soft("Ask for a list as an application would, and do what people do with it: the next list knows.")
    with Tag("div", classes="side three"):
        left, middle, right = Tag("div"), Tag("section", aria_label="List"), Tag("section", aria_label="History")
    trial = _Trial(source, middle, right)
    with middle:
        parts.soft("Choose a user or paste a history, then ask.")
    await ui.context.client.connected()
    actions, categories = await source.run(source.choices)
    with left:
        _form(trial, actions, categories, asked.get("user", ""))
    if asked.get("user"):
        await trial.ask({"user": [asked["user"]], "explain": ["yes"]})


def _form(trial: _Trial, actions: list[str], categories: list[str], user: str) -> None:
    source = trial.source

    async def users(text: str) -> list[tuple[str, str]]:
        return [(each, "") for each in await source.run(lambda: source.users(text, 10))]

    async def items(text: str) -> list[tuple[str, str]]:
        found = await source.run(lambda: source.search(text, 10))
        return [(parts.short(each.title or each.item_id), each.item_id) for each in found]

    with parts.form(trial.ask, aria_label="Question"):
        parts.suggestions(parts.field("User", "user", value=user), "users", users)
        with Tag("details", open=False):
            Tag("summary", "or a history")
            with Tag("div", classes="ask"):
                with Tag("label", "Ids or titles, a line each, oldest first"):
                    Tag("textarea", name="items", id="items", spellcheck="false")
                parts.suggestions(parts.field("Find in the catalogue", "found", id="found"), "found-items", items)
                parts.button("Add to the history", type="button", data_adds="found items")
        with Tag("div", classes="pair"):
            parts.field("Items (k)", "k", "number", value="10", min="1", max=str(_MOST))
            if actions:
                parts.choice("Wanted for", "action", [("", "anything"), *((each, each) for each in actions)])
        parts.field("At (empty: now)", "at", placeholder="2026-01-31 18:00")
        with Tag("label", "Diversity "):
            Tag("span", "0", id="diversity-told")
            Tag("input", name="diversity", type="range", min="0", max="1", step="0.1", value="0",
                data_shows="diversity-told")  # fmt: skip
        with Tag("details"):
            Tag("summary", "Filters")
            with Tag("div", classes="ask"):
                if categories:
                    _categories(categories)
                with Tag("div", classes="pair"):
                    parts.field("Price from", "price_min", "text", inputmode="decimal")
                    parts.field("to", "price_max", "text", inputmode="decimal")
                parts.choice("Stock", "in_stock", [("", "whichever"), ("yes", "in stock"), ("no", "not in stock")])
                with Tag("label", "Never these (ids, a line each)"):
                    Tag("textarea", name="exclude", rows="2", spellcheck="false")
        parts.tick("Say why", "explain", checked=True)
        with Tag("div", classes="row"):
            parts.button("Recommend", classes="main")
            parts.button("Generate a sequence", name="generate", value="yes")


def _categories(names: list[str]) -> None:
    size = str(min(6, len(names)))
    with Tag("label", "Categories (any of; none: all)"), Tag("select", name="categories", multiple=True, size=size):
        for each in names:
            Tag("option", each, value=each)


class _Trial:
    """One browser's question and what came of it."""

    def __init__(self, source: PageSource, middle: Tag, right: Tag) -> None:
        self.source, self.middle, self.right = source, middle, right
        self.given: Given = {}

    async def ask(self, given: Given) -> None:
        """Ask what the form says, and show the answer."""
        self.given = given
        source = self.source
        with parts.filling(self.middle):
            asked = _read(given)
            generate = "generate" in given
            call = (lambda: source.generate(asked, min(asked.k, _LONGEST))) if generate else None
            shown = await source.run(call or (lambda: source.recommend(asked)))
            self._list(asked, shown, generate)
        with parts.filling(self.right):
            past = await source.run(lambda: source.history(_read(given), _NEWEST))
            Tag("h2", "History")
            if not past:
                parts.soft("Nothing is known of this user at that moment: the list is what suits most.")
            with Tag("ul", classes="line", aria_label="Newest first"):
                for each in past:
                    with Tag("li"):
                        Tag("div", each.title, cut="title")
                        Tag("div", " · ".join(filter(None, (each.action, each.moment))), "soft")

    def _list(self, asked: Ask, shown: Shown, generated: bool) -> None:
        Tag("h2", "The next items, one after another" if generated else "List")
        events = f"{shown.history_length:,} event{'' if shown.history_length == 1 else 's'} read"
        with Tag("p", classes="soft", role="status"):
            Tag("span", f"Model {shown.model} · {shown.milliseconds:.1f} ms · {events} · id ")
            Tag("code", shown.recommendation_id)
        if shown.unknown_items:
            Tag("p", f"{shown.unknown_items} of the history are not in the catalogue and were skipped.", "note")
        if not shown.items:
            parts.soft("No item may be listed. Widen the filters, or exclude less.")
        if generated:
            with Tag("ol", classes="chain", aria_label="Sequence"):
                for item in shown.items:
                    Tag("li", item.title, cut="title")
            return
        low, high = _ends(shown.items)
        with Tag("ol", classes="list"):
            for rank, item in enumerate(shown.items, 1):
                with Tag("li"):
                    Tag("span", f"{rank}", "rank")
                    Tag("span", item.title, "title")
                    self._buttons(asked, shown, item)
                    with Tag("div", classes="more"):
                        parts.bar((item.score - low) / (high - low))
                        Tag("span", f"score {item.score:.4g}", "soft")
                        for reason in item.reasons:
                            Tag("div", parts.short(reason, parts.LONGEST_HINT))

    def _buttons(self, asked: Ask, shown: Shown, item: Ranked) -> None:
        if asked.user_id is None:
            Tag("span", classes="acts")
            return
        with Tag("span", classes="acts row"):
            for action in self.source.feedback_actions():
                parts.button(action, self._doing(asked.user_id, shown, item, action),
                             aria_label=f"{action}: {parts.short(item.title)}")  # fmt: skip

    def _doing(self, user_id: str, shown: Shown, item: Ranked, action: str) -> Any:
        async def do() -> None:
            with parts.filling(self.middle, keep=True):
                await self.source.feedback(user_id, item.item_id, action, shown.recommendation_id)
                await self.ask(self.given)
                with self.middle:
                    text = f"{action} on {parts.short(item.title)} is stored, and this list already knows it."
                    told = Tag("p", text, "note",
                               role="status")  # fmt: skip
                    told.move(target_index=0)

        return do


def _ends(items: Any) -> tuple[float, float]:
    """Where bars begin and end: at 0 where all scores are above it."""
    scores = [item.score for item in items] or [0.0]
    low, high = min(0.0, *scores), max(scores)
    return low, high if high > low else low + 1.0


def _read(given: Given) -> Ask:
    def number(name: str, told: str) -> float | None:
        return parts.number(given, name, told)

    stock = {"yes": True, "no": False}.get(parts.one(given, "in_stock") or "")
    items = parts.lines(given, "items")
    return Ask(
        user_id=parts.one(given, "user"),
        items=items or None,
        at=parts.one(given, "at"),
        action=parts.one(given, "action"),
        k=int(min(max(number("k", "Items (k)") or 10, 1), _MOST)),
        categories=[each for each in given.get("categories", ()) if each],
        price_min=number("price_min", "The lowest price"),
        price_max=number("price_max", "The highest price"),
        in_stock=stock,
        exclude=parts.lines(given, "exclude"),
        diversity=min(max(number("diversity", "Diversity") or 0.0, 0.0), 1.0),
        explain="explain" in given,
    )
