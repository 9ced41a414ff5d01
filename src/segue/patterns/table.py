"""A table on a page that sorts, filters and shows more rows as asked, with no help from anywhere.

Rows travel as JSON and become text nodes, never HTML, so that no title can act. What the columns mean is told by the
caller.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from html import escape
from typing import Any

import polars as pl

from segue.patterns.wording import is_share

MOST = 10_000
"""Rows that travel with a page."""
_STYLE = """
.mined .bar-of-tools { display: flex; gap: .8rem; flex-wrap: wrap; align-items: center; margin: .8rem 0 }
.mined input { font: inherit; padding: .3rem .6rem; border: 1px solid var(--line); border-radius: 6px; min-width: 0;
  flex: 1 1 12rem; max-width: 26rem }
.mined th button { border: 0; padding: 0; font-weight: 700; color: var(--ink); white-space: nowrap }
.mined th button::after { content: " ↕"; color: var(--line) }
.mined th[aria-sort=ascending] button::after { content: " ↑"; color: var(--accent) }
.mined th[aria-sort=descending] button::after { content: " ↓"; color: var(--accent) }
.mined td.words, .mined th.words { text-align: left; min-width: 11rem; overflow-wrap: anywhere }
.mined td { white-space: nowrap } .mined td.words { white-space: normal }
"""
# Some rows at a time are drawn: the browser never holds thousands of lines.
_SCRIPT = """
(() => {
  const home = document.currentScript.parentElement;
  const {columns, rows} = JSON.parse(home.querySelector("script[type='application/json']").textContent);
  const at_a_time = 20, plain = new Intl.NumberFormat("en");
  const shown_as = {
    words: value => value, whole: value => plain.format(value), share: value => (100 * value).toFixed(2) + "%",
    number: value => value !== 0 && (Math.abs(value) < 0.001 || Math.abs(value) >= 1e6)
      ? value.toExponential(2) : value.toFixed(3),
  };
  const text = (value, kind) => value === null ? "" : value === "Infinity" ? "∞" : shown_as[kind](value);
  const number = value => value === "Infinity" ? Infinity : value;
  const spoken = columns.map((column, place) => column.kind === "words" ? place : -1).filter(place => place >= 0);
  const searched = rows.map(row => spoken.map(place => row[place] ?? "").join(" ").toLowerCase());
  const body = home.querySelector("tbody"), status = home.querySelector("[role=status]");
  const more = home.querySelector("button.more"), field = home.querySelector("input");
  const heads = [...home.querySelectorAll("th")];
  let order = rows.map((_, place) => place), kept = order, drawn = 0;

  const draw = () => {
    const part = document.createDocumentFragment();
    for (const place of kept.slice(drawn, drawn + at_a_time)) {
      const line = document.createElement("tr");
      columns.forEach((column, at) => {
        const cell = line.insertCell();
        cell.textContent = text(rows[place][at], column.kind);
        cell.className = column.kind;
      });
      part.append(line);
    }
    body.append(part);
    drawn = Math.min(drawn + at_a_time, kept.length);
    more.hidden = drawn >= kept.length;
    status.textContent = `${plain.format(drawn)} shown of ${plain.format(kept.length)}`
      + (kept.length < rows.length ? ` that match, ${plain.format(rows.length)} in all` : "");
  };
  const again = () => {
    const words = field.value.toLowerCase().split(/\\s+/).filter(Boolean);
    kept = order.filter(place => words.every(word => searched[place].includes(word)));
    body.replaceChildren();
    drawn = 0;
    draw();
  };
  const sort = (at, down) => {
    const sign = down ? -1 : 1, say = columns[at].kind === "words";
    order = rows.map((_, place) => place).sort((one, two) => {
      const a = rows[one][at], b = rows[two][at];
      if (a === null || b === null) return (a === null) - (b === null) || one - two;
      const apart = say ? a.localeCompare(b, "en") : number(a) < number(b) ? -1 : number(a) > number(b) ? 1 : 0;
      return sign * apart || one - two;
    });
    heads.forEach((head, place) =>
      head.setAttribute("aria-sort", place !== at ? "none" : down ? "descending" : "ascending"));
    again();
  };
  heads.forEach((head, at) => head.querySelector("button").addEventListener("click", () => {
    const now = head.getAttribute("aria-sort");
    sort(at, now === "none" ? columns[at].kind !== "words" : now === "ascending");
  }));
  field.addEventListener("input", again);
  more.addEventListener("click", draw);
  draw();
})();
"""


def table(shown: pl.DataFrame, meanings: Mapping[str, str], what: str) -> str:
    """A frame of texts and numbers as part of a page, its first ``MOST`` rows.

    Args:
        meanings: of columns, told beneath.
        what: a row is, for the reader of the page: "patterns".
    """
    first = shown.head(MOST)
    columns = [{"name": name, "kind": _kind(name, dtype)} for name, dtype in first.schema.items()]
    rows = [[_value(value) for value in row] for row in first.iter_rows()]
    data = json.dumps({"columns": columns, "rows": rows}, ensure_ascii=False, allow_nan=False)
    # No title ends the script that holds it.
    data = data.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    heads = "".join(
        f"<th scope='col' aria-sort='none' class='{column['kind']}'><button type='button'>{escape(column['name'])}"
        "</button></th>"
        for column in columns
    )
    told = "".join(
        f"<dt><b>{escape(name)}</b></dt><dd>{escape(meanings[name])}</dd>" for name in first.columns if name in meanings
    )
    rest = f"<p class='soft'>The first {MOST:,} of {shown.height:,} are here.</p>" if shown.height > MOST else ""
    return (
        f"<style>{_STYLE}</style><div class='mined'>{rest}<div class='bar-of-tools'>"
        f"<input type='search' aria-label='Filter {escape(what)}' placeholder='Filter: words that must be there'>"
        f"<span role='status' class='soft'></span></div><div class='wide'>"
        f"<table><thead><tr>{heads}</tr></thead><tbody></tbody></table></div>"
        "<p><button type='button' class='more'>Show more</button></p>"
        "<noscript>The table needs JavaScript, which this browser has turned off.</noscript>"
        f"<details><summary>What the columns mean</summary><dl>{told}</dl></details>"
        f"<script type='application/json'>{data}</script><script>{_SCRIPT}</script></div>"
    )


def _kind(name: str, dtype: pl.DataType) -> str:
    if not dtype.is_numeric():
        return "words"
    return "share" if is_share(name) else "whole" if dtype.is_integer() else "number"


def _value(value: Any) -> Any:
    """As JSON has it: nothing for what is no number."""
    if isinstance(value, float):
        return None if math.isnan(value) else "Infinity" if math.isinf(value) else value
    return value if value is None or isinstance(value, int | str) else str(value)
