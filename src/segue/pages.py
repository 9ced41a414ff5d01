"""What all pages share: their look, the frame around their parts, and pictures that load nothing from anywhere.

Every text from outside is escaped by whoever puts it on a page; what stands on one is left to the callers.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

COLOURS = ["#3b5bdb", "#adb5bd", "#94d2bd", "#e9c46a", "#f4a261", "#c0b7e8", "#e5989b"]
_STYLE = """
:root { color-scheme: light; --ink: #212529; --soft: #6c757d; --line: #dee2e6; --accent: #3b5bdb; }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); max-width: 1060px; margin: 2rem auto; padding: 0 1rem; }
h1 { margin-bottom: 0 } h2 { margin-top: 2.5rem; border-bottom: 1px solid var(--line); padding-bottom: .3rem }
p.note { background: #fff3bf; border-radius: 6px; padding: .5rem .8rem }
p.lead, td.soft, .soft { color: var(--soft) }
.tiles { display: flex; gap: 1rem; flex-wrap: wrap; margin: 1.5rem 0 }
.tile { border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1.2rem; flex: 1 1 130px }
.tile b { display: block; font-size: 1.7rem; color: var(--accent) }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
th:first-child, td:first-child, table.text td, table.text th { text-align: left }
td.best { font-weight: 700 } mark { background: #d3f9d8; padding: 0 .2em; border-radius: 3px }
div.bar { background: var(--accent); height: .8rem; border-radius: 3px; margin-top: .35rem }
button { font: inherit; color: var(--accent); background: none; border: 1px solid var(--line); border-radius: 6px;
  padding: .1rem .6rem; cursor: pointer }
figure { margin: 0 } figure > div { min-width: 640px } p.save { text-align: right; color: var(--soft); margin-top: 0 }
p.save button { margin-left: .4rem }
.wide { overflow-x: auto } details summary { cursor: pointer; color: var(--soft) }
"""


# The browser itself refuses whatever would leave the page; some pictures of plotly are drawn by code that is evaluated.
_ALONE = "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:"
# A picture is saved by the browser alone, from what is on the page.
_SAVING = """
document.addEventListener("click", event => {
  const button = event.target.closest("button[data-format]");
  if (!button) return;
  const picture = button.parentElement.previousElementSibling.querySelector(".js-plotly-plot");
  Plotly.downloadImage(picture, {format: button.dataset.format, filename: button.dataset.file,
    width: picture.clientWidth, height: picture.clientHeight, scale: 2});
});
"""


def whole(title: str, parts: Sequence[str]) -> str:
    """A self-contained page of HTML parts; plotly travels inside."""
    from plotly.offline import get_plotlyjs

    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f'<meta http-equiv="Content-Security-Policy" content="{_ALONE}">'
        f"<title>Segue: {escape(title)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script><script>{_SAVING}</script></head><body>"
    )
    return head + "\n".join(parts) + "</body></html>"


def drawn(figure: Any, side: int = 50, height: int = 380, file: str | None = None) -> str:
    """A plotly figure as part of a page.

    Args:
        side: pixels left free on its left and right.
        height: pixels.
        file: the name, without an ending, under which buttons beneath it save it as PNG and SVG; None: no buttons.
    """
    top = 50 if file is None else 10  # a title, or a picture without one
    figure.update_layout(template="plotly_white", height=height, margin={"l": side, "r": side, "t": top, "b": 40})
    config = {"displaylogo": False, "responsive": True}
    if file is not None:
        # A finger that scrolls the page must not catch in a picture.
        figure.update_layout(dragmode=False)
        config["displayModeBar"] = False
    picture = str(figure.to_html(full_html=False, include_plotlyjs=False, config=config, div_id=file))
    if file is None:
        return picture
    buttons = "".join(
        f"<button type='button' data-format='{kind.lower()}' data-file='{escape(file)}'>{kind}</button>"
        for kind in ("PNG", "SVG")
    )
    return f"<figure class='wide'>{picture}</figure><p class='save'>Save as {buttons}</p>"


def pairs(values: dict[str, Any]) -> str:
    """Names and values as a table."""
    rows = "".join(
        f"<tr><td>{escape(str(key))}</td><td>{escape(str(value))}</td></tr>" for key, value in values.items()
    )
    return f"<table class='text'>{rows}</table>"
