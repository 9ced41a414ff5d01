"""The page on the application: its addresses, the frame around its sections, NiceGUI with everything left out that it
does not need.

NiceGUI is one for a process, so of several applications in one (as tests make them) the page belongs to the one that
was made last. Each section is a document of its own, and what it shows is filled in once the browser is there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from nicegui import core, ui

from segue.serving.page import catalogue, health, live, online, patterns, trying
from segue.serving.page.door import Door
from segue.serving.page.look import SCRIPT, STYLE
from segue.serving.page.parts import Tag, button
from segue.serving.page.source import PageSource

PATH = "/ui"
POLICY = "default-src 'none'; frame-ancestors 'none'"
"""Of the files that documents load; a document brings its own, see ``door``."""
SECTIONS: Mapping[str, tuple[str, Callable[[PageSource, Mapping[str, str]], Awaitable[None]]]] = {
    "": ("Try", trying.show),
    "live": ("Live", live.show),
    "online": ("Online", online.show),
    "health": ("Health", health.show),
    "patterns": ("Patterns", patterns.show),
    "catalogue": ("Catalogue", catalogue.show),
}


def mount(app: FastAPI, source: PageSource) -> None:
    """Put the page at ``PATH`` on an application; after its routes, before the guard closes it and before it starts.

    The guard must declare ``PATH`` as open: who may see the page is decided at its own door.
    """
    core.app.middleware_stack = None
    core.app.user_middleware.clear()
    for name, (title, show) in SECTIONS.items():
        ui.page(f"/{name}", title=f"Segue: {title}")(_document(name, show, source))
    core.app.add_middleware(Door, source=source)

    @app.get(PATH, include_in_schema=False)
    async def begin() -> RedirectResponse:
        return RedirectResponse(f"{PATH}/")

    ui.run_with(
        app,
        mount_path=PATH,
        dark=None,
        language="en-US",
        tailwind=False,
        gzip_middleware_factory=None,  # files are kept by the browser; packing them would hold other requests up
        binding_refresh_interval=None,
        show_welcome_message=False,
        message_history_length=100,
        favicon=_ICON,
    )


_ICON = (
    "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'><circle cx='4' cy='8' r='3' fill='#3b5bdb'/>"
    "<path d='M8 8h6M11 5l3 3-3 3' fill='none' stroke='#3b5bdb' stroke-width='2'/></svg>"
)


def _document(name: str, show: Callable[[PageSource, Mapping[str, str]], Awaitable[None]], source: PageSource) -> Any:
    async def document(request: Request) -> None:
        ui.add_head_html(f"<style>{STYLE}</style>")
        ui.add_body_html(f"<script>{SCRIPT}</script>")
        _frame(name, request.scope.get("root_path", ""), source)
        with Tag("div", classes="section", id="content", tabindex="-1"):
            await show(source, dict(request.query_params))

    return document


def _frame(name: str, root: str, source: PageSource) -> None:
    Tag("a", "Skip to the content", "skip", href="#content")
    with Tag("header", classes="top"):
        Tag("b", "Segue")
        with Tag("nav", aria_label="Sections"):
            for other, (title, _) in SECTIONS.items():
                Tag("a", title, href=f"{root}/{other}", aria_current="page" if other == name else None)
        if source.locked():
            with Tag("form", method="post", action=f"{root}/logout"):
                button("Log out")
