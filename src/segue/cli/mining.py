"""What ``segue mine`` is asked for, as the arguments of a miner; and what it found, as a table and a file."""

from __future__ import annotations

import contextlib
import inspect
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from rich.markup import escape
from rich.table import Table

from segue.cli.shared import console
from segue.config import parse_assignments
from segue.data.dataset import Dataset
from segue.data.frames import WRITTEN, read_file, to_polars, write_file
from segue.errors import ConfigUnknown, FormatNotWritten, OptionElsewhere, SupportUnusable, nearest
from segue.patterns.contrast import contrast
from segue.patterns.mine import mine
from segue.patterns.regularity import refills
from segue.patterns.rules import rules
from segue.patterns.support import least_users
from segue.patterns.time_habits import habits_of_time
from segue.patterns.windows import windows
from segue.patterns.wording import cut, is_share, readable

_SHARE = 0.01
_ROWS, _SYMBOL, _LINES = 20, 34, 150  # shown in a terminal: rows, characters of a symbol, and of a pattern
_MINERS: dict[str, Callable[..., Any]] = {
    "patterns": mine,
    "windows": windows,
    "rules": rules,
    "contrast": contrast,
    "refills": refills,
    "clock": habits_of_time,
}
_OF = ("of", "level", "top", "min_support")
_TAKEN = {
    "patterns": (
        *_OF, "min_length", "max_length", "max_gap", "max_span", "max_gap_time", "max_span_time", "min_gap_time",
        "ties", "elements", "only", "excluding", "containing", "keep", "measures", "limit", "memory",
    ),
    "windows": (*_OF, "min_length", "max_length", "max_span_time", "ties"),
    "rules": (*_OF, "max_length", "max_span_time", "ties"),
    "contrast": (*_OF, "max_length", "max_span_time", "ties", "since", "action", "groups"),
    "refills": (*_OF, "action"),
    "clock": (*_OF, "action"),
}  # fmt: skip
OPTIONS = {name for names in _TAKEN.values() for name in names}
_OURS = {"events", "items", "progress", *OPTIONS}  # what --set does not reach
_SHOWN = {
    "windows": ("pattern", "count", "support", "lift"),
    "rules": (
        "antecedent",
        "consequent",
        "support",
        "confidence",
        "lift",
        "zhangs_metric",
        "jaccard",
        "kulczynski",
        "certainty",
    ),
    "contrast": ("pattern", "growth", "adjusted_p_value"),  # and the share of each group
    "refills": ("returning_users", "median_days", "lower_days", "upper_days", "regularity"),
    "clock": ("name", "count", "share", "lift"),
}
ROWS = {"contrast": "contrasting patterns", "refills": "refills", "clock": "hours and weekdays"}
"""What the rows are, where it is not what was asked for."""


def arguments_of(what: str, asked: Mapping[str, Any], settings: list[str], data: Dataset) -> dict[str, Any]:
    """The arguments of the miner of this kind, from options that were given.

    Raises:
        OptionElsewhere: an option is of another kind.
        ConfigUnknown, ConfigSet: ``--set`` names what the miner does not take.
        SupportUnusable, FormatNotWritten.
    """
    if unknown := [name for name in asked if name not in _TAKEN[what]]:
        names = {_option(name) for name in _TAKEN[what]}
        hint = f" It goes with --what {next(kind for kind in _TAKEN if unknown[0] in _TAKEN[kind])}."
        raise OptionElsewhere(option=_option(unknown[0]), what=what, hint=hint, known=", ".join(sorted(names)))
    arguments = {name: _read(name, value, asked.get("of", "item"), data) for name, value in asked.items()}
    arguments.setdefault("min_support", _SHARE)
    if what in ("refills", "clock"):
        arguments["min_users"] = least_users(arguments.pop("min_support"), int((data.histories.lengths > 0).sum()))
    if what != "patterns" and "max_span_time" in arguments:
        arguments["within"] = arguments.pop("max_span_time")
    more = parse_assignments(settings)
    takes = [name for name in inspect.signature(_MINERS[what]).parameters if name not in _OURS]
    known = [] if what == "patterns" else takes  # whose settings are options, all of them
    if strange := [name for name in more if name not in known]:
        told = ", ".join(known) or "none, but the options above"
        raise ConfigUnknown(name=strange[0], owner=f"--what {what}", hint=nearest(strange[0], known), known=told)
    return arguments | more


def found_by(what: str, arguments: Mapping[str, Any], data: Dataset, progress: bool) -> pl.DataFrame:
    """The frame of the miner of this kind; raises as that does."""
    miner = _MINERS[what]
    known = inspect.signature(miner).parameters
    top = None if what == "patterns" or "top" in known else arguments.get("top")
    given = {name: value for name, value in arguments.items() if top is None or name != "top"}
    if "progress" in known:
        given["progress"] = progress
    found = to_polars(miner(data, **given), "result")[0]
    return found if top is None else found.head(top)


