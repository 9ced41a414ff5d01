"""Pictures of habits: common paths, what comes next, how long until the next time, hours and weekdays.

Each function gives a plotly figure, or None where there is nothing to draw; what is then said is the page's. Texts
from outside go through ``safe``: plotly reads some HTML in them.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import polars as pl

from segue.data.calendar import HOUR, local_moments, weekdays
from segue.data.dataset import Dataset
from segue.pages import COLOURS
from segue.patterns.sequences import Sequences
from segue.patterns.wording import name

_BRANCHES = (6, 3, 2, 1)
"""Of a picture of paths: beginnings, and how many ways on are drawn at each step."""
_READ = 20_000  # patterns of a frame that are looked at for paths
_END, _NOTHING = object(), "rgba(0,0,0,0)"
_TOP = 20  # symbols of a heat map
_LONGEST = 26  # characters of a label
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SCALE = [[0, "#edf2ff"], [0.5, "#748ffc"], [1, "#1c2f8c"]]


def safe(label: Any, titles: Mapping[Any, str], longest: int | None = _LONGEST) -> str:
    """A label as plotly may be given it."""
    return escape(name(label, titles, longest), quote=False)


def paths(found: pl.DataFrame, titles: Mapping[Any, str]) -> tuple[Any, int] | None:
    """Frequent patterns as paths of up to four steps: a ribbon is as wide as a pattern has users; and its height.

    Every node is a beginning of a pattern. One that is no pattern of the frame itself has at least the users of the
    most frequent one that begins so.
    """
    words = found.filter(pl.col("pattern").list.len() > 1).head(_READ)
    singles = found.filter(pl.col("pattern").list.len() == 1).head(_READ)
    users: dict[tuple[Any, ...], int] = {}
    labels: dict[Any, Any] = {}
    for pattern, support in pl.concat([words, singles]).select("pattern", "support").iter_rows():
        keys = tuple(tuple(each.values()) if isinstance(each, dict) else each for each in pattern)
        labels.update(zip(keys, pattern, strict=True))
        for length in range(1, min(len(keys), len(_BRANCHES)) + 1):
            users[keys[:length]] = max(users.get(keys[:length], 0), support)
    ways: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
    for path in sorted(users, key=lambda path: (-users[path], len(path))):
        ways.setdefault(path[:-1], []).append(path)
    # The beginnings of what is most frequent beyond one symbol; a symbol that leads nowhere is no path.
    ways[()] = sorted((path for path in ways.get((), []) if path in ways), key=lambda path: -users[ways[path][0]])
    nodes = _grown((), ways)
    if not nodes:
        return None
    nodes = _to_the_end(nodes)
    # A thread that nobody sees.
    counted = {path: users.get(path, 1e-6) for path in nodes}
    return _sankey(nodes, counted, ["" if path[-1] is _END else safe(labels[path[-1]], titles) for path in nodes])


def _grown(path: tuple[Any, ...], ways: Mapping[tuple[Any, ...], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
    """What is drawn beyond a path, each node before what follows it."""
    if len(path) == len(_BRANCHES):
        return []
    onward = ways.get(path, [])[: _BRANCHES[len(path)]]
    return [node for way in onward for node in (way, *_grown(way, ways))]


def _to_the_end(nodes: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """With threads from where paths end early to the last step: plotly lays ribbons across each other without them."""
    last = max(map(len, nodes))
    onward = {path[:-1] for path in nodes}
    made = []
    for path in nodes:
        made.append(path)
        if path not in onward:
            made += [path + (_END,) * more for more in range(1, last - len(path) + 1)]
    return made


def _heights(nodes: list[tuple[Any, ...]], users: Mapping[Any, float]) -> list[float]:
    """Where each node stands, 0 to 1 from the top, so that no ribbon crosses another: amid what follows it."""
    gap = sum(users[path] for path in nodes if len(path) == 1) / 25
    room: dict[tuple[Any, ...], float] = {}
    for path in reversed(nodes):
        own = max(users[path] + gap, room.get(path, 0.0))
        room[path] = own
        room[path[:-1]] = room.get(path[:-1], 0.0) + own
    begin, places = {(): 0.0}, []
    for path in nodes:
        start = begin[path[:-1]]
        begin[path[:-1]] = start + room[path]
        begin[path] = start
        places.append((start + room[path] / 2) / room[()])
    return places


def _sankey(nodes: list[tuple[Any, ...]], users: Mapping[Any, float], labels: list[str]) -> tuple[Any, int]:
    import plotly.graph_objects as go

    steps = max(len(path) for path in nodes) - 1
    place = {path: number for number, path in enumerate(nodes)}
    links = [path for path in nodes if len(path) > 1]
    beginnings = [path for path in nodes if len(path) == 1]
    colours = {path[0]: COLOURS[number % len(COLOURS)] for number, path in enumerate(beginnings)}
    ribbons = {first: _paler(colour) for first, colour in colours.items()}
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": labels,
                "color": [_NOTHING if path[-1] is _END else colours[path[0]] for path in nodes],
                "customdata": [users[path] for path in nodes],
                "hovertemplate": "%{label}<br>%{customdata:,} users came this way<extra></extra>",
                "pad": 14,
                "line": {"width": 0},
                # Plotly takes neither 0 nor 1 for a place.
                "x": [min(max((len(path) - 1) / steps, 0.001), 0.999) for path in nodes],
                "y": [min(max(place, 0.001), 0.999) for place in _heights(nodes, users)],
                "thickness": 10,
            },
            link={
                "source": [place[path[:-1]] for path in links],
                "target": [place[path] for path in links],
                "value": [users[path] for path in links],
                "color": [_NOTHING if path[-1] is _END else ribbons[path[0]] for path in links],
                "hovertemplate": "%{source.label} → %{target.label}<br>%{value:,} users<extra></extra>",
            },
            textfont={"size": 12},
        )
    )
    widest = max(sum(len(path) == length for path in nodes) for length in range(1, len(_BRANCHES) + 1))
    return figure, 120 + 28 * widest


def _paler(colour: str) -> str:
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.3)"


def next_shares(made: Sequences) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Codes of the symbols with most users; who took which directly after which, (symbols, symbols); users of each."""
    frame = pl.DataFrame({"row": made.rows(), "place": made.places, "symbol": made.symbols}).unique()
    held = frame.unique(["row", "symbol"]).group_by("symbol").agg(users=pl.len())
    held = held.sort("users", "symbol", descending=[True, False]).head(_TOP)
    codes = held["symbol"].to_numpy()
    kept = frame.filter(pl.col("symbol").is_in(held["symbol"].implode()))
    after = kept.with_columns(pl.col("place") - 1)
    pairs = kept.join(after, on=["row", "place"], suffix="_next").unique(["row", "symbol", "symbol_next"])
    number = np.zeros(made.size, dtype=np.int64)
    number[codes] = np.arange(len(codes))
    cells = number[pairs["symbol"].to_numpy()] * len(codes) + number[pairs["symbol_next"].to_numpy()]
    counts = np.bincount(cells, minlength=len(codes) ** 2).reshape(len(codes), len(codes))
    return codes, counts, held["users"].to_numpy()


