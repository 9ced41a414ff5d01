"""Hours and weekdays: at what time of the day and of the week things happen, and how far that is from the usual."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from segue.data.calendar import HOUR, local_moments, weekdays
from segue.data.dataset import as_dataset
from segue.data.frames import from_polars
from segue.errors import NoClock
from segue.patterns.chance import CORRECTIONS, adjusted
from segue.patterns.counting import need_action, need_choice, need_whole, symbol_columns
from segue.patterns.sequences import sequences

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NAMES = {"hour": tuple(f"{hour:02}:00" for hour in range(24)), "weekday": _DAYS}
_COLUMNS = ("cycle", "value", "name", "count", "share", "lift", "concentration", "p_value", "adjusted_p_value")


def habits_of_time(
    events: Any,
    items: Any = None,
    *,
    of: str | None = None,
    level: int | None = None,
    action: str | None = None,
    min_users: int = 5,
    correction: str = "benjamini-hochberg",
) -> Any:
    """How the events of each symbol spread over the 24 hours and the 7 weekdays, in the log's time zone.

    What a user does with one symbol within one hour of one day counts once for the hours, and within one day once for
    the weekdays: an evening of thirty films is one evening. Users who come often still weigh more than others, so that
    p values are a guide rather than a verdict.

    Args:
        events, items: a data set, or frames or files as ``Dataset`` reads them.
        of, level: what a symbol is, see :func:`segue.patterns.sequences.sequences`. None: all events as one.
        action: look at events of this kind alone.
        min_users: the fewest users of a symbol.
        correction: of p values for the number of tests, as for :func:`segue.patterns.contrast.contrast`.

    Returns:
        A frame of the kind that came in, 24 rows of the cycle ``hour`` and 7 of the cycle ``weekday`` per symbol, those
        of most users first: the symbol (``item_id``, or the column asked for; none for all events), ``cycle``,
        ``value`` (0 to 23, or 0 for Monday to 6), its ``name``, ``count``, its ``share`` of the symbol's; and
        ``lift``: the share over that of all symbols together, or over an even spread where all events are one (null
        where nothing happens at all). The same in every row of a cycle: ``concentration``, the share that would have
        to move to another hour or weekday to be as all (total variation distance, 0 to 1); ``p_value``, chi-square, of
        the symbol against all others (of all events against an even spread), null where the counts are too few
        for it (an expected one below 1, or more than a fifth of them below 5; Cochran, 1954); and ``adjusted_p_value``.

    Raises:
        NoClock: the log's timestamps are an order alone.
        SymbolsMissing, ActionUnknown, CountUnusable, ChoiceUnknown: a value that cannot be used.
    """
    least = need_whole("min_users", min_users)
    need_choice("correction", correction, CORRECTIONS)
    data = as_dataset(events, items)
    if data.clock != "time":
        raise NoClock(what="habits_of_time")
    if action is not None:
        need_action(data, action)
        data = data.where(pl.col("action") == action)
    made = sequences(data, of or "item", level)
    rows, times = made.rows(), np.zeros(0, dtype=np.int64) if made.times is None else made.times
    symbols = made.symbols if of else np.ones(len(rows), dtype=np.int32)
    size = made.size if of else 2
    local = local_moments(times, data.time_zone)
    pairs = np.unique(symbols * len(made) + rows) // max(len(made), 1)
    users = np.bincount(pairs, minlength=size)
    order = np.argsort(-users, kind="stable")
    kept = order[users[order] >= least]
    values = {"hour": local // HOUR % 24, "weekday": weekdays(local)}
    slots = {"hour": local // HOUR, "weekday": local // (24 * HOUR)}
    cycles = []
    for cycle, names in _NAMES.items():
        table = _table(rows, symbols, slots[cycle], values[cycle], size, len(names))
        cycles.append(_measured(table, kept, cycle, even=of is None))
    frame = pl.concat(cycles)
    known = frame["p_value"].is_not_null()
    tests = frame.filter(known & (pl.col("value") == 0)).select("place", "cycle", "p_value")
    tests = tests.with_columns(adjusted_p_value=pl.Series(adjusted(tests["p_value"].to_numpy(), correction)))
    frame = frame.join(tests.drop("p_value"), on=["place", "cycle"], how="left").sort("place", "cycle", "value")
    codes = kept[frame["place"].to_numpy()]
    symbol = symbol_columns(made.labels, codes, of, _COLUMNS) if of else []
    return from_polars(pl.DataFrame([*symbol, *frame.select(_COLUMNS).get_columns()]), data.frame_kind)


def _table(
    rows: np.ndarray, symbols: np.ndarray, slots: np.ndarray, values: np.ndarray, size: int, width: int
) -> np.ndarray:
    """(size, width) counts of a symbol at a value, once per user and slot."""
    frame = pl.DataFrame({"row": rows, "symbol": symbols.astype(np.int64), "slot": slots, "value": values})
    frame = frame.unique(["row", "symbol", "slot"])
    places = (frame["symbol"] * width + frame["value"]).to_numpy()
    return np.bincount(places, minlength=size * width).reshape(size, width)


def _measured(table: np.ndarray, kept: np.ndarray, cycle: str, even: bool) -> pl.DataFrame:
    """The rows of one cycle for the symbols kept."""
    width = table.shape[1]
    total = table.sum(axis=0)
    usual = np.full(width, 1 / width) if even else total / max(total.sum(), 1)
    counts = table[kept]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    apart = np.abs(shares - usual).sum(axis=1) / 2
    p_values = [_chi_square(row, None if even else total - row) for row in counts]
    with np.errstate(divide="ignore", invalid="ignore"):
        lift = np.where(usual > 0, shares / usual, np.nan)
    return pl.DataFrame(
        {
            "place": np.repeat(np.arange(len(kept)), width),
            "cycle": pl.repeat(cycle, len(kept) * width, eager=True),
            "value": np.tile(np.arange(width), len(kept)),
            "name": pl.Series(list(_NAMES[cycle]) * len(kept), dtype=pl.String),
            "count": counts.ravel(),
            "share": shares.ravel(),
            "lift": pl.Series(lift.ravel()).fill_nan(None),
            "concentration": np.repeat(apart, width),
            "p_value": pl.Series(p_values, dtype=pl.Float64).gather(np.repeat(np.arange(len(kept)), width)),
        }
    )


def _chi_square(counts: np.ndarray, others: np.ndarray | None) -> float | None:
    """Of counts against those of others, or against an even spread; None where there are too few."""
    if others is None:
        observed, expected = counts, np.full(len(counts), counts.sum() / len(counts))
        free = len(counts) - 1
    else:
        observed = np.stack([counts, others])
        observed = observed[:, observed.sum(axis=0) > 0]
        expected = observed.sum(axis=1, keepdims=True) * observed.sum(axis=0) / observed.sum()
        free = observed.shape[1] - 1
    if free < 1 or expected.min() < 1 or (expected < 5).mean() > 0.2:
        return None
    return float(stats.chi2.sf(((observed - expected) ** 2 / expected).sum(), free))
