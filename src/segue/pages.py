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
p.lead, td.soft, .soft { color: var(--soft) }
.tiles { display: flex; gap: 1rem; flex-wrap: wrap; margin: 1.5rem 0 }
.tile { border: 1px solid var(--line); border-radius: 10px; padding: .8rem 1.2rem; min-width: 150px }
.tile b { display: block; font-size: 1.7rem; color: var(--accent) }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .93rem }
th, td { padding: .35rem .6rem; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top }
th:first-child, td:first-child, table.text td, table.text th { text-align: left }
td.best { font-weight: 700 } mark { background: #d3f9d8; padding: 0 .2em; border-radius: 3px }
div.bar { background: var(--accent); height: .8rem; border-radius: 3px; margin-top: .35rem }
.wide { overflow-x: auto } details summary { cursor: pointer; color: var(--soft) }
"""


def whole(title: str, parts: Sequence[str]) -> str:
    """A self-contained page of HTML parts; plotly travels inside."""
    from plotly.offline import get_plotlyjs

    head = (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>Segue: {escape(title)}</title><style>{_STYLE}</style>"
        f"<script>{get_plotlyjs()}</script></head><body>"
    )
    return head + "\n".join(parts) + "</body></html>"


def drawn(figure: Any, side: int = 50) -> str:
    """A plotly figure as part of a page; ``side``: pixels left free on its left and right."""
    figure.update_layout(template="plotly_white", height=380, margin={"l": side, "r": side, "t": 50, "b": 40})
    return str(figure.to_html(full_html=False, include_plotlyjs=False, config={"displaylogo": False}))


def pairs(values: dict[str, Any]) -> str:
    """Names and values as a table."""
    rows = "".join(
        f"<tr><td>{escape(str(key))}</td><td>{escape(str(value))}</td></tr>" for key, value in values.items()
    )
    return f"<table class='text'>{rows}</table>"
