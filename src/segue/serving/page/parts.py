"""Small parts that the sections are made of: elements of plain HTML with text in them, fields, tables, bars, errors.

Texts go into the page as text alone, never as HTML, whatever an item is called.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from segue.errors import FieldUnreadable, PageFault, SegueError

Given = Mapping[str, Sequence[str]]
"""What a form holds: names of its fields, and the values that were given."""
_log = logging.getLogger(__name__)


LONGEST_TEXT = 120
"""Characters of a title in a list."""
LONGEST_HINT = 400
"""Characters of a title that are shown where the pointer rests on it."""


def short(text: str, longest: int = LONGEST_TEXT) -> str:
    """A text, cut with an ellipsis where it is longer."""
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


class Tag(TextElement):
    """An HTML element with text.

    Attributes are given as properties: ``aria_label`` becomes ``aria-label``, ``for_`` becomes ``for``; None and False
    leave one out. ``value`` is the value at first, which what a person types is never overwritten with.
    A text of the class ``title``, or with ``cut="title"``, is cut at ``LONGEST_TEXT`` characters.
    """

    def __init__(self, tag: str, text: Any = "", classes: str = "", **attributes: Any) -> None:
        text = str(text)
        if len(text) > LONGEST_TEXT and "title" in (classes, attributes.get("cut")):
            attributes["title"] = short(text, LONGEST_HINT)
            text = short(text)
        attributes.pop("cut", None)
        super().__init__(tag=tag, text=text)
        if classes:
            self.classes(classes)
        for name, value in attributes.items():
            if value is not None and value is not False:
                self._props[_NAMES.get(name, name.rstrip("_").replace("_", "-"))] = "" if value is True else value


_NAMES = {"value": "^value"}


def field(label: str, name: str, kind: str = "text", **attributes: Any) -> Tag:
    """A labelled input."""
    with Tag("label", label):
        return Tag("input", name=name, type=kind, autocomplete="off", **attributes)


def tick(label: str, name: str, value: str = "yes", checked: bool = False) -> None:
    """A labelled box to tick."""
    with Tag("label", classes="tick"):
        Tag("input", name=name, type="checkbox", value=value, checked=checked)
        Tag("span", label)


def choice(label: str, name: str, options: Sequence[tuple[str, str]], chosen: str = "") -> None:
    """A labelled choice of values and their names."""
    with Tag("label", label), Tag("select", name=name):
        for value, told in options:
            Tag("option", told, value=value, selected=value == chosen)


def button(text: str, call: Callable[[], Any] | None = None, classes: str = "", **attributes: Any) -> Tag:
    """A button; without a call it sends its form."""
    made = Tag("button", text, classes, **{"type": "button" if call else "submit", **attributes})
    if call:
        made.on("click", lambda _: call(), ["type"])
    return made


def form(call: Callable[[Given], Awaitable[None]], **attributes: Any) -> Tag:
    """A form that gives its values when it is sent."""
    made = Tag("form", classes="ask", novalidate=True, **attributes)
    made.on("ask", lambda event: call(event.args["detail"]), ["detail"])
    return made


def suggestions(input_: Tag, name: str, find: Callable[[str], Awaitable[Sequence[tuple[str, str]]]]) -> None:
    """Let an input suggest values, with their meanings, for what is typed."""
    input_._props["list"] = name
    input_._props["data-complete"] = ""
    options = Tag("datalist", id=name)

    async def complete(text: str) -> None:
        try:
            found = await find(text)
        except SegueError:  # suggestions are a convenience; the question itself will tell what is wrong
            return
        options.clear()
        with options:
            for value, told in found:
                Tag("option", told, value=value)

    input_.on("complete", lambda event: complete(str(event.args["detail"])[:100]), ["detail"])


def one(given: Given, name: str) -> str | None:
    """A field's text, None where it is empty."""
    text = next(iter(given.get(name, ())), "").strip()
    return text or None


def number(given: Given, name: str, told: str) -> float | None:
    """A field's number, None where it is empty. Raises ``FieldUnreadable``."""
    text = one(given, name)
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        value = float(text)
        if math.isfinite(value):
            return value
    raise unreadable(told, text, "a number, with a point before decimals")


def required(given: Given, name: str, told: str) -> str:
    """A field's text. Raises ``FieldUnreadable`` where it is empty."""
    text = one(given, name)
    if text is None:
        raise unreadable(told, "", "given")
    return text


def unreadable(told: str, value: str, form: str) -> FieldUnreadable:
    """The error of a field that is not as it should be."""
    return FieldUnreadable(name=told, value=value[:60], form=form)


def lines(given: Given, name: str) -> list[str]:
    """The lines of a field that are not empty."""
    return [line.strip() for line in next(iter(given.get(name, ())), "").splitlines() if line.strip()]


def table(columns: Sequence[tuple[str, bool]], rows: Sequence[Sequence[Any]], label: str) -> None:
    """A table of texts; of each column its name, and whether it is of text and not of numbers."""
    with Tag("div", classes="wide", tabindex="0", role="region", aria_label=label), Tag("table"):
        with Tag("thead"), Tag("tr"):
            for name, is_text in columns:
                Tag("th", name, "t" if is_text else "", scope="col")
        with Tag("tbody"):
            for row in rows:
                with Tag("tr"):
                    for (_, is_text), value in zip(columns, row, strict=True):
                        if callable(value):
                            with Tag("td", classes="t" if is_text else ""):
                                value()
                        else:
                            Tag("td", value, "t" if is_text else "")


def facts(pairs: Sequence[tuple[str, Any]]) -> None:
    """Names and values."""
    with Tag("dl", classes="facts"):
        for name, value in pairs:
            Tag("dt", name)
            Tag("dd", value)


def bar(share: float) -> None:
    """A bar of a share of its room; what it shows stands beside it in words."""
    with Tag("div", classes="bar", aria_hidden="true"):
        Tag("i").style(f"width: {100 * min(max(share, 0.0), 1.0):.1f}%")


def soft(text: str) -> None:
    """An explanation, or what to do where there is nothing."""
    Tag("p", text, "soft")


@contextlib.contextmanager
def filling(box: Tag, keep: bool = False) -> Iterator[None]:
    """Put parts in a box, in place of what was there; an error is told in it, with its code and remedy.

    Args:
        keep: leave what was there, and add to it.
    """
    if not keep:
        box.clear()
    try:
        with box:
            yield
    except SegueError as error:
        _tell(box, error)
    except Exception:  # noqa: BLE001 - the page must not fall silent; what it was is for the log
        _log.exception("the page could not be filled")
        _tell(box, PageFault())


def _tell(box: Tag, error: SegueError) -> None:
    if box.is_deleted:
        return
    with box, Tag("div", classes="error", role="alert"):
        Tag("b", f"{error.code} ", "bad")
        Tag("span", f"{error.message} {error.advice}")


def every(seconds: float, call: Callable[[], Awaitable[None]]) -> None:
    """Call now and then while the browser is there; ends with it."""
    ui.timer(max(seconds, 1.0), call)
