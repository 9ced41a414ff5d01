"""Frames of any kind in, the same kind out, through narwhals; polars in between.

Also the files a log or a catalogue may come in. What the columns mean is left to ``schema``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import narwhals as nw
import polars as pl

from segue.errors import EmptyLog, FileNotReadable, FrameUnknown, MixedIds

FrameKind = Literal["polars", "pandas", "arrow"]


def to_polars(frame: Any, what: str = "events") -> tuple[pl.DataFrame, FrameKind]:
    """Convert a pandas, polars or Arrow frame; returns the polars frame and the kind it came as.

    Raises:
        FrameUnknown: it is no frame.
        MixedIds: a pandas column mixes Python types, so that it has no type of its own.
    """
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return frame, "polars"
    try:
        wrapped = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise FrameUnknown(what=what, kind=type(frame).__name__) from None
    kind: FrameKind = "pandas" if wrapped.implementation.is_pandas_like() else "arrow"
    if kind == "pandas":
        frame = _plain_objects(frame)
        wrapped = nw.from_native(frame, eager_only=True)
    return wrapped.to_polars(), kind


def from_polars(frame: pl.DataFrame, kind: FrameKind) -> Any:
    """Give a polars frame back as ``kind`` (as polars where pandas is not installed)."""
    if kind == "polars":
        return frame
    wrapped = nw.from_native(frame, eager_only=True)
    if kind == "arrow":
        return wrapped.to_arrow()
    try:
        return wrapped.to_pandas()
    except ModuleNotFoundError:
        return frame


def read_file(path: str | Path, what: str = "events") -> pl.DataFrame:
    """Read Parquet, CSV, TSV, JSON lines, or a directory of Parquet files.

    Typed headers of the RecBole kind (``user_id:token``) lose their suffix. Raises ``FileNotReadable`` and
    ``EmptyLog``.
    """
    source = Path(path)
    if not source.exists():
        raise FileNotReadable(path=source, reason="there is no such file")
    if source.is_file() and source.stat().st_size == 0:
        raise EmptyLog(what=what, why=f" ({source} is empty)")
    try:
        frame = _read(source)
    except (pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
        raise FileNotReadable(path=source, reason=str(error).splitlines()[0].rstrip(".")) from None
    return frame.rename({name: name.rpartition(":")[0] for name in frame.columns if _is_typed(name)})


def write_file(frame: Any, path: str | Path) -> bytes:
    """The bytes of a frame in the format that the file name asks for (Parquet, CSV, TSV or JSON lines)."""
    import io

    table, _ = to_polars(frame, "result")
    buffer = io.BytesIO()
    match Path(path).suffix.lower():
        case ".csv":
            table.write_csv(buffer)
        case ".tsv":
            table.write_csv(buffer, separator="\t")
        case ".jsonl" | ".ndjson":
            table.write_ndjson(buffer)
        case ".parquet":
            table.write_parquet(buffer)
        case other:
            reason = f"{other or 'no ending'} is not .parquet, .csv, .tsv or .jsonl"
            raise FileNotReadable(path=path, reason=reason)
    return buffer.getvalue()


def _read(source: Path) -> pl.DataFrame:
    if source.is_dir():
        files = sorted(source.rglob("*.parquet"))
        if not files:
            raise FileNotReadable(path=source, reason="the directory holds no .parquet file")
        return pl.concat([pl.read_parquet(file) for file in files], how="vertical_relaxed")
    match source.suffix.lower():
        case ".parquet" | ".pq":
            return pl.read_parquet(source)
        case ".csv":
            return pl.read_csv(source, infer_schema_length=None, try_parse_dates=False)
        case ".tsv" | ".inter" | ".item" | ".user" | ".tab":
            return pl.read_csv(source, separator="\t", quote_char=None, infer_schema_length=None)
        case ".jsonl" | ".ndjson":
            return pl.read_ndjson(source, infer_schema_length=None)
    raise FileNotReadable(path=source, reason=f"{source.suffix or 'no ending'} is not a known kind of file")


def _is_typed(name: str) -> bool:
    return name.rpartition(":")[2] in {"token", "token_seq", "float", "float_seq"} and ":" in name


def _plain_objects(frame: Any) -> Any:
    """Turn pandas columns of UUIDs into text and refuse columns of mixed scalar types."""
    changed = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype != object:
            continue
        kinds = {type(value).__name__ for value in column if value is not None and value == value}
        if kinds == {"UUID"}:
            changed[name] = column.map(str, na_action="ignore")
        elif len(kinds) > 1 and not kinds <= {"int", "float", "bool"} and kinds & {"str", "int", "float", "UUID"}:
            if name in {"user_id", "item_id"}:
                raise MixedIds(column=name, types=", ".join(sorted(kinds)))
            changed[name] = column.map(str, na_action="ignore")
    return frame.assign(**changed) if changed else frame
