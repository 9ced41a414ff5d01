"""The section of the catalogue: search, one item with what is like it, and a form that adds or changes one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from nicegui import ui

from segue.serving.page import parts
from segue.serving.page.parts import Given, Tag
from segue.serving.page.source import Item, PageSource

_FOUND, _ALIKE = 30, 8


async def show(source: PageSource, asked: Mapping[str, str]) -> None:
    """Build the section; ``item`` and ``text`` may be given in the address."""
    Tag("h1", "Catalogue")
    with Tag("div", classes="side"):
        left, right = Tag("div"), Tag("section", aria_label="Item")
    with left:
        found = Tag("div", role="region", aria_label="Found", aria_live="polite")

    async def search(given: Given) -> None:
        with parts.filling(found):
            text = parts.one(given, "text") or ""
            items = await source.run(lambda: source.search(text, _FOUND))
            if not items:
                parts.soft("Nothing has this in its id or title. Try fewer letters.")
            with Tag("ul", classes="plain"):
                for each in items:
                    with Tag("li"):
                        Tag("a", each.title or each.item_id, cut="title", href=f"?item={quote(each.item_id, safe='')}")
                        Tag("div", each.item_id, "soft")

    async def put(given: Given) -> None:
        with parts.filling(right):
            row = _row(given)
            await source.run(lambda: source.put_item(row))
            Tag("p", f"{row['item_id']} is stored; it is in lists and in this search within a second.", "note",
                role="status")  # fmt: skip
            _form(put, Item(str(row["item_id"]), str(row.get("title", "")), row))

    with left:
        with parts.form(search, role="search"):
            parts.field("Search", "text", "search", value=asked.get("text"))
            with Tag("div", classes="row"):
                parts.button("Search", classes="main")
                parts.button("New item", lambda: _new(right, put))
        found.move(left)
    await ui.context.client.connected()
    await search({"text": [asked.get("text", "")]})
    with parts.filling(right):
        if "item" in asked:
            await _item(source, asked["item"][:500], put)
        else:
            parts.soft("Choose an item on the left, or add one.")


def _new(right: Tag, put: Any) -> None:
    with parts.filling(right):
        _form(put, None)


async def _item(source: PageSource, item_id: str, put: Any) -> None:
    item = await source.run(lambda: source.item(item_id))
    if item is None:
        parts.soft(f"The catalogue has no item {item_id[:80]!r}. Search for it on the left, or add it.")
        return
    Tag("h2", item.title or item.item_id, cut="title")
    parts.facts(
        [("id", item.item_id), *((name, _told(value)) for name, value in item.attributes.items() if name != "title")]
    )
    Tag("h2", "Similar items")
    box = Tag("div")
    with parts.filling(box):
        alike = await source.run(lambda: source.similar(item_id, _ALIKE))
        if not alike:
            parts.soft("The model has nothing to compare this item by yet.")
        with Tag("ol", classes="list"):
            for rank, each in enumerate(alike, 1):
                with Tag("li"):
                    Tag("span", f"{rank}", "rank")
                    Tag("a", each.title, "title", href=f"?item={quote(each.item_id, safe='')}")
                    Tag("span", f"{each.score:.3g}", "soft")
    with Tag("details"):
        Tag("summary", "Change this item")
        _form(put, item)


def _form(put: Any, item: Item | None) -> None:
    Tag("h2", "Change an item" if item else "New item")
    known = {} if item is None else item.attributes
    with parts.form(put, aria_label="Row"):
        parts.field("Id", "item_id", value=item.item_id if item else None, readonly=item is not None)
        parts.field("Title", "title", value=item.title if item else None)
        with Tag("label", "Other columns, a line each: name = value"):
            others = {name: value for name, value in known.items() if name not in ("item_id", "title")}
            text = "\n".join(f"{name} = {_told(value)}" for name, value in others.items() if value is not None)
            Tag("textarea", text, name="columns", spellcheck="false", placeholder="categories = drama, crime")
        with Tag("div", classes="row"):
            parts.button("Store", classes="main")


def _told(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return "" if value is None else str(value)


def _row(given: Given) -> dict[str, Any]:
    """A row as texts; what is in it is read by who takes it. Raises ``FieldUnreadable``."""
    row: dict[str, Any] = {"item_id": parts.required(given, "item_id", "The id")}
    title = parts.one(given, "title")
    if title is not None:
        row["title"] = title
    for line in parts.lines(given, "columns"):
        name, equals, value = line.partition("=")
        if not equals or not name.strip():
            raise parts.unreadable("A column", line, "written as name = value")
        row[name.strip()] = value.strip()
    return row
