"""A search as one self-contained page: how it went, which settings mattered, what was tried."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING, Any

import polars as pl

from segue import pages

if TYPE_CHECKING:
    from segue.tuning.result import TuningResult

_MARKS = {"finished": "circle", "pruned": "x-thin-open"}


def page(result: TuningResult) -> str:
    """The whole page as text."""
    finished = result.table.filter(pl.col("state") == "finished")
    parts = [
        f"<h1>Tuning {escape(result.recommender)}</h1>",
        f"<p class='lead'>{result.table.height:,} trials, judged by {escape(result.metric)} on the validation "
        "holdout. The test was not used.</p>",
        _tiles(result),
        f"<h2>How the search went</h2>{pages.drawn(_history(result))}",
        _importances(result),
        f"<h2>Settings together</h2><p class='soft'>One line per finished trial; drag along an axis to pick some.</p>"
        f"{pages.drawn(_parallel(result, finished), side=90)}",
        f"<h2>Each setting</h2>{''.join(pages.drawn(figure) for figure in _slices(result))}",
        f"<h2>Trials</h2><div class='wide'>{_trials(result)}</div>",
        f"<h2>Best settings</h2>{pages.pairs(result.settings)}",
        f"<details><summary>what was searched, and where it is kept</summary>{pages.pairs(result.space)}"
        f"{pages.pairs({'study': result.study, 'storage': result.storage})}</details>",
    ]
    return pages.whole(f"tuning {result.recommender}", parts)


def _tiles(result: TuningResult) -> str:
    count = dict(result.table.group_by("state").len().iter_rows())
    seconds = float(result.table["seconds"].sum() or 0)
    first = result.table.row(0, named=True)
    gain = "" if first["value"] is None else f"the first trial had {first['value']:.4f}"
    tiles = [
        ("best " + result.metric, f"{result.best_value:.4f}", gain),
        ("finished", str(count.get("finished", 0)), "to their last epoch"),
        ("pruned", str(count.get("pruned", 0)), "others did better at the same epoch"),
        ("time", f"{seconds / 60:.1f} min" if seconds >= 100 else f"{seconds:.0f} s", "of all trials together"),
    ]
    shown = (
        f"<div class='tile'>{escape(name)}<b>{escape(value)}</b><span class='soft'>{escape(note)}</span></div>"
        for name, value, note in tiles
    )
    return f"<div class='tiles'>{''.join(shown)}</div>"


def _history(result: TuningResult) -> Any:
    import plotly.graph_objects as go

    figure = go.Figure()
    for state, colour in (("finished", pages.COLOURS[0]), ("pruned", pages.COLOURS[1])):
        rows = result.table.filter((pl.col("state") == state) & pl.col("value").is_not_null())
        figure.add_scatter(
            x=rows["trial"].to_list(),
            y=rows["value"].to_list(),
            mode="markers",
            name=state,
            marker={"color": colour, "symbol": _MARKS[state], "size": 9, "line": {"width": 2, "color": colour}},
        )
    finished = result.table.filter(pl.col("state") == "finished")
    best = finished.with_columns(pl.col("value").cum_max())
    figure.add_scatter(
        x=[*best["trial"], result.table.height],
        y=[*best["value"], result.best_value],
        mode="lines",
        line={"shape": "hv", "color": pages.COLOURS[3]},
        name="best so far",
    )
    figure.update_layout(xaxis_title="trial", yaxis_title=result.metric, legend={"orientation": "h", "y": 1.12})
    return figure


def _importances(result: TuningResult) -> str:
    title = "<h2>What mattered</h2>"
    if not result.importances:
        return f"{title}<p class='soft'>Too few trials finished to say.</p>"
    import plotly.graph_objects as go

    ranked = sorted(result.importances.items(), key=lambda pair: pair[1])
    figure = go.Figure()
    figure.add_bar(
        x=[share for _, share in ranked],
        y=[name for name, _ in ranked],
        orientation="h",
        marker_color=pages.COLOURS[0],
        texttemplate="%{x:.0%}",
    )
    figure.update_layout(xaxis={"tickformat": ".0%", "title": "share in what sets good trials apart (PED-ANOVA)"})
    return title + pages.drawn(figure)


def _parallel(result: TuningResult, finished: pl.DataFrame) -> Any:
    import plotly.graph_objects as go

    dimensions = []
    for name in result.space:
        values = finished[name].to_list()
        if _is_choice(result, name):
            names = [str(each) for each in result.space[name]]
            places = [names.index(str(value)) if value is not None else 0 for value in values]
            axis = {"values": places, "tickvals": list(range(len(names))), "ticktext": names}
        elif result.space[name]["log"]:
            low, high = min(values), max(values)
            ticks = [low * (high / low) ** (step / 4) for step in range(5)]
            axis = {"tickvals": [math.log10(tick) for tick in ticks], "ticktext": [f"{tick:.3g}" for tick in ticks]}
            axis |= {"values": [math.log10(value) for value in values]}
        else:
            axis = {"values": values}
        dimensions.append({"label": name, **axis})
    dimensions.append({"label": result.metric, "values": finished["value"].to_list()})
    line = {"color": finished["value"].to_list(), "colorscale": [[0, "#dbe4ff"], [1, pages.COLOURS[0]]]}
    return go.Figure(go.Parcoords(dimensions=dimensions, line=line))


def _slices(result: TuningResult) -> list[Any]:
    """Value over each setting, three settings to a picture."""
    from plotly.subplots import make_subplots

    names, figures = list(result.space), []
    rows = result.table.filter(pl.col("value").is_not_null())
    for start in range(0, len(names), 3):
        part = names[start : start + 3]
        figure = make_subplots(rows=1, cols=min(3, len(names)), shared_yaxes=True, horizontal_spacing=0.04)
        for column, name in enumerate(part, 1):
            values = [str(value) if _is_choice(result, name) else value for value in rows[name].to_list()]
            colours = [pages.COLOURS[0 if state == "finished" else 1] for state in rows["state"]]
            figure.add_scatter(
                x=values,
                y=rows["value"].to_list(),
                mode="markers",
                marker={"color": colours, "size": 8},
                showlegend=False,
                row=1,
                col=column,
            )
            choice = _is_choice(result, name)
            kind = "category" if choice else "log" if result.space[name].get("log") else "linear"
            order = {"categoryarray": [str(each) for each in result.space[name]]} if choice else {}
            figure.update_xaxes(title=name, type=kind, row=1, col=column, **order)
        figure.update_yaxes(title=result.metric, row=1, col=1)
        figures.append(figure)
    return figures


def _is_choice(result: TuningResult, name: str) -> bool:
    return isinstance(result.space[name], list)


def _trials(result: TuningResult) -> str:
    frame = result.table
    if frame["error"].is_null().all():
        frame = frame.drop("error")
    head = "".join(f"<th>{escape(name)}</th>" for name in frame.columns)
    rows = []
    for row in frame.iter_rows(named=True):
        best = row["state"] == "finished" and row["value"] == result.best_value
        cells = "".join(f"<td class='{'best' if best else ''}'>{_cell(value)}</td>" for value in row.values())
        rows.append(f"<tr>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else escape(str(value))