def transitions(made: Sequences, titles: Mapping[Any, str]) -> tuple[Any, int] | None:
    """The symbols of most users, and how many of the users of one took the other directly after it; and its height."""
    import plotly.graph_objects as go

    codes, counts, users = next_shares(made)
    if not counts.any():
        return None
    shares = counts / users[:, None]
    with np.errstate(divide="ignore"):
        logs = np.where(counts > 0, np.log10(shares), np.nan)
    labels = _apart([safe(label, titles) for label in made.labels.gather(codes).to_list()])
    ticks = [value for power in range(-6, 1) for value in (10.0**power, 2 * 10.0**power, 5 * 10.0**power) if value <= 1]
    low, high = np.nanmin(logs), np.nanmax(logs)
    ticks = [tick for tick in ticks if low - 0.02 <= np.log10(tick) <= high + 0.02]
    figure = go.Figure(
        go.Heatmap(
            x=labels,
            y=labels,
            z=_plain(logs),
            customdata=np.dstack([counts, shares]).tolist(),
            hovertemplate="%{y}<br>then %{x}<br>%{customdata[0]:,} users, %{customdata[1]:.2%}<extra></extra>",
            colorscale=_SCALE,
            xgap=1,
            ygap=1,
            colorbar={"tickvals": np.log10(ticks).tolist(), "ticktext": [f"{100 * tick:.3g}%" for tick in ticks]},
        )
    )
    figure.update_xaxes(title="taken directly after", tickangle=-50, automargin=True, showgrid=False)
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure, 260 + 24 * len(codes)


