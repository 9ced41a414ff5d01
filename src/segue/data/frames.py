"""Frames of any kind in, the same kind out, through narwhals; polars in between.

Also the files a log or a catalogue may come in. What the columns mean is left to ``schema``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import narwhals as nw
import polars as pl

from segue.errors import EmptyLog, FileNotReadable, FormatNotWritten, FrameNotReadable, FrameUnknown, MixedIds

FrameKind = Literal["polars", "pandas", "arrow"]


def to_polars(frame: Any, what: str = "events") -> tuple[pl.DataFrame, FrameKind]:
    """Convert a pandas, polars or Arrow frame; returns the polars frame and the kind it came as.

    Raises:
        FrameUnknown: it is no frame.
        FrameNotReadable: it is a frame, but one that polars cannot hold.
        MixedIds: a pandas column mixes Python types, so that it has no type of its own.
    """
    try:
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
            wrapped = nw.from_native(_plain_objects(frame), eager_only=True)
        return wrapped.to_polars(), kind
    except (ValueError, TypeError, OverflowError, nw.exceptions.NarwhalsError, pl.exceptions.PolarsError) as error:
        raise FrameNotReadable(what=what, reason=_first_line(error)) from None


def is_frame(value: Any) -> bool:
    """Whether :func:`to_polars` takes it."""
    if isinstance(value, pl.DataFrame | pl.LazyFrame):
        return True
    try:
        nw.from_native(value, eager_only=True)
    except TypeError:
        return False
    return True


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
    try:
        if not source.exists():
            raise FileNotReadable(path=source, reason="there is no such file")
        if source.is_file() and source.stat().st_size == 0:
            raise EmptyLog(what=what, why=f" ({source} is empty)")
        frame = _read(source)
        return frame.rename({name: name.rpartition(":")[0] for name in frame.columns if _is_typed(name)})
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeDecodeError) as error:
        raise FileNotReadable(path=source, reason=_first_line(error)) from None


WRITTEN = (".parquet", ".csv", ".tsv", ".jsonl", ".ndjson")
"""Endings that :func:`write_file` knows."""


def write_file(frame: Any, path: str | Path) -> bytes:
    """The bytes of a frame in the format that the file name asks for; raises ``FormatNotWritten``."""
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
            raise FormatNotWritten(path=path, found=other or "no ending", known=", ".join(WRITTEN))
    return buffer.getvalue()


def _read(source: Path) -> pl.DataFrame:
    # A path is a path: [ and * in it are no pattern.
    if source.is_dir():
        files = sorted(source.rglob("*.parquet"))
        if not files:
            raise FileNotReadable(path=source, reason="the directory holds no .parquet file")
        return pl.concat([pl.read_parquet(file, glob=False) for file in files], how="diagonal_relaxed")
    match source.suffix.lower():
        case ".parquet" | ".pq":
            return pl.read_parquet(source, glob=False)
        case ".csv":
            return _read_separated(source)
        case ".tsv" | ".inter" | ".item" | ".user" | ".tab":
            return _read_separated(source, separator="\t", quote_char=None)
        case ".jsonl" | ".ndjson":
            with source.open("rb") as file:
                return pl.read_ndjson(file, infer_schema_length=None)
    raise FileNotReadable(path=source, reason=f"{source.suffix or 'no ending'} is not a known kind of file")


def _read_separated(source: Path, **options: Any) -> pl.DataFrame:
    """Read CSV or TSV; a number that would not come out as it went in (007, or 20 digits) stays text."""
    options["glob"] = False
    scan = pl.scan_csv(source, infer_schema_length=None, **options)
    schema = scan.collect_schema()
    text = [name for name, dtype in schema.items() if dtype in (pl.Int128, pl.UInt64)]
    whole = [name for name, dtype in schema.items() if dtype == pl.Int64]
    if whole:
        raw = pl.scan_csv(source, infer_schema=False, **options)
        padded = [pl.col(name).str.contains("^[ +-]*0[0-9]").any() for name in whole]
        found = raw.select(padded).collect(engine="streaming")
        text += [name for name in whole if found[name].item()]
    return (
        scan.collect()
        if not text
        else pl.read_csv(source, infer_schema_length=None, schema_overrides=dict.fromkeys(text, pl.String), **options)
    )


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".:")


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
        elif len(kinds) > 1 and not kinds <= {"int", "float"} and kinds & {"str", "int", "float", "bool", "UUID"}:
            if name in {"user_id", "item_id"}:
                raise MixedIds(column=name, types=", ".join(sorted(kinds)))
            changed[name] = column.map(str, na_action="ignore")
    return frame.assign(**changed) if changed else frame