@contextlib.contextmanager
def heard() -> Iterator[list[Warning]]:
    """The warnings that come up while the block runs, which are shown as ever."""
    notes: list[Warning] = []
    with warnings.catch_warnings():
        before = warnings.showwarning

        def listen(message: Warning | str, *rest: Any, **more: Any) -> None:
            if isinstance(message, Warning):
                notes.append(message)
            before(message, *rest, **more)

        warnings.showwarning = listen
        yield notes


def show(found: pl.DataFrame, data: Dataset, what: str, of: str, whole: bool = True) -> None:
    """The first rows, with titles instead of ids, and how many there are."""
    rows = ROWS.get(what, what)
    if not found.height:
        why = "nothing is frequent enough. A lower --min-support finds more" if whole else "the search ended before any"
        console.print(f"No {rows}: {why}.", highlight=False)
        return
    titles = data.titles if of in ("item", "action+item") else {}
    first = readable(found.head(31 if what == "clock" else _ROWS), titles, _SYMBOL)
    wanted = _SHOWN.get(what, first.columns)
    symbols = first.columns[: first.columns.index("users" if what == "refills" else "cycle")] if what in _ALONE else []
    table = Table(box=None, pad_edge=False, header_style="bold")
    names = [name for name in first.columns if name in wanted or name in symbols or name.startswith("share_")]
    for name in names:
        numeric = first.schema[name].is_numeric()
        table.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in first.select(names).iter_rows():
        table.add_row(*(_cell(name, value) for name, value in zip(names, row, strict=True)))
    console.print(table)
    shown = f"the first {first.height} of " if first.height < found.height else ""
    console.print(f"{shown}{found.height:,} {rows}", style="dim", highlight=False)


def refuse_ending(out: Path) -> None:
    """Raise ``FormatNotWritten`` before anything is mined where the file's name asks for no format."""
    known = (*WRITTEN, ".json")
    if out.suffix.lower() not in known:
        raise FormatNotWritten(path=out, found=out.suffix or "no ending", known=", ".join(known))


def content(found: pl.DataFrame, out: Path) -> bytes:
    """The bytes of a file of this name; in CSV and TSV a list is a JSON list."""
    ending = out.suffix.lower()
    if ending == ".json":
        buffer = io.BytesIO()
        found.write_json(buffer)
        return buffer.getvalue()
    if ending in (".csv", ".tsv"):
        nested = [name for name, dtype in found.schema.items() if isinstance(dtype, pl.List)]
        texts = [
            pl.Series(name, [json.dumps(each, ensure_ascii=False, default=str) for each in found[name].to_list()])
            for name in nested
        ]
        found = found.with_columns(texts)
    return write_file(found, out)


_ALONE = ("refills", "clock")  # of one symbol a row


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


def _read(name: str, value: Any, of: str, data: Dataset) -> Any:
    match name:
        case "min_support":
            return _support(value)
        case "only" | "excluding" | "containing":
            return _symbols(value, of, data)
        case "measures":
            return [each.strip() for each in value.split(",")]
        case "groups":
            return read_file(value, "groups")
        case "since" if data.clock != "time":
            return int(value) if value.strip().lstrip("-").isdigit() else value
    return value


def _support(text: str) -> float:
    """``"50"`` is a number of users; ``"0.01"`` and ``"1%"`` are shares. Raises ``SupportUnusable``."""
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    raise SupportUnusable(value=repr(text), reason="a share of the users or a whole number of them")


def _symbols(text: str, of: str, data: Dataset) -> Any:
    """``"a,b"`` to symbols as they are in the log; ``"brand=Acme,brand=Best"`` to columns of the catalogue."""
    parts = [part.strip() for part in text.split(",") if part.strip()]
    columns = [] if data.items is None else data.items.columns
    if of == "item" and all(part.partition("=")[0] in columns and "=" in part for part in parts):
        found: dict[str, list[str]] = {}
        for part in parts:
            column, _, value = part.partition("=")
            found.setdefault(column, []).append(value)
        return found
    if of == "item":
        return _ids(parts, data)
    if of == "action+item":
        pairs = [part.partition(":") for part in parts]
        return list(zip([action for action, _, _ in pairs], _ids([item for _, _, item in pairs], data), strict=True))
    return parts


def _ids(texts: list[str], data: Dataset) -> list[Any]:
    """Ids of the log's own type; what is none stays text, and is refused as unknown."""
    ids = pl.Series(texts, dtype=pl.String).cast(data.item_vocabulary.ids.dtype, strict=False)
    return [text if each is None else each for text, each in zip(texts, ids.to_list(), strict=True)]


def _cell(name: str, value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.1%}" if is_share(name) else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else escape(cut(str(value), _LINES))