def intervals(found: pl.DataFrame, titles: Mapping[Any, str]) -> tuple[Any, int] | None:
    """Median days until the next time, with quartiles, of what most users come back to; and its height."""
    import plotly.graph_objects as go

    shown = found.head(_TOP).sort("median_days", descending=True)
    if not shown.height:
        return None
    names = shown.columns[: shown.columns.index("users")]
    labels = _apart([safe(row if len(names) > 1 else row[names[0]], titles) for row in shown.select(names).to_dicts()])
    days = {which: shown[f"{which}_days"].to_numpy() for which in ("lower", "median", "upper")}
    figure = go.Figure(
        go.Scatter(
            x=days["median"],
            y=labels,
            mode="markers",
            marker={"size": 10, "color": COLOURS[0]},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": days["upper"] - days["median"],
                "arrayminus": days["median"] - days["lower"],
                "color": "#91a7ff",
                "thickness": 3,
                "width": 0,
            },
            customdata=shown.select("returning_users", "regularity", "lower_days", "upper_days").rows(),
            hovertemplate="%{y}<br>%{x:.1f} days; the middle half of users %{customdata[2]:.1f} to %{customdata[3]:.1f}"
            "<br>%{customdata[0]:,} users came back; regularity %{customdata[1]:.2f}<extra></extra>",
        )
    )
    wide = days["upper"].max() > 50 * max(days["lower"].min(), 1e-9)
    figure.update_xaxes(title="days until the next time", **({"type": "log"} if wide else {"rangemode": "tozero"}))
    figure.update_yaxes(automargin=True, type="category")
    return figure, 130 + 26 * shown.height


def week(data: Dataset) -> np.ndarray:
    """(7, 24) how often a user did anything in an hour of a weekday, Monday first; an hour of one day counts once."""
    histories = data.histories
    times = np.zeros(0, dtype=np.int64) if histories.timestamps is None else histories.timestamps
    local = local_moments(times, data.time_zone)
    slots = pl.DataFrame({"row": histories.rows(), "hour": local // HOUR}).unique()
    moments = slots["hour"].to_numpy() * HOUR
    cells = weekdays(moments) * 24 + moments // HOUR % 24
    return np.bincount(cells, minlength=7 * 24).reshape(7, 24)


def clock(data: Dataset) -> tuple[Any, int] | None:
    """When in the week people do anything; and its height."""
    import plotly.graph_objects as go

    counts = week(data)
    if not counts.any():
        return None
    shares = counts / counts.sum()
    hours = [f"{hour:02}:00" for hour in range(24)]
    figure = go.Figure(
        go.Heatmap(
            x=hours,
            y=list(_DAYS),
            z=shares.tolist(),
            customdata=counts.tolist(),
            hovertemplate="%{y}, %{x}<br>%{z:.2%} (%{customdata:,})<extra></extra>",
            colorscale=_SCALE,
            xgap=1,
            ygap=1,
            colorbar={"tickformat": ".1%"},
        )
    )
    figure.update_xaxes(type="category", dtick=3, showgrid=False)
    figure.update_yaxes(autorange="reversed", automargin=True, showgrid=False)
    return figure, 340


def _plain(values: np.ndarray) -> list[list[float | None]]:
    """Rows without NaN, which is no JSON."""
    return [[None if np.isnan(value) else float(value) for value in row] for row in values]


def _apart(labels: list[str]) -> list[str]:
    """The same labels, each different: plotly would put two of one name on one line."""
    seen: dict[str, int] = {}
    made = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        made.append(label + "\u200b" * (seen[label] - 1))
    return made
