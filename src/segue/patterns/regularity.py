"""Time regularity: how long people take to come back to a thing, how regularly they do, and who is due now.

An interval lies between two visits of one user to one symbol. The hours and weekdays at which things happen are in
``time_habits``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from segue.data.dataset import Dataset, as_dataset
from segue.data.frames import from_polars
from segue.errors import NoClock, NumberUnusable
from segue.numeric import as_python
from segue.patterns.counting import need_action, need_whole, symbol_columns
from segue.patterns.sequences import sequences
from segue.patterns.spans import DAY, Span, microseconds, read_moment

_MEASURES = (
    "users", "returning_users", "returning_share", "repeats", "median_days", "lower_days", "upper_days", "regularity"
)  # fmt: skip
_DUE = ("user_id", "last", "expected", "days_late", "interval_days")


def refills(
    events: Any,
    items: Any = None,
    *,
    of: str = "item",
    level: int | None = None,
    action: str | None = None,
    merge: Span = "12h",
    min_users: int = 5,
    min_repeats: int = 10,
) -> Any:
    """Per symbol: who comes back, after how many days, and how regularly.

    Args:
        events, items: a data set, or frames or files as ``Dataset`` reads them.
        of, level: what a symbol is, see :func:`segue.patterns.sequences.sequences`.
        action: look at events of this kind alone, such as ``"purchase"``.
        merge: an event this soon after the one before, of the same user and symbol, belongs to the same visit.
        min_users: the fewest users who came back at least once.
        min_repeats: the fewest intervals between visits, over all users.

    Returns:
        A frame of the kind that came in, a row per symbol, most returning users first: the symbol (``item_id``, or the
        column asked for); ``users`` who had it; ``returning_users``, and their ``returning_share``; ``repeats``, the
        intervals of all; ``median_days`` and the quartiles ``lower_days`` and ``upper_days`` of an interval: over
        users, each with the median of their own, so that nobody counts more for coming back more often; ``regularity``:
        1 - Lv, with Lv the local variation (Shinomoto, Shima and Tanji, 2003), the mean of 3 ((a - b) / (a + b))^2 over
        all neighbouring intervals a and b of a user. 1 is a clock, 0 is chance (a Poisson process), below 0 are bursts.
        Users of different pace do not blur it, and no single long pause weighs more than 3. Null where nobody has two
        intervals.

    Raises:
        NoClock: the log's timestamps are an order alone.
        SymbolsMissing, ActionUnknown, SpanUnreadable, CountUnusable: a value that cannot be used.
    """
    need_whole("min_users", min_users), need_whole("min_repeats", min_repeats)
    data = _clocked(as_dataset(events, items), "refills")
    visits, labels = _visits(data, of, level, action, merge)
    found = _by_symbol(visits, min_users, min_repeats)
    names = symbol_columns(labels, found["symbol"].to_numpy(), of, _MEASURES)
    return from_polars(pl.DataFrame([*names, *found.select(_MEASURES).get_columns()]), data.frame_kind)


def due(
    events: Any,
    items: Any = None,
    *,
    at: Any = None,
    ahead: Span = 0,
    lapsed: float = 1.0,
    of: str = "item",
    level: int | None = None,
    action: str | None = None,
    merge: Span = "12h",
    min_users: int = 5,
    min_repeats: int = 10,
) -> Any:
    """Users whose next visit to a symbol is due, among those who came back to it before.

    The next visit is expected after the median of the user's own intervals where there are two, and after the symbol's
    ``median_days`` (see :func:`refills`) where there is one. Nothing after ``at`` is looked at.

    Args:
        at: the moment that is asked about. None: that of the newest event.
        ahead: whether a visit expected this much later is due already.
        lapsed: who is later than so many intervals has gone for good.
        of, level, action, merge, min_users, min_repeats: as for :func:`refills`; symbols with fewer are left out.

    Returns:
        A frame of the kind that came in: ``user_id``, the symbol (``item_id``, or the column asked for), ``last`` and
        ``expected`` (datetimes in the log's time zone), ``days_late`` (below 0 where it is still ahead) and
        ``interval_days``. The latest first.

    Raises:
        NoClock: the log's timestamps are an order alone.
        DateUnreadable: ``at`` is no moment.
        SymbolsMissing, ActionUnknown, SpanUnreadable, CountUnusable, NumberUnusable: a value that cannot be used.
    """
    need_whole("min_users", min_users), need_whole("min_repeats", min_repeats)
    lapsed = as_python(lapsed)
    if isinstance(lapsed, bool) or not isinstance(lapsed, int | float) or not lapsed >= 0:
        raise NumberUnusable(name="lapsed", value=lapsed, wanted="a number of intervals from 0")
    soon = microseconds(ahead) / DAY
    data = _clocked(as_dataset(events, items), "due")
    newest: Any = data.events["timestamp"].max()
    moment = newest if at is None else read_moment(data, at, "at")
    visits, labels = _visits(data.where(pl.col("timestamp") <= moment), of, level, action, merge)
    usual = _by_symbol(visits, min_users, min_repeats).select("symbol", usual="median_days")
    own = pl.when(pl.col("days").count() >= 2).then(pl.col("days").median())
    users = visits.group_by("row", "symbol").agg(pl.col("days").count(), own.alias("own"), last=pl.col("time").max())
    found = users.filter(pl.col("days") > 0).join(usual, on="symbol")
    found = found.with_columns(interval_days=pl.coalesce("own", "usual"))
    expected = pl.col("last") + (pl.col("interval_days") * DAY).round().cast(pl.Int64)
    found = found.with_columns(expected=expected, days_late=(moment - expected) / DAY)
    late = (pl.col("days_late") >= -soon) & (pl.col("days_late") <= lapsed * pl.col("interval_days"))
    found = found.filter(late).sort("expected", "row", "symbol")
    found = found.with_columns(
        pl.col("last", "expected").cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(data.time_zone)
    )
    ids = data.user_vocabulary.decode(found["row"].to_numpy()).alias("user_id")
    names = symbol_columns(labels, found["symbol"].to_numpy(), of, _DUE)
    return from_polars(pl.DataFrame([ids, *names, *found.select(_DUE[1:]).get_columns()]), data.frame_kind)


def _clocked(data: Dataset, what: str) -> Dataset:
    if data.clock != "time":
        raise NoClock(what=what)
    return data


def _visits(
    data: Dataset, of: str, level: int | None, action: str | None, merge: Span
) -> tuple[pl.DataFrame, pl.Series]:
    """A row per visit: ``row``, ``symbol``, ``time`` (its first event), ``days`` since the one before; and labels."""
    apart = microseconds(merge)
    if action is not None:
        need_action(data, action)
        data = data.where(pl.col("action") == action)
    made = sequences(data, of, level)
    times = np.zeros(0, dtype=np.int64) if made.times is None else made.times
    frame = pl.DataFrame({"row": made.rows(), "symbol": made.symbols, "time": times}).sort("row", "symbol", "time")
    key = ("row", "symbol")
    frame = frame.filter((pl.col("time").diff().over(key) > apart).fill_null(True))
    return frame.with_columns(days=pl.col("time").diff().over(key) / DAY), made.labels


def _by_symbol(visits: pl.DataFrame, min_users: int, min_repeats: int) -> pl.DataFrame:
    """The measures of every symbol that has enough."""
    key = ("row", "symbol")
    users = visits.group_by(key).agg(repeats=pl.col("days").count(), days=pl.col("days").median())
    found = users.group_by("symbol").agg(
        pl.len().cast(pl.Int64).alias("users"),
        (pl.col("repeats") > 0).sum().cast(pl.Int64).alias("returning_users"),
        (pl.col("repeats") > 0).mean().alias("returning_share"),
        pl.col("repeats").sum().cast(pl.Int64),
        pl.col("days").median().alias("median_days"),
        pl.col("days").quantile(0.25, "linear").alias("lower_days"),
        pl.col("days").quantile(0.75, "linear").alias("upper_days"),
    )
    before = pl.col("days").shift(1).over(key)
    local = (3 * ((pl.col("days") - before) / (pl.col("days") + before)).pow(2)).alias("local")
    regularity = visits.select("symbol", local).group_by("symbol").agg(regularity=1 - pl.col("local").mean())
    enough = (pl.col("returning_users") >= min_users) & (pl.col("repeats") >= min_repeats)
    order = {"returning_users": True, "repeats": True, "symbol": False}
    return found.filter(enough).join(regularity, on="symbol").sort(list(order), descending=list(order.values()))
