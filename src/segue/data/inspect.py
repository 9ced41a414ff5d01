"""What is in a log before anything is done to it: counts, time, ties, gaps, and what cleaning would take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from segue.data import frames, schema
from segue.data.cleaning import CleaningConfig, bot_like, clean
from segue.errors import EmptyLog


def inspect(events: Any, *, columns: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Look at a log.

    Returns:
        A dictionary of plain numbers and texts (see the keys below), for ``segue inspect`` and for notebooks.

    Raises:
        DataError: the log cannot be read at all.
    """
    raw, _ = frames.to_polars(events, "events")
    raw = schema.rename(raw, columns, schema.REQUIRED, "event log")
    normal, clock = schema.normalise_events(raw)
    facts: dict[str, Any] = {"events": raw.height, "columns": raw.columns, "clock": clock}
    cleaned, report = clean(normal, clock)
    stamps = cleaned["timestamp"].to_numpy()
    per_user = cleaned.group_by("user_id").len()["len"]
    per_item = cleaned.group_by("item_id").len()["len"]
    facts |= {
        "users": len(per_user),
        "items": len(per_item),
        "from": schema.in_words(int(stamps.min()), clock),
        "until": schema.in_words(int(stamps.max()), clock),
        "events per user": _spread(per_user),
        "events per item": _spread(per_item),
        "users with one event": int((per_user == 1).sum()),
        "density": cleaned.height / (len(per_user) * len(per_item)),
        "ties": _share(cleaned.select(pl.struct("user_id", "timestamp").is_duplicated()).to_series()),
        "repeats": _repeats(cleaned, len(per_user)),
    }
    if "action" in cleaned.columns:
        facts["actions"] = dict(cleaned["action"].value_counts(sort=True).iter_rows())
    if clock == "time":
        ordered = cleaned.sort("user_id", "timestamp", maintain_order=True)
        gaps = ordered.select(pl.col("timestamp").diff().over("user_id")).to_series().drop_nulls() / 3_600e6
        if len(gaps):
            quantiles = {f"{share:.0%}": round(float(gaps.quantile(share) or 0), 3) for share in (0.5, 0.9, 0.99)}
            facts["hours between events"] = quantiles
        facts["bot-like users"] = len(bot_like(cleaned, CleaningConfig()))
    facts["cleaning would remove"] = {str(step["step"]): step["events"] for step in report.steps} or "nothing"
    for k in (2, 5):
        facts[f"a {k}-core would keep"] = _core_size(normal, clock, k)
    return facts


def _core_size(normal: pl.DataFrame, clock: schema.Clock, k: int) -> int:
    try:
        return clean(normal, clock, CleaningConfig(min_user_events=k, min_item_events=k))[0].height
    except EmptyLog:
        return 0


def _repeats(cleaned: pl.DataFrame, users: int) -> float:
    """The share of events on an item that the user had before, among those with any event before them."""
    distinct = cleaned.select(pl.struct("user_id", "item_id").n_unique()).item()
    later = cleaned.height - users
    return float((cleaned.height - distinct) / later) if later else 0.0


def _spread(counts: pl.Series) -> dict[str, float]:
    values = counts.to_numpy()
    return {"median": float(np.median(values)), "mean": round(float(values.mean()), 2), "max": int(values.max())}


def _share(marks: pl.Series) -> float:
    return round(float(marks.to_numpy().mean()), 4)
