"""``segue.mine``: what people do one after the other, as a frame.

Reads a log, checks what was asked, has ``mining`` search, and says what it found. Windows, rules, contrasts and
regularity have doors of their own in this room.
"""

from __future__ import annotations

import numbers
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import polars as pl
from pydantic import Field

from segue import progress as bars
from segue.cautions import ManyPatterns, MiningStopped, PatternsCut
from segue.config import Config
from segue.data.dataset import Dataset, as_dataset
from segue.data.frames import from_polars
from segue.errors import ConfigValue, ConstraintsContradict, NoClock, SetsUnsupported
from segue.patterns.measures import MEASURES, Measure, measured
from segue.patterns.mining import Bounds, PatternTree, expected, frequent
from segue.patterns.redundancy import MOST, telling
from segue.patterns.sequences import Sequences, sequences
from segue.patterns.spans import Span, microseconds
from segue.patterns.support import least_users
from segue.patterns.wanted import Wanted


class MiningConfig(Config):
    """Settings of :func:`mine`."""

    min_support: float | int = 0.01
    """Users who must have a pattern: a share (a float above 0 and up to 1) or a number (a whole number)."""
    min_length: int = Field(1, ge=1)
    """Symbols in a pattern, at least."""
    max_length: int | None = Field(None, ge=1)
    """Symbols in a pattern, at most."""
    max_gap: int | None = Field(None, ge=1)
    """Events from one symbol to the next, at most; 1: the very next."""
    max_span: int | None = Field(None, ge=1)
    """Events from the first symbol to the last, at most."""
    max_gap_time: Any = None
    """Time from one symbol to the next, at most: ``"7d"``, a timedelta or a number of days."""
    max_span_time: Any = None
    """Time from the first symbol to the last, at most."""
    min_gap_time: Any = None
    """Time from one symbol to the next, at least."""
    of: str = "item"
    """What a symbol is: ``"item"``, ``"action"``, ``"action+item"``, or a column of the catalogue."""
    level: int | None = Field(None, ge=1)
    """Of a column whose values are paths (``"Home > Kitchen"``): how many levels count."""
    ties: Literal["log", "together"] = "log"
    """Events of one moment follow each other as in the log, or are together: neither before the other."""
    elements: Literal["single", "sets"] = "single"
    """What a pattern is made of: single symbols, or sets of symbols of one moment (``ties="together"`` is implied)."""
    only: Any = None
    """Symbols that count (a list), or items by their catalogue (``{"brand": ["Acme"]}``). None: all."""
    excluding: Any = None
    """Symbols that do not count, told as for ``only``."""
    containing: Any = None
    """Patterns must hold one of these symbols, told as for ``only``."""
    keep: Literal["all", "closed", "maximal"] = "all"
    """Closed: held by no longer pattern of the same support. Maximal: held by none."""
    top: int | None = Field(None, ge=1)
    """The most frequent patterns, so many, instead of all above ``min_support``."""
    measures: list[Measure] = Field(default_factory=list)
    """Columns to add: confidence, lift, leverage, days."""
    limit: int = Field(1_000_000, ge=1)
    """Patterns to find before giving up."""
    memory: float = Field(2_000, gt=0)
    """Megabytes that the search may take before giving up; the log comes on top."""


