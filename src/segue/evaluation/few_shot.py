"""Few-shot curves: what a recommender is worth after 1, 2, 4, ... people to learn from, or events of each person asked.

Every draw of people is the same for all recommenders, and so are the people asked. The band around a curve says how
much both draws and people could have turned out otherwise.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue import artefacts, pages, progress
from segue.arguments import refusal, require, require_callable, require_mapping, require_whole
from segue.data.dataset import Dataset, as_dataset
from segue.data.split import Holdout, leave_last_out
from segue.errors import NoTargets, NotPaired
from segue.evaluation.evaluate import evaluate
from segue.ranking.metrics import parse_metric
from segue.recommenders.base import Recommender
from segue.recommenders.kinds import rarely_again

SHOTS = (1, 2, 4, 8, 16, 64)
_RESAMPLES = 1_000
_ASKED = 2_000


@dataclass(frozen=True, eq=False)
class FewShot:
    """Curves over a number of people or events.

    Attributes:
        what: ``"users"`` trained on, or ``"events"`` known of each person asked.
        metric: such as ``"ndcg@10"``.
        values: recommender to shots to (draws, people asked) values of the metric.
    """

    what: str
    metric: str
    values: Mapping[str, Mapping[int, np.ndarray]]

    def table(self) -> pl.DataFrame:
        """One row per recommender and shot: the mean, the 95 % band (``low``, ``high``), ``draws`` and ``asked``."""
        rows = []
        for name, curve in self.values.items():
            for shots, values in curve.items():
                low, high = _band(values)
                row = {"recommender": name, self.what: shots, self.metric: float(values.mean())}
                rows.append(row | {"low": low, "high": high, "draws": len(values), "asked": values.shape[1]})
        return pl.DataFrame(rows)

    def ratio(self, one: str, other: str, shots: int) -> float:
        """How many times the metric of one recommender is that of another."""
        above, below = (float(self.values[name][shots].mean()) for name in (one, other))
        return above / below if below else float("inf")

    def to_json(self, path: str | Path | None = None) -> str:
        """The table as JSON text; also written to ``path`` when given (atomically)."""
        text = json.dumps({"what": self.what, "metric": self.metric, "curves": self.table().to_dicts()}, indent=1)
        if path is not None:
            artefacts.write_atomically(path, text.encode())
        return text

    def to_html(self, path: str | Path | None = None) -> str:
        """One self-contained page with the curves and their bands; also written to ``path`` when given (atomically)."""
        title = f"Few-shot: {self.metric} by {self.what}"
        head = "".join(f"<th>{escape(name)}</th>" for name in self.table().columns)
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(_told(cell))}</td>" for cell in row) + "</tr>"
            for row in self.table().iter_rows()
        )
        parts = [f"<h1>{escape(title)}</h1>", pages.drawn(self._figure()), f"<table><tr>{head}</tr>{rows}</table>"]
        text = pages.whole(title, parts)
        if path is not None:
            artefacts.write_atomically(path, text.encode())
        return text

    def _figure(self) -> Any:
        import plotly.graph_objects as go

        figure, table = go.Figure(), self.table()
        for place, name in enumerate(self.values):
            rows = table.filter(pl.col("recommender") == name)
            colour = pages.COLOURS[place % len(pages.COLOURS)]
            around = {"line": {"width": 0}, "showlegend": False, "hoverinfo": "skip", "legendgroup": name}
            figure.add_scatter(x=rows[self.what], y=rows["high"], **around)
            figure.add_scatter(x=rows[self.what], y=rows["low"], fill="tonexty", fillcolor=_pale(colour), **around)
            line = {"name": name, "line_color": colour, "mode": "lines+markers", "legendgroup": name}
            figure.add_scatter(x=rows[self.what], y=rows[self.metric], **line)
        figure.update_xaxes(type="log", title=self.what, tickvals=sorted({*table[self.what]}))
        figure.update_layout(title="With 95 % bands over draws and people", yaxis_title=self.metric)
        return figure


def few_shot(
    data: Dataset,
    recommenders: Mapping[str, Callable[[], Recommender]],
    *,
    users: Sequence[int] = SHOTS,
    draws: int = 3,
    asked: int = _ASKED,
    metric: str = "ndcg@10",
    seed: int = 0,
    show: bool = True,
) -> FewShot:
    """Train on few people and ask about many.

    Everybody's last event is asked for, as on leave-last-out, with what the person did before; trained on are the
    earlier events of ``n`` people with at least two of them. Draws are nested: the people of a smaller number are among
    those of a larger one.

    Args:
        data: a log with its catalogue.
        recommenders: name to what makes a new one, not fitted.
        users: how many people are trained on.
        draws: of people, for each number.
        asked: people asked, at most, chosen by the seed.
        metric: a per-user metric.

    Raises:
        NoTargets: nobody is left to train on.
        ArgumentKind: a recommender is no class or function that makes one, or a number is none.
    """
    data = as_dataset(data, owner="few_shot")
    require_mapping(recommenders, "few_shot", "recommenders", "{'EASE': segue.EASE}")
    for make in recommenders.values():
        require_callable(
            make, "few_shot", "one of recommenders", "a class", "Give a class, or a function without arguments."
        )
    require(users, (list, tuple, range), "few_shot", "users", "a list of numbers", "For example users=[10, 100].")
    users = [require_whole(count, "few_shot", "one of users") for count in users]
    if not users or not recommenders:
        raise NoTargets(why="no recommender and number of users to train is named")
    draws, asked = require_whole(draws, "few_shot", "draws"), require_whole(asked, "few_shot", "asked")
    seed = require_whole(seed, "few_shot", "seed", 0)
    parse_metric(metric)
    split = leave_last_out(data)
    rng = np.random.default_rng(seed)
    able = np.flatnonzero(split.train.histories.lengths > 1)
    if len(able) < max(users):
        raise NoTargets(why=f"{len(able):,} people have two events to learn from, {max(users):,} are wanted")
    test = _of_some(split.test, rng, asked)
    orders = [rng.permutation(able) for _ in range(draws)]
    values: dict[str, dict[int, np.ndarray]] = {name: {} for name in recommenders}
    jobs = [(count, name) for count in users for name in recommenders]
    for count, name in progress.track(jobs, "Few-shot", len(jobs), show):
        found = []
        for order in orders:
            few = split.train.where(pl.col("user").is_in(order[:count]))
            model = _made(recommenders[name]).fit(few, progress=False)
            found.append(_asked(model, test, metric))
        values[name][count] = np.stack(found)
    return FewShot("users", metric, values)


def _made(make: Callable[[], Recommender]) -> Recommender:
    advice = "Give a class, or a function without arguments."
    try:
        model = make()
    except TypeError:
        raise refusal(make, "few_shot", "one of recommenders", "callable without arguments", advice) from None
    require(model, Recommender, "few_shot", "what one of recommenders makes", "a recommender", advice)
    return model


def cold_users(
    models: Mapping[str, Recommender],
    test: Holdout,
    *,
    events: Sequence[int] = SHOTS,
    asked: int = _ASKED,
    metric: str = "ndcg@10",
    seed: int = 0,
) -> FewShot:
    """Ask trained recommenders about people of whom little is known: their newest 1, 2, 4, ... events before the test.

    People are those with at least as many events as the largest number, so that a curve is about the same ones. Whoever
    answers knows nothing of what they did before; so that may be listed again.

    Raises:
        NoTargets: nobody has as many events.
        NotPaired: the recommenders do not know the items of the test by the same codes.
    """
    for model in models.values():
        model._require_fitted()
        if not model.item_vocabulary.ids.equals(test.context.item_vocabulary.ids):
            raise NotPaired(why="a recommender knows another catalogue than the test")
    enough = test.users[test.context.histories.lengths[test.users] >= max(events)]
    if not len(enough):
        raise NoTargets(why=f"nobody asked about has {max(events):,} events")
    targets = test.targets.where(pl.col("user").is_in(enough))
    test = _of_some(Holdout(test.context, targets), np.random.default_rng(seed), asked)
    exclude = rarely_again(test.context.histories)
    place = (pl.len() - 1 - pl.int_range(pl.len())).over("user")
    ids = test.context.events.select(place.alias("back"))["back"]
    values: dict[str, dict[int, np.ndarray]] = {name: {} for name in models}
    for count in events:
        cut = Holdout(test.context.where(ids < count), test.targets)
        for name, model in models.items():
            values[name][count] = _asked(model, cut, metric, exclude)[None]
    return FewShot("events", metric, values)


def _of_some(test: Holdout, rng: np.random.Generator, asked: int) -> Holdout:
    users = test.users
    if len(users) <= asked:
        return test
    chosen = np.sort(rng.choice(users, asked, replace=False))
    return Holdout(test.context, test.targets.where(pl.col("user").is_in(chosen)))


def _asked(model: Recommender, test: Holdout, metric: str, exclude_seen: bool | None = None) -> np.ndarray:
    report = evaluate(model, test, k=parse_metric(metric)[1], exclude_seen=exclude_seen, progress=False)
    return report.per_user(metric)


def _band(values: np.ndarray) -> tuple[float, float]:
    """95 % of the means of resampled draws of resampled people."""
    rng = np.random.default_rng(0)
    draws, people = values.shape
    means = np.empty(_RESAMPLES)
    for place in range(_RESAMPLES):
        chosen = values[rng.integers(0, draws, draws)].mean(0)
        means[place] = chosen[rng.integers(0, people, people)].mean()
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _told(cell: Any) -> str:
    return f"{cell:.4f}" if isinstance(cell, float) else str(cell)


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
