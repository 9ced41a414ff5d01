"""Errors of logs, catalogues and splits."""

from __future__ import annotations

from segue.errors.base import SegueError


class DataError(SegueError):
    """Something in an event log, a catalogue or a history cannot be used."""


class FileNotReadable(DataError):
    code = "D001"
    template = "Cannot read {path}: {reason}."
    remedy = "Give a Parquet, CSV, TSV or JSON-lines file, or a directory of Parquet files."


class FormatNotWritten(DataError):
    code = "C012"
    template = "Cannot write {path}: {found} is no ending of a file that can be written here."
    remedy = "Give a name that ends in one of: {known}."


class EmptyLog(DataError):
    code = "D002"
    template = "The {what} has no rows{why}."
    remedy = "Check the source, or loosen the cleaning that removed them."


class ColumnMissing(DataError):
    code = "D003"
    template = "Column {column!r} is missing; the {what} has {found}.{hint}"
    remedy = "Rename it, or say which column it is: columns={{{column!r}: 'your name'}} (--columns {column}=your_name)."


class ColumnUnknown(DataError):
    code = "D004"
    template = "columns= names {column!r}, which the {what} does not have; it has {found}.{hint}"
    remedy = "Correct the name on the right of the equals sign."


class MixedIds(DataError):
    code = "D005"
    template = "Column {column!r} mixes id types: {types}."
    remedy = "Make them one type first, for example strings."


class TimestampUnreadable(DataError):
    code = "D006"
    template = "Column 'timestamp' cannot be read as time: {example!r} (type {dtype})."
    remedy = "Give dates, datetimes, ISO 8601 strings, or numbers (seconds, milliseconds, microseconds or an order)."


class FrameUnknown(DataError):
    code = "D007"
    template = "{what} is a {kind}, not a frame."
    remedy = "Give a pandas, polars or Arrow table."


class DuplicateItems(DataError):
    code = "D008"
    template = "The catalogue lists {count} item ids more than once, for example {example!r}."
    remedy = "Keep one row per item_id."


class IdsDiffer(DataError):
    code = "D009"
    template = "item_id is {left} in the events and {right} in the catalogue, and they do not match as text either."
    remedy = "Give both the same ids."


class HistoryMalformed(DataError):
    code = "D010"
    template = "histories is {kind}, not a list of lists of item ids."
    remedy = "Write histories=[['a', 'b'], ['c']], also for one history."


class FileChanged(DataError):
    code = "D011"
    template = "The log is not the one this training began with: {what}."
    remedy = "Train again without --resume, or bring the first log back."


class FrameNotReadable(DataError):
    code = "D012"
    template = "The frame of {what} cannot be read: {reason}."
    remedy = "Give every column one name and one plain type."


class ColumnUnreadable(DataError):
    code = "D013"
    template = "Column {column!r} holds {dtype}, not {wanted}."
    remedy = "Convert it first, or leave the column out."


class TimeZoneUnknown(DataError):
    code = "D014"
    template = "There is no time zone {name!r}.{hint}"
    remedy = "Give an IANA name such as 'Europe/Rome' or 'UTC'."


class FeatureUnknown(DataError):
    code = "D015"
    template = (
        "features= names {name!r}, which the catalogue does not have; its columns besides item_id: {found}.{hint}"
    )
    remedy = "Name columns of the catalogue, or leave features at 'auto'."


class SplitError(DataError):
    """A split that cannot be made, or must not be used."""


class SplitUnknown(SplitError):
    code = "D016"
    template = "--split {value!r} names no split.{hint}"
    remedy = "Use leave-last-out, by-time[:SHARE or DATE], last-n[:N], user-share[:SHARE], cold-items[:SHARE] or none."


class SplitLeak(SplitError):
    code = "P001"
    template = "This split leaks: {what} ({count} times, for example user {user!r}, item {item!r})."
    remedy = "Targets must not be in training, and must not be older than what the model is asked with."


class SplitEmpty(SplitError):
    code = "P002"
    template = "The split leaves nothing to {what}: {why}."
    remedy = "Use a longer log, other cut points, or --split none."