def mine(
    events: Any,
    items: Any = None,
    *,
    columns: Mapping[str, str] | None = None,
    time_zone: str | None = None,
    progress: bool = True,
    threads: int | None = None,
    **settings: Any,
) -> Any:
    """Frequent sequential patterns: what many users do in the same order, not necessarily right after each other.

    Support is counted once per user. Without bounds the result is that of PrefixSpan (Pei et al., ICDE 2001) over
    sequences of single items, exact. With ``elements="sets"`` it is that over sequences of itemsets (GSP, Srikant and
    Agrawal, EDBT 1996): all symbols of an element stand at one moment, and ``length`` counts symbols.

    Args:
        events, items: a log and a catalogue, as frames, files or a ``Dataset``.
        columns, time_zone: as for ``Dataset.from_frames``.
        threads: None: all cores.
        settings: see :class:`MiningConfig`; for example ``min_support=0.01, max_length=3, max_gap_time="7d"``.

    Returns:
        A frame of the kind that came in: ``pattern`` (a list of ids, or of sets as lists of ids), ``length``,
        ``support`` (users), ``users_share``, and the ``measures`` asked for; the most frequent first. Ctrl-C, ``limit``
        and ``memory`` end the search early and return what is complete, with a warning.

    Raises:
        ConfigUnknown, ConfigValue, DataError.
        SupportUnusable, SpanUnreadable, SymbolsMissing, SymbolsUnknown, NoClock.
        ConstraintsContradict: no pattern could meet what is asked.
        SetsUnsupported: closed or maximal patterns, or the measure days, of sets.
    """
    config = MiningConfig.parse(settings, owner="mine")
    reading: dict[str, Any] = {"columns": columns, "time_zone": time_zone} if not isinstance(events, Dataset) else {}
    data = as_dataset(events, items, **reading)
    sets = config.elements == "sets"
    if sets and (config.keep != "all" or "days" in config.measures):
        what = f"keep={config.keep!r}" if config.keep != "all" else "the measure days"
        raise SetsUnsupported(what=what)
    made = sequences(data, config.of, config.level, "together" if sets else config.ties)
    made = made.with_sets() if sets else made
    bounds = bounds_of(config, made)
    wanted = Wanted.of(config.only, config.excluding, config.containing, made, data)
    made = made.keep(wanted.counts[made.symbols])
    longest = _longest(config, made)
    if threads is not None and (not isinstance(threads, numbers.Integral) or threads < 1):
        raise ConfigValue(name="threads", owner="mine", value=threads, reason="a whole number of at least 1 is needed")
    if config.top is not None:
        tree = _most_frequent(made, config, longest, bounds, wanted, threads, progress)
    else:
        least = least_users(config.min_support, max(data.histories.lengths.astype(bool).sum(), 1))
        tree = _all(made, least, config, longest, bounds, threads, progress)
    chosen = _chosen(tree, config, bounds, wanted)
    return from_polars(_frame(tree, chosen, made, config, data), data.frame_kind)


def bounds_of(config: MiningConfig, made: Sequences) -> Bounds:
    """How far symbols may lie from each other; raises as :func:`mine`."""

    def time(span: Span | None) -> int | None:
        return None if span is None else microseconds(span)

    gap, span, least = time(config.max_gap_time), time(config.max_span_time), time(config.min_gap_time)
    bounds = Bounds(config.max_gap, config.max_span, gap, span, least)
    if bounds.on_time and made.times is None:
        raise NoClock(what="A bound on time")
    shortest, longest = config.min_length, config.max_length
    if longest is not None and shortest > longest:
        raise ConstraintsContradict(reason=f"min_length is {shortest} and max_length {longest}")
    if config.top is not None and config.keep == "maximal":
        raise ConstraintsContradict(reason="which patterns are maximal depends on min_support, and top chooses it")
    if bounds.span is not None and bounds.span < shortest - 1:
        reason = f"a pattern of min_length {shortest} spans {shortest - 1} events, and max_span is {bounds.span}"
        raise ConstraintsContradict(reason=reason)
    if least is not None and gap is not None and least > gap:
        reason = f"min_gap_time {config.min_gap_time!r} is longer than max_gap_time {config.max_gap_time!r}"
        raise ConstraintsContradict(reason=reason)
    if least is not None and span is not None and least * (shortest - 1) > span:
        reason = f"{shortest - 1} times min_gap_time {config.min_gap_time!r} is longer than {config.max_span_time!r}"
        raise ConstraintsContradict(reason=reason)
    return bounds


def _longest(config: MiningConfig, made: Sequences) -> int:
    if config.max_length is not None:
        return config.max_length
    return int(np.diff(made.offsets).max(initial=1))


def _all(
    made: Sequences,
    least: int,
    config: MiningConfig,
    longest: int,
    bounds: Bounds,
    threads: int | None,
    progress: bool,
) -> PatternTree:
    """All patterns that enough users have, with a warning where they are too many."""
    count, more = expected(made, least, longest, bounds)
    if count > config.limit or more:
        about = f"{'more than ' if more else 'about '}{count:,}"
        message = (
            f"A support of {least:,} users gives {about} patterns; the search ends at {config.limit:,}. Ask for "
            f"top=1000, a higher min_support, or a max_length."
        )
        warnings.warn(message, ManyPatterns, stacklevel=4)
    options: dict[str, Any] = {"limit": config.limit, "memory": config.memory, "threads": threads}
    if count <= config.limit and not more:
        with bars.share("Mining", progress) as say:
            tree = frequent(made, least, longest, bounds, tell=_counting(say), **options)
        if tree.stopped:
            _warn_stopped(tree)
        if tree.complete or tree.stopped:
            return tree
    return _up_to_a_length(made, least, longest, bounds, options, progress)


def _counting(say: Callable[[float, str], None]) -> Callable[[float, int], None]:
    return lambda share, found: say(share, f"{found:,} patterns")


