"""The report as one self-contained page: figures first, then pictures, slices, real examples and the small print.

Every text from outside (titles, ids) is escaped; the page loads nothing from anywhere.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from segue import pages
from segue.evaluation.significance import paired_test

if TYPE_CHECKING:
    from segue.evaluation.report import Report

_TITLE = 80  # characters of a title that are shown


def page(report: Report) -> str:
    """The whole page as text."""
    k = 10 if 10 in report.protocol["k"] else max(report.protocol["k"])
    parts = [
        f"<h1>{escape(report.name)}</h1>",
        f"<p class='lead'>Next-item recommendations for {report.protocol['users']:,} users, ranked over the whole "
        f"catalogue of {report.protocol['catalogue']:,} items.</p>",
        _tiles(report, k),
        f"<h2>Beside the others</h2>{_beside(report, k)}",
        pages.drawn(_bars(report, k)),
        _curve(report),
        _features(report),
        f"<h2>Parts of the test</h2>{_slices(report)}",
        f"<h2>Examples</h2><p class='soft'>Recommended items that came are marked.</p>{_examples(report)}",
        f"<h2>All figures</h2><div class='wide'>{_all_figures(report)}</div>",
        f"<h2>Protocol and training</h2>{pages.pairs(report.protocol)}{_plan(report)}",
    ]
    return pages.whole(report.name, parts)


def shorten(text: str, length: int = _TITLE) -> str:
    """A text of at most ``length`` characters."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _tiles(report: Report, k: int) -> str:
    tiles = []
    for metric in ("ndcg", "hit_rate", "mrr"):
        low, high = report.interval(f"{metric}@{k}")
        value = report[f"{metric}@{k}"]
        note = f"{low:.4f} to {high:.4f}"
        tiles.append(f"<div class='tile'>{metric}@{k}<b>{value:.4f}</b><span class='soft'>{note}</span></div>")
    seen = "left out" if report.protocol["exclude_seen"] else "may come again"
    tiles.append(
        f"<div class='tile'>items seen before<b>{seen}</b>"
        f"<span class='soft'>{escape(report.protocol['exclude_seen_because'])}</span></div>"
    )
    return f"<div class='tiles'>{''.join(tiles)}</div>"


def _beside(report: Report, k: int) -> str:
    names = [f"{metric}@{k}" for metric in ("ndcg", "hit_rate", "mrr", "coverage", "novelty")]
    everyone = [report, *report.beside]
    best = {name: max(each[name] for each in everyone) for name in names}
    rows = []
    for each in everyone:
        cells = "".join(f"<td class='{'best' if each[n] == best[n] else ''}'>{each[n]:.4f}</td>" for n in names)
        if each is report:
            cells += "<td class='soft'></td>"
        else:
            test = paired_test(report.per_user(names[0]), each.per_user(names[0]))
            cells += f"<td>{test.difference:+.4f} <span class='soft'>(p {_chance(test.p_value)})</span></td>"
        rows.append(f"<tr><td>{escape(each.name)}</td>{cells}</tr>")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f"<table><tr><th>recommender</th>{head}<th>{escape(report.name)} ahead in {names[0]}</th></tr>"
        f"{''.join(rows)}</table>"
    )


def _bars(report: Report, k: int) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    everyone = [report, *report.beside]
    for metric, colour in (("ndcg", pages.COLOURS[0]), ("hit_rate", pages.COLOURS[2])):
        name = f"{metric}@{k}"
        values = [each[name] for each in everyone]
        spans = [each.interval(name) for each in everyone]
        errors = {
            "type": "data",
            "symmetric": False,
            "array": [high - value for value, (_, high) in zip(values, spans, strict=True)],
            "arrayminus": [value - low for value, (low, _) in zip(values, spans, strict=True)],
        }
        figure.add_bar(x=[each.name for each in everyone], y=values, error_y=errors, name=name, marker_color=colour)
    figure.update_layout(barmode="group", title=f"With 95 % intervals over users, k = {k}")
    return figure


