"""Turning a question in external ids into histories of codes, and codes back into a frame."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import uuid
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from segue.arguments import refusal
from segue.cautions import ColdUsers, RequestBeforeHistory, UnknownItemsInHistory
from segue.data import frames, schema
from segue.data.cleaning import first_of_copies
from segue.data.dataset import encode_actions
from segue.data.histories import UNKNOWN_TIME, Histories
from segue.data.vocabulary import Vocabulary
from segue.errors import (
    ActionNotLearnt,
    ActionUnknown,
    BadK,
    DataError,
    DiversityUnreadable,
    HistoryMalformed,
    MomentUnreadable,
    NothingAsked,
    nearest,
)
from segue.numeric import as_python
from segue.recommenders import explanations

_ID = (str, bytes, int, float, np.generic, uuid.UUID, dt.date, decimal.Decimal)

if TYPE_CHECKING:
    from segue.recommenders.base import Recommender


@dataclass(frozen=True)
class Asked:
    """Histories to answer for, and the external id of each row (``uuids``: those ids are the text of UUIDs).

    Where kinds of action are asked for (``kinds``), all rows stand there once for each kind. ``moments`` are those that
    a frame of histories asked about (its column ``at``), one for each row.
    """

    users: pl.Series
    histories: Histories
    frame_kind: frames.FrameKind
    uuids: bool
    kinds: tuple[str, ...] = ()
    moments: pl.Series | None = None


def resolve(model: Recommender, users: Any, histories: Any) -> Asked:
    """Find the histories of known users, or encode those given. Raises ``NothingAsked``, ``HistoryMalformed``."""
    if (users is None) == (histories is None):
        raise NothingAsked(
            given="Neither users nor histories were given" if users is None else "Both users and histories were given"
        )
    if histories is None:
        return _known_users(model, users)
    if isinstance(histories, Sequence | np.ndarray) and not isinstance(histories, str | bytes):
        return _lists(model, histories)
    return _frame(model, histories)


def about(model: Recommender, asked: Asked, at: Any, action: Any) -> Asked:
    """The same question about a moment and about kinds of action.

    Raises ``MomentUnreadable``, ``ActionUnknown``, ``ActionNotLearnt``; warns of moments before a history
    (``RequestBeforeHistory``).
    """
    at = asked.moments if at is None else at
    if at is None and action is None:
        return asked
    rows = len(asked.histories)
    kinds = () if action is None else tuple(ids(action, "action", "action"))
    for name in kinds:
        if not isinstance(name, str) or name not in model.action_names:
            known = ", ".join(model.action_names) or "none"
            raise ActionUnknown(name=name, known=known, hint=nearest(str(name), model.action_names))
        if model.target is not None and name != model.target:
            raise ActionNotLearnt(name=name, learnt=repr(model.target))
    moments = None if at is None else _moments(model, at, rows)
    histories = asked.histories.asked(moments)
    early = int(((histories.lengths == 0) & (asked.histories.lengths > 0)).sum())
    if early:
        message = f"{early} of {rows} requests are for a moment before their history begins."
        warnings.warn(message, RequestBeforeHistory, stacklevel=3)
    if kinds:
        histories = histories.take(np.tile(np.arange(rows), len(kinds)))
        codes = [model.action_names.index(name) + 1 for name in kinds]
        histories = replace(histories, wanted=np.repeat(np.array(codes, dtype=np.int64), rows))
    users = asked.users.gather(np.tile(np.arange(rows), max(1, len(kinds))))
    return replace(asked, users=users, histories=histories, kinds=kinds)


def _moments(model: Recommender, at: Any, rows: int) -> np.ndarray:
    """(rows,) microseconds since 1970 (or numbers of the log's order), ``UNKNOWN_TIME`` for None."""
    several = not isinstance(at, str | bytes) and hasattr(at, "__iter__")
    if isinstance(at, pl.Series) and len(at) == rows and model.clock == "time":
        return _series_of_moments(model, at)
    values = list(at) if several else [at]
    if several and len(values) != rows:
        raise MomentUnreadable(value=at, reason=f"has {len(values)} moments for {rows} requests")
    found = np.array([_moment(model, value) for value in _not_now(values)], dtype=np.int64)
    return found if several else np.repeat(found, rows)


def _series_of_moments(model: Recommender, at: pl.Series) -> np.ndarray:
    """A column at once, for many users are asked about together; what it cannot read is told one by one."""
    if at.null_count() == len(at):
        return np.full(len(at), UNKNOWN_TIME)
    found = None
    try:
        stamps, clock = schema.read_time(at, model.time_zone)
        found = stamps if clock == "time" and stamps.null_count() == at.null_count() else None
    except DataError:
        pass
    if found is None:
        return np.array([_moment(model, value) for value in _not_now(at.to_list())], dtype=np.int64)
    return found.fill_null(UNKNOWN_TIME).to_numpy()


def _not_now(values: list[Any]) -> list[Any]:
    now = dt.datetime.now(dt.UTC)
    return [now if isinstance(value, str) and value == "now" else value for value in values]


def _moment(model: Recommender, value: Any) -> int:
    if value is None:
        return int(UNKNOWN_TIME)
    if model.clock == "order":
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise MomentUnreadable(
                value=value, reason="is no number, and the log's timestamps are an order, not a time"
            )
        if not np.isfinite(float(value)) or abs(float(value)) >= 2**63:
            raise MomentUnreadable(value=value, reason="is no place in an order")
        return int(value)
    if not isinstance(value, _ID):
        raise MomentUnreadable(value=value, reason="is no moment")
    try:
        stamp, clock = schema.read_moment(value, model.time_zone)
    except DataError:
        raise MomentUnreadable(value=value, reason="cannot be read as a moment") from None
    if clock == "order" or stamp is None:
        raise MomentUnreadable(value=value, reason="cannot be read as a moment")
    return int(stamp)


def length(k: Any) -> int:
    """Of a list, where it is a whole number from 1; raises ``BadK``."""
    number = as_python(k)
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise BadK(value=k)
    return number


def diversity_of(value: Any) -> float:
    """A number from 0 to 1; raises ``DiversityUnreadable``."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not 0 <= value <= 1:
        raise DiversityUnreadable(value=value)
    return float(value)


def answer(
    model: Recommender, asked: Asked, codes: np.ndarray, scores: np.ndarray, ranked: bool = True, score: str = "score"
) -> Any:
    """``user_id, item_id, score``, the ``action`` where kinds were asked for, and for lists ``rank``.

    ``score`` is what that column is called.
    """
    kept = codes > 0
    rows = np.repeat(np.arange(len(codes)), kept.sum(1))
    columns = {
        "user_id": asked.users.gather(rows),
        "item_id": model.item_vocabulary.decode(codes[kept]),
        score: pl.Series(scores[kept], dtype=pl.Float32),
    }
    if asked.kinds:
        kind = np.repeat(asked.kinds, len(codes) // len(asked.kinds))
        columns["action"] = pl.Series(kind[rows], dtype=pl.String)
    if ranked:
        ranks = np.broadcast_to(np.arange(1, codes.shape[1] + 1), codes.shape)[kept]
        columns["rank"] = pl.Series(ranks, dtype=pl.Int64)
    return outward(pl.DataFrame(columns), asked, model)


def answer_reasons(model: Recommender, asked: Asked, codes: np.ndarray) -> Any:
    """Reasons of (rows, n) codes, as ``Recommender.explain`` gives them; 0 ends a row."""
    rows: list[int] = []
    listed: list[int] = []
    found: list[explanations.Reason] = []
    for row, each in enumerate(codes):
        own = each[each > 0]
        for code, causes in zip(
            own.tolist(), explanations.reasons(model, asked.histories.take(np.array([row])), own), strict=True
        ):
            rows += [row] * len(causes)
            listed += [code] * len(causes)
            found += causes
    part = pl.Struct({"part": pl.String, "value": pl.Float64})
    names = model.item_vocabulary
    frame = pl.DataFrame(
        {
            "user_id": asked.users.gather(rows),
            "item_id": names.decode(np.array(listed, dtype=np.int64)),
            "kind": pl.Series([each.kind for each in found], dtype=pl.String),
            "because": pl.Series([each.because for each in found], dtype=names.ids.dtype),
            "drop": pl.Series([each.drop for each in found], dtype=pl.Float64),
            "text": pl.Series([each.text for each in found], dtype=pl.String),
            "contributions": pl.Series(
                [[{"part": name, "value": value} for name, value in each.contributions] for each in found],
                dtype=pl.List(part),
            ),
        }
    )
    return outward(frame, asked, model)


def outward(frame: pl.DataFrame, asked: Asked, model: Recommender) -> Any:
    """A frame with ``user_id`` and ``item_id`` about a question, as the kind and with the ids that came in."""
    vocabularies = {"item_id": model.item_vocabulary, "user_id": Vocabulary(asked.users, asked.uuids)}
    return _outward(frame, asked.frame_kind, vocabularies)


def titles_frame(model: Recommender, frame: pl.DataFrame, items: str = "item_id") -> pl.DataFrame:
    """Add a ``title`` column to a result frame where the catalogue has titles; ``items`` is the column of ids."""
    if not model.titles:
        return frame
    titles = [model.titles.get(item, "") for item in frame[items]]
    return frame.with_columns(pl.Series("title", titles, dtype=pl.String))


def answer_similar(model: Recommender, items: np.ndarray, codes: np.ndarray, scores: np.ndarray) -> Any:
    """``item_id, similar_item_id, score, rank``."""
    return _similar(model, "item_id", model.item_vocabulary, items, codes, scores)


def answer_similar_users(model: Recommender, users: np.ndarray, codes: np.ndarray, scores: np.ndarray) -> Any:
    """``user_id, similar_user_id, score, rank``."""
    return _similar(model, "user_id", model.user_vocabulary, users, codes, scores)


def _similar(
    model: Recommender, name: str, vocabulary: Vocabulary, subjects: np.ndarray, codes: np.ndarray, scores: np.ndarray
) -> Any:
    kept = codes > 0
    ranks = np.broadcast_to(np.arange(1, codes.shape[1] + 1), codes.shape)[kept]
    frame = pl.DataFrame(
        {
            name: vocabulary.decode(np.repeat(subjects, kept.sum(1))),
            f"similar_{name}": vocabulary.decode(codes[kept]),
            "score": pl.Series(scores[kept], dtype=pl.Float32),
            "rank": pl.Series(ranks, dtype=pl.Int64),
        }
    )
    return _outward(frame, model.frame_kind, dict.fromkeys((name, f"similar_{name}"), vocabulary))


def _outward(frame: pl.DataFrame, kind: frames.FrameKind, vocabularies: dict[str, Vocabulary]) -> Any:
    result = frames.from_polars(frame, kind)
    if kind == "pandas" and not isinstance(result, pl.DataFrame):
        for name, vocabulary in vocabularies.items():
            if vocabulary.is_uuid:
                result[name] = vocabulary.outward(frame[name])
    return result


def ids(given: Any, name: str, column: str) -> pl.Series | list[Any]:
    """External ids from one of them, a list, an array or column of them, or a frame with the column.

    Raises:
        ArgumentKind: it is nothing of that.
        ColumnMissing: it is a frame without the column.
    """
    if frames.is_frame(given):
        table = schema.rename(frames.to_polars(given, name)[0], None, (column,), f"frame of {name}")
        return table[column]
    if isinstance(given, pl.Series):
        return given
    if isinstance(given, _ID):
        return [given]
    advice = f"Give one id, a list of ids, or a frame with the column {column}."
    if isinstance(given, str | Mapping | type) or not hasattr(given, "__iter__"):
        raise refusal(given, "a recommender", name, "ids", advice)
    values = list(given)
    for value in values:
        if not (value is None or isinstance(value, _ID)):
            raise refusal(value, "a recommender", f"one of {name}", "an id", advice)
    return values


def _known_users(model: Recommender, users: Any) -> Asked:
    values = ids(users, "users", "user_id")
    codes = model.user_vocabulary.encode(values)
    cold = int((codes == 0).sum())
    if cold:
        message = f"{cold} of {len(codes)} users are not in the log; they get what suits an empty history."
        warnings.warn(message, ColdUsers, stacklevel=4)
    names = values if isinstance(values, pl.Series) else model.user_vocabulary.names(values, codes)
    # A cold user may be asked for by any name; then the known ones are text beside it.
    uuids = model.user_vocabulary.is_uuid and all(
        code > 0 or isinstance(value, uuid.UUID) for value, code in zip(values, codes, strict=True)
    )
    return Asked(names, model.histories.take(codes), model.frame_kind, uuids)


def _lists(model: Recommender, histories: Any) -> Asked:
    lengths, flat = [], []
    for history in histories:
        if isinstance(history, str | bytes) or not hasattr(history, "__iter__"):
            raise HistoryMalformed(kind=f"a list of {type(history).__name__}")
        items = list(history)
        lengths.append(len(items))
        flat.extend(items)
    codes = model.item_vocabulary.encode(flat)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    encoded = Histories.from_rows(rows, codes, len(lengths))
    return Asked(pl.Series(range(len(lengths)), dtype=pl.Int64), _skip_unknown(encoded), model.frame_kind, False)


def _frame(model: Recommender, histories: Any) -> Asked:
    try:
        table, kind = frames.to_polars(histories, "histories")
    except Exception as error:
        raise HistoryMalformed(kind=f"a {type(histories).__name__}") from error
    required = ("user_id", "item_id") if "timestamp" not in table.columns else schema.REQUIRED
    table = schema.rename(table, None, required, "histories")
    if "timestamp" in table.columns:
        table, clock = schema.normalise_events(table, model.time_zone)
        # Without a time an item twice may be two events; with one it is what training removes too.
        table = table.filter(first_of_copies(table) | pl.col("timestamp").is_null())
        table = table.sort("timestamp", maintain_order=True)
        if clock != model.clock:  # an order among times, or times among an order, tells the order alone
            table = table.drop("timestamp")
    else:
        table = schema.normalise_behaviour(table)
    users = table["user_id"].unique(maintain_order=True)
    place = dict(zip(users.to_list(), range(len(users)), strict=True))
    rows = np.array([place[user] for user in table["user_id"].to_list()], dtype=np.int64)
    order = np.argsort(rows, kind="stable")
    columns = {"items": model.item_vocabulary.encode(table["item_id"])} | _others(model, table)
    ordered = {name: column[order] for name, column in columns.items()}
    encoded = Histories.from_rows(rows[order], count=len(users), **ordered)
    uuids = kind == "pandas" and isinstance(next(iter(histories["user_id"]), None), uuid.UUID)
    moments = None
    if "at" in table.columns:
        last = table.group_by("user_id", maintain_order=True).agg(pl.col("at").drop_nulls().last())
        moments = last["at"] if last["at"].dtype != pl.Null else None
    return Asked(users, _skip_unknown(encoded), kind, uuids, moments=moments)


def _others(model: Recommender, table: pl.DataFrame) -> dict[str, np.ndarray]:
    """Moments, actions and values of the events given, where they and the log have them."""
    found = {}
    if "timestamp" in table.columns:
        found["timestamps"] = table["timestamp"].fill_null(UNKNOWN_TIME).to_numpy()
    if "action" in table.columns and model.action_names:
        found["actions"] = encode_actions(table["action"], model.action_names)
    if "value" in table.columns:
        found["values"] = table["value"].fill_null(float("nan")).to_numpy()
    return found


def _skip_unknown(histories: Histories) -> Histories:
    unknown = int((histories.items == 0).sum())
    if unknown:
        message = f"{unknown} items of the histories are not in the catalogue; they are skipped."
        warnings.warn(message, UnknownItemsInHistory, stacklevel=5)
    return histories.known()