def _up_to_a_length(
    made: Sequences, least: int, longest: int, bounds: Bounds, options: Mapping[str, Any], progress: bool
) -> PatternTree:
    """All patterns up to the greatest length that is within the limits: worth more than all those of some symbols."""
    tree = frequent(made, made.users + 1, 1, bounds)
    for length in range(1, longest + 1):
        with bars.share(f"Mining up to {length} symbols", progress) as say:
            found = frequent(made, least, length, bounds, tell=_counting(say), **options)
        what = f"the patterns of up to {length - 1} symbols are complete"
        if found.stopped:
            _warn("you stopped it", what, MiningStopped)
            return tree
        if not found.complete:
            _warn(f"limit={options['limit']:,} or memory={options['memory']:,.0f} was reached", what)
            return tree
        tree = found
        if found.lengths.max(initial=0) < length:
            break
    return tree


def _warn(why: str, what: str, category: type[PatternsCut] = PatternsCut) -> None:
    message = f"The search ended early ({why}): {what}, all others are missing."
    warnings.warn(message, category, stacklevel=5)


def _warn_stopped(tree: PatternTree) -> None:
    what = f"the patterns that begin with {tree.done:,} of {tree.roots:,} symbols are complete"
    _warn("you stopped it", what, MiningStopped)


def _most_frequent(
    made: Sequences,
    config: MiningConfig,
    longest: int,
    bounds: Bounds,
    wanted: Wanted,
    threads: int | None,
    progress: bool,
) -> PatternTree:
    """A tree that holds the ``top`` patterns; longer ones must beat what shorter ones reach."""
    assert config.top is not None
    options: dict[str, Any] = {"limit": config.limit, "memory": config.memory, "threads": threads}
    counted = config.model_copy(update={"top": None})

    def search(least: int, length: int) -> tuple[PatternTree, np.ndarray]:
        with bars.share(f"Mining up to {length} symbols of {least:,} users", progress) as say:
            found = frequent(made, least, length, bounds, tell=_counting(say), **options)
        return found, _chosen(found, counted, bounds, wanted)

    least = made.users
    tree = frequent(made, least, 1, bounds, **options)
    for length in range(longest if config.keep == "closed" else min(config.min_length, longest), longest + 1):
        found, several = search(least, length)
        while found.complete and len(several) < config.top and least > 1:
            least = max(1, least // 2)
            found, several = search(least, length)
        if found.stopped:
            _warn_stopped(found)
            return found
        if not found.complete:
            _warn("limit or memory was reached", f"the patterns of up to {length - 1} symbols are complete")
            break
        tree = found
        if len(several) >= config.top:
            least = max(1, int(np.sort(found.supports[several])[-config.top]))
        if found.lengths.max(initial=0) < length:
            break
    return tree


def _chosen(tree: PatternTree, config: MiningConfig, bounds: Bounds, wanted: Wanted) -> np.ndarray:
    """Which patterns of a tree are shown, in order."""
    shown = tree.lengths >= config.min_length
    shown &= wanted.held_by(tree)
    if config.keep != "all":
        gaps = bounds.gap is not None or bounds.gap_time is not None
        if gaps and tree.lengths.max(initial=0) > MOST:
            reason = f"with a bound on gaps keep={config.keep!r} reads up to {MOST} symbols, and there are longer"
            raise ConstraintsContradict(reason=f"{reason} patterns; max_length={MOST} leaves them out")
        shown &= telling(tree, config.keep, gaps)
    return tree.order(np.flatnonzero(shown))[: config.top]


def _frame(tree: PatternTree, chosen: np.ndarray, made: Sequences, config: MiningConfig, data: Dataset) -> pl.DataFrame:
    offsets, symbols = tree.flat(chosen)
    users = max(int((data.histories.lengths > 0).sum()), 1)
    frame = pl.DataFrame(
        {
            "pattern": _elements(tree, chosen, made) if made.sets else lists(made.labels.gather(symbols), offsets),
            "length": np.diff(offsets),
            "support": tree.supports[chosen],
            "users_share": tree.supports[chosen] / users,
        }
    )
    names = [name for name in MEASURES if name in config.measures]
    return frame.with_columns(pl.Series(name, measured(name, tree, chosen, made, users)) for name in names)


def _elements(tree: PatternTree, chosen: np.ndarray, made: Sequences) -> pl.Series:
    """A column of lists of elements, which are lists of labels."""
    _, symbols = tree.flat(chosen)
    patterns, elements = tree.elements(chosen)
    return lists(lists(made.labels.gather(symbols), elements), patterns)


def lists(values: pl.Series, offsets: np.ndarray) -> pl.Series:
    """A column of lists from flat values and where each list begins; no list is empty."""
    rows = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    frame = pl.DataFrame({"row": rows, "pattern": values})
    return frame.group_by("row", maintain_order=True).agg("pattern")["pattern"]