def _curve(report: Report) -> str:
    rows = report.training.get("training", {}).get("curve", [])
    if not rows:
        return ""
    import plotly.graph_objects as go

    epochs = [row["epoch"] for row in rows]
    figure = go.Figure()
    figure.add_scatter(x=epochs, y=[row["loss"] for row in rows], name="training loss", line_color=pages.COLOURS[1])
    if rows[0]["validation"] is not None:
        metric = report.training["training"]["plan"]["validation_metric"]
        values = [row["validation"] for row in rows]
        figure.add_scatter(x=epochs, y=values, name=f"validation {metric}", yaxis="y2", line_color=pages.COLOURS[0])
        best = report.training["training"]["epochs"]
        figure.add_vline(x=best, line_dash="dot", annotation_text=f"best, epoch {best}")
    figure.update_layout(
        title="Learning curve",
        xaxis_title="epoch",
        yaxis_title="loss",
        yaxis2={"overlaying": "y", "side": "right", "showgrid": False, "tickformat": ".3f"},
        legend={"orientation": "h"},
    )
    return "<h2>Learning</h2>" + pages.drawn(figure)


def _features(report: Report) -> str:
    rows = report.training.get("features", [])
    if not rows:
        return ""
    plan = report.training["training"]["plan"]
    largest = max((each["worth"] or 0 for each in rows), default=0) or 1
    lines = []
    for each in rows:
        fall = "" if each["worth"] is None else f"{each['worth']:+.4f}"
        width = round(100 * max(each["worth"] or 0, 0) / largest)
        lines.append(
            f"<tr><td>{escape(shorten(each['name']))}</td><td>{escape(each['kind'])}</td><td>{each['values']:,}</td>"
            f"<td>{each['coverage']:.1%}</td><td>{fall}</td>"
            f"<td><div class='bar' style='width:{width}%'></div></td></tr>"
        )
    head = (
        f"<th>column</th><th>kind</th><th>values</th><th>items that have one</th><th>{plan['validation_metric']}</th>"
    )
    return (
        "<h2>Item attributes</h2><p class='soft'>What the trained model leans on: the fall of the validation metric "
        "when all items are given the mean of a column. Training without the column can cost less.</p>"
        f"<table><tr>{head}<th style='width:35%'></th></tr>{''.join(lines)}</table>"
    )


def _slices(report: Report) -> str:
    if not report.slices:
        return ""
    names = list(report.slices[0])
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    rows = []
    for row in report.slices:
        cells = [
            f"{row[name]:.4f}"
            if isinstance(row[name], float)
            else f"{row[name]:,}"
            if isinstance(row[name], int)
            else escape(row[name])
            for name in names
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _examples(report: Report) -> str:
    rows = []
    for example in report.examples:
        came = set(example["came"])
        listed = [
            f"<mark>{escape(shorten(title))}</mark>" if title in came else escape(shorten(title))
            for title in example["recommended"]
        ]
        history = " → ".join(escape(shorten(title)) for title in example["history"])
        then = ", ".join(escape(shorten(title)) for title in example["came"])
        rows.append(
            f"<tr><td>{escape(shorten(example['user']))}</td><td>{history}</td><td>{then}</td>"
            f"<td>{'<br>'.join(f'{place}. {title}' for place, title in enumerate(listed, 1))}</td></tr>"
        )
    head = "<tr><th>user</th><th>history, newest last</th><th>what came</th><th>recommended</th></tr>"
    return f"<table class='text'>{head}{''.join(rows)}</table>"


def _all_figures(report: Report) -> str:
    table = report.table()
    head = "".join(f"<th>{escape(name)}</th>" for name in table.columns)
    rows = []
    for row in table.iter_rows():
        cells = [
            "" if cell is None else f"{cell:.4f}" if isinstance(cell, float) else escape(str(cell)) for cell in row
        ]
        rows.append("<tr>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>")
    return f"<details><summary>every metric at every k</summary><table><tr>{head}</tr>{''.join(rows)}</table></details>"


def _plan(report: Report) -> str:
    training = report.training.get("training")
    if not training:
        return ""
    facts = {"epochs": training["epochs"], "refitted": training["refitted"], **training["plan"]}
    return f"<details><summary>settings chosen for this log</summary>{pages.pairs(facts)}</details>"


def _chance(p_value: float) -> str:
    return "< 0.001" if p_value < 0.001 else f"{p_value:.3f}"
