"""The one object that training, evaluation and serving read: cleaned, encoded events and their catalogue.

``Dataset.from_frames`` takes frames of any kind, ``Dataset.from_files`` files; both read the schema, clean and
encode. Splits are ``Dataset`` objects over the same vocabularies. How to split is left to ``split``.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from segue.arguments import refusal, require_mapping, require_path, require_text
from segue.data import frames, schema
from segue.data.cleaning import CleaningConfig, CleaningReport, clean, number_sessions
from segue.data.histories import Histories, repeat_share
from segue.data.vocabulary import Vocabulary
from segue.errors import IdsDiffer


@dataclass(frozen=True, eq=False)
class Dataset:
    """Events in user and time order, encoded, with the catalogue and both vocabularies.

    Attributes:
        events: ``user`` and ``item`` (codes), ``timestamp`` (whole numbers), ``row`` (place in the log), and the
            optional columns of the log. Sorted by user and time; ties keep the log's order.
        items: the catalogue with external ``item_id``, or None.
        user_vocabulary, item_vocabulary: codes to external ids. Splits of one data set share them.
        clock: whether timestamps are a time (microseconds since 1970) or an order.
        frame_kind: the kind of frame the user came with.
        report: what cleaning removed.
        time_zone: in which hours, weekdays and months are read from timestamps (an IANA name).
        action_names: the kinds of action in the log, by code from 1.
    """

    events: pl.DataFrame
    items: pl.DataFrame | None
    user_vocabulary: Vocabulary
    item_vocabulary: Vocabulary
    clock: schema.Clock
    frame_kind: frames.FrameKind
    report: CleaningReport
    time_zone: str = "UTC"
    action_names: tuple[str, ...] = ()

    @classmethod
    def from_frames(
        cls,
        events: Any,
        items: Any = None,
        *,
        columns: Mapping[str, str] | None = None,
        item_columns: Mapping[str, str] | None = None,
        cleaning: CleaningConfig | Mapping[str, Any] | None = None,
        time_zone: str | None = None,
    ) -> Dataset:
        """Read, clean and encode a log and, when there is one, its catalogue.

        Args:
            events: pandas, polars or Arrow frame with ``user_id``, ``item_id``, ``timestamp`` and optionally
                ``action``, ``value`` and context columns.
            items: frame with ``item_id`` and any other columns.
            columns, item_columns: our name to theirs, for example ``{"user_id": "uid"}``.
            cleaning: what to remove (see :class:`CleaningConfig`).
            time_zone: an IANA name such as ``"Europe/Rome"``: hours and weekdays are read in it, and times without a
                zone are taken to be in it. Default: the zone of the timestamp column, or UTC.

        Raises:
            DataError: a column is missing, ids are mixed, time is unreadable, nothing is left, ...
        """
        if not isinstance(cleaning, CleaningConfig):
            cleaning = CleaningConfig.parse({} if cleaning is None else cleaning)
        for name, mapping in (("columns", columns), ("item_columns", item_columns)):
            if mapping is not None:
                require_mapping(mapping, "Dataset", name, "{'user_id': 'your name'}")
        if time_zone is not None:
            require_text(time_zone, "Dataset", "time_zone", "Europe/Rome")
        cleaning.warn_unread("cleaning")
        uuids = uuid_columns(events, columns)
        raw, kind = frames.to_polars(events, "events")
        raw = schema.rename(raw, columns, schema.REQUIRED, "event log")
        given = raw
        notes: list[str] = []
        zone = schema.zone_of(raw["timestamp"], time_zone)
        raw, clock = schema.normalise_events(raw, time_zone)
        numbered = cleaning.session_gap_minutes is not None and clock == "time"
        raw = _make_room(raw, {"row", "user", "item", *(("session",) if numbered else ())}, notes)
        if "value" in raw.columns and (lost := raw["value"].null_count() - given["value"].null_count()):
            notes.append(f"{lost} values could not be read as numbers and count as absent")
        catalogue = None
        if items is not None:
            catalogue, _ = frames.to_polars(items, "items")
            catalogue = schema.rename(catalogue, item_columns, ("item_id",), "catalogue")
            listed = catalogue.height
            catalogue = _same_id_type(raw, schema.normalise_items(catalogue))
            if listed > catalogue.height:
                notes.append(
                    f"{listed - catalogue.height} rows of the catalogue have no usable item_id; they are left out"
                )
        cleaned, report = clean(raw.with_row_index("row"), clock, cleaning)
        report.notes[:0] = notes
        known_items = [] if catalogue is None else [catalogue["item_id"]]
        item_vocabulary = Vocabulary.of(*known_items, cleaned["item_id"], is_uuid="item_id" in uuids)
        user_vocabulary = Vocabulary.of(cleaned["user_id"], is_uuid="user_id" in uuids)
        if catalogue is not None:
            _note_catalogue(report, len(item_vocabulary), catalogue.height)
        encoded = cleaned.select(
            pl.Series("user", user_vocabulary.encode(cleaned["user_id"]), dtype=pl.UInt32),
            pl.Series("item", item_vocabulary.encode(cleaned["item_id"]), dtype=pl.UInt32),
            pl.exclude("user_id", "item_id"),
        ).sort("user", "timestamp", maintain_order=True)
        if numbered:
            encoded = number_sessions(encoded.rename({"user": "user_id"}), cleaning.session_gap_minutes or 0.0)
            encoded = encoded.rename({"user_id": "user"})
        actions = () if "action" not in encoded.columns else tuple(encoded["action"].drop_nulls().unique().sort())
        return cls(encoded, catalogue, user_vocabulary, item_vocabulary, clock, kind, report, zone, actions)

    @classmethod
    def from_files(cls, events: str | Path, items: str | Path | None = None, **options: Any) -> Dataset:
        """As :meth:`from_frames`, from Parquet, CSV, TSV, JSON lines or a directory of Parquet."""
        catalogue = None
        if items is not None:
            catalogue = items if frames.is_frame(items) else frames.read_file(require_path(items, "Dataset", "items"))
        events = require_path(events, "Dataset", "events")
        return cls.from_frames(frames.read_file(events, "event log"), catalogue, **options)

    @cached_property
    def histories(self) -> Histories:
        """Row ``u`` is the history of the user with code ``u``; row 0 is empty."""
        return Histories.from_rows(
            self.events["user"].to_numpy().astype(np.int64),
            self.events["item"].to_numpy().astype(np.int64),
            len(self.user_vocabulary) + 1,
            timestamps=self.events["timestamp"].to_numpy(),
            actions=self._action_codes,
            values=self.events["value"].fill_null(float("nan")).to_numpy() if "value" in self.events.columns else None,
        )

    @property
    def _action_codes(self) -> np.ndarray | None:
        if not self.action_names or "action" not in self.events.columns:
            return None
        return encode_actions(self.events["action"], self.action_names)

    @cached_property
    def item_counts(self) -> np.ndarray:
        """Events per item code (int64, catalogue + 1 values; value 0 is 0)."""
        return np.bincount(self.events["item"].to_numpy(), minlength=len(self.item_vocabulary) + 1)

    @cached_property
    def repeat_share(self) -> float:
        """The share of events on items that the user had before."""
        return repeat_share(self.histories)

    @cached_property
    def titles(self) -> dict[Any, str]:
        """External item id to its title, where the catalogue has one."""
        return titles_of(self.items)

    def where(self, keep: pl.Series | np.ndarray | pl.Expr) -> Dataset:
        """The data set of some of its events; vocabularies and catalogue stay."""
        condition = pl.Series(keep) if isinstance(keep, np.ndarray) else keep
        return replace(self, events=self.events.filter(condition))

    def joined(self, other: Dataset) -> Dataset:
        """The events of both, in order; both must be parts of one data set."""
        events = pl.concat([self.events, other.events]).sort("user", "timestamp", "row")
        return replace(self, events=events)

    def __len__(self) -> int:
        return self.events.height

    def __repr__(self) -> str:
        users = self.events["user"].n_unique()
        return f"Dataset({len(self):,} events, {users:,} users, {len(self.item_vocabulary):,} items)"


def as_dataset(events: Any, items: Any = None, owner: str = "Dataset", **options: Any) -> Dataset:
    """A data set as it is; frames and files are read as :class:`Dataset` reads them.

    Raises:
        ArgumentKind: it is none of them.
        DataError: see ``Dataset.from_frames`` and ``Dataset.from_files``.
    """
    if isinstance(events, Dataset):
        return events
    if isinstance(events, str | os.PathLike):
        return Dataset.from_files(Path(events), items, **options)
    if not frames.is_frame(events):
        advice = "Give a pandas, polars or Arrow frame of events, the path of a log, or a segue.Dataset"
        advice += "; of a split, its train." if hasattr(events, "train") else "."
        raise refusal(events, owner, "the data", "a log", advice)
    return Dataset.from_frames(events, items, **options)


def encode_actions(actions: pl.Series, names: tuple[str, ...]) -> np.ndarray:
    """Codes from 1 by the place in ``names``; 0 where an action is absent or unknown."""
    codes = pl.DataFrame({"name": pl.Series(names, dtype=pl.String), "code": np.arange(1, len(names) + 1)})
    joined = pl.DataFrame({"name": actions.cast(pl.String)}).join(codes, on="name", how="left", maintain_order="left")
    return joined["code"].fill_null(0).to_numpy()


def titles_of(items: pl.DataFrame | None) -> dict[Any, str]:
    """Item id to title from a catalogue with a column ``title``, ``movie_title`` or ``name``; else empty."""
    named = {} if items is None else {name.lower(): name for name in items.columns}
    column = next((named[name] for name in ("title", "movie_title", "name") if name in named), None)
    if items is None or column is None:
        return {}
    text = pl.col(column).cast(pl.String)
    if isinstance(items.schema[column], pl.List):  # tokens
        text = pl.col(column).cast(pl.List(pl.String)).list.join(" ")
    return dict(items.select("item_id", text.fill_null("")).iter_rows())


def _make_room(events: pl.DataFrame, ours: set[str], notes: list[str]) -> pl.DataFrame:
    """Rename context columns whose names we need for our own."""
    renamed = {}
    for name in sorted(ours & set(events.columns)):
        other = name + "_"
        while other in events.columns:
            other += "_"
        renamed[name] = other
        notes.append(f"the column {name!r} is kept as {other!r}")
    return events.rename(renamed)


def _note_catalogue(report: CleaningReport, known: int, listed: int) -> None:
    if known > listed:
        report.notes.append(f"{known - listed} items of the events are not in the catalogue; they are kept")


def uuid_columns(frame: Any, columns: Mapping[str, str] | None) -> set[str]:
    """Which id columns hold UUID objects (the frame kinds themselves do not say)."""
    found = set()
    for ours in ("user_id", "item_id"):
        try:
            column = frame[(columns or {}).get(ours, ours)]
            first = next((value for value in column if value is not None), None)
        except Exception:  # noqa: BLE001 - whatever is wrong with the frame is reported by the schema
            continue
        if isinstance(first, uuid.UUID):
            found.add(ours)
    return found


def _same_id_type(events: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """The catalogue with ids of the events' type."""
    left, right = events.schema["item_id"], items.schema["item_id"]
    if left == right:
        return items
    as_text = pl.col("item_id").cast(pl.String)
    texts = items.select(as_text)["item_id"]
    if not events.select(as_text.is_in(texts.implode()).any()).item():
        raise IdsDiffer(left=left, right=right)
    # The events' type wins: their ids are what the caller asks with.
    converted = items.with_columns(pl.col("item_id").cast(left, strict=False)).filter(pl.col("item_id").is_not_null())
    schema.refuse_duplicates(converted)  # "1" and "01" are one number
    return converted
