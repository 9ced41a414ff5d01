"""Contrast patterns: what one group of users does in order that another does not, and what changed since a moment.

Candidates are the subsequences that enough users of either group have; each is counted in both groups, a user once,
and compared (emerging patterns, Dong and Li, KDD 1999). How groups are made is in ``groups``.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import polars as pl

from segue.cautions import PatternsCut
from segue.data.dataset import as_dataset
from segue.data.frames import from_polars
from segue.data.jit import kernel
from segue.errors import NoClock
from segue.patterns.chance import CORRECTIONS, adjusted, fisher_two_sided
from segue.patterns.counting import by_label, need_choice, need_whole, pattern_column
from segue.patterns.groups import two_groups
from segue.patterns.mining import Bounds, frequent
from segue.patterns.sequences import Sequences
from segue.patterns.spans import Span, microseconds
from segue.patterns.support import least_users
from segue.patterns.windows import TIES

_ENDLESS = np.iinfo(np.int64).max


def contrast(
    events: Any,
    items: Any = None,
    *,
    groups: Any = None,
    since: Any = None,
    action: str | None = None,
    target: str | None = None,
    period: Span | None = None,
    of: str = "item",
    level: int | None = None,
    max_length: int = 3,
    within: Span | None = None,
    min_support: float = 0.01,
    top: int | None = None,
    correction: str = "benjamini-hochberg",
    ties: str = "log",
) -> Any:
    """Patterns with how many users of two groups have each, and how sure the difference is.

    A pattern is symbols in this order, with anything in between. Exactly one of the first three makes the groups:

    Args:
        events, items: a data set, or frames or files as ``Dataset`` reads them.
        groups: a mapping of user ids to labels, or a frame with ``user_id`` and ``group``. Users without a label are
            left out.
        since: a moment; the groups are ``since`` and ``before``. A user of both times is in both, so that the p values,
            which take the groups for independent, are too large rather than too small where users keep their habits.
        action: users who ever did this, looking only at events before the first time, against ``others`` with all of
            theirs. Those who have nothing before it are left out. The two may differ in length for that reason alone.
        target: the label of the first group; with more than two labels the rest are ``others``. None: the last of two
            labels in their order.
        period: with ``since``, how long both times are. None: to the ends of the log.
        of, level: what a symbol is, see :func:`segue.patterns.sequences.sequences`.
        max_length: symbols in a pattern.
        within: the longest time from the first symbol to the last.
        min_support: the fewest users in at least one of the groups: a share of the group, or a whole number.
        top: that many rows. The correction counts all.
        correction: of p values for the number of patterns: ``"benjamini-hochberg"`` (1995), ``"benjamini-yekutieli"``
            (2001), ``"bonferroni"`` or ``"none"``.
        ties: events of one moment follow each other as the ``"log"`` has them, or are ``"together"``.

    Returns:
        A frame of the kind that came in, with ``a`` the target group and ``b`` the other: ``pattern``, ``length``,
        ``support_a``, ``share_a``, ``support_b``, ``share_b``; ``growth``, share in a over share in b, infinite where b
        has none; ``difference`` of the shares; ``odds_ratio``, with a half added to each cell where one is 0 (Haldane,
        1956); ``p_value``, Fisher's exact test, two-sided; ``adjusted_p_value``. By p value, then the size of the
        difference falling, then pattern.

    Raises:
        GroupsUnusable, ActionUnknown, DateUnreadable: there are no two groups.
        SymbolsMissing, SupportUnusable, SpanUnreadable, CountUnusable, ChoiceUnknown: a value that cannot be used.
        NoClock: ``within`` or ``period`` of a log whose timestamps are an order alone.
    """
    most = need_whole("max_length", max_length)
    limit = None if top is None else need_whole("top", top)
    need_choice("ties", ties, TIES)
    need_choice("correction", correction, CORRECTIONS)
    span = None if within is None else microseconds(within)
    data = as_dataset(events, items)
    if span is not None and data.clock != "time":
        raise NoClock(what="within=")
    made = {"groups": groups, "since": since, "action": action, "target": target, "period": period}
    pair = two_groups(data, **made, of=of, level=level, ties=ties)
    rows = [group.sequences for group in pair]
    sizes = [len(group) for group in rows]
    fewest = [least_users(min_support, size) for size in sizes]
    found = [_candidates(group, least, most, span) for group, least in zip(rows, fewest, strict=True)]
    codes = np.unique(np.concatenate(found), axis=0)
    support = np.stack([supports(group, codes, span) for group in rows])
    measures = _compared(support, sizes, correction)
    labels = rows[0].labels
    size = np.abs(measures["difference"])
    order = np.lexsort((*by_label(labels, codes), -size, measures["p_value"]))[:limit]
    frame = pl.DataFrame(
        {
            "pattern": pattern_column(labels, codes[order]),
            "length": (codes[order] > 0).sum(axis=1),
            **{
                f"{name}_{group.name}": values[place][order]
                for place, group in enumerate(pair)
                for name, values in (("support", support), ("share", support / np.array(sizes)[:, None]))
            },
            **{name: values[order] for name, values in measures.items()},
        }
    )
    return from_polars(frame, data.frame_kind)


def supports(made: Sequences, codes: np.ndarray, span: int | None = None) -> np.ndarray:
    """(patterns,) how many rows have each pattern: its symbols at rising places, within ``span`` microseconds.

    Args:
        codes: (patterns, longest) symbols, padded by 0 at the end; every pattern has at least one.
    """
    pairs = np.unique(made.symbols.astype(np.int64) * len(made) + made.rows())
    first = np.searchsorted(pairs, np.arange(made.size + 1) * len(made))
    padded = np.where(codes > 0, np.diff(first)[codes], np.iinfo(np.int64).max)
    rarest = codes[np.arange(len(codes)), padded.argmin(axis=1)]
    lengths = (codes > 0).sum(axis=1)
    times = np.zeros(len(made.symbols), dtype=np.int64) if made.times is None else made.times
    out = np.zeros(len(codes), dtype=np.int64)
    limit = _ENDLESS if span is None else span
    rows = (made.offsets, made.symbols, made.places, times)
    _count(*rows, first, pairs % max(len(made), 1), codes, lengths, rarest, limit, out)
    return out


@kernel()
def _count(offsets, symbols, places, times, first, holders, codes, lengths, rarest, span, out):  # type: ignore[no-untyped-def] # pragma: no cover - compiled
    endless = span == np.iinfo(np.int64).max
    for number in range(codes.shape[0]):
        length = lengths[number]
        for holder in range(first[rarest[number]], first[rarest[number] + 1]):
            row = holders[holder]
            end = offsets[row + 1]
            for begin in range(offsets[row], end):
                if symbols[begin] != codes[number, 0]:
                    continue
                # From here the earliest places are the best ones.
                done, place, entry = 1, places[begin], begin + 1
                while done < length and entry < end and (endless or times[entry] - times[begin] <= span):
                    if symbols[entry] == codes[number, done] and places[entry] > place:
                        done += 1
                        place = places[entry]
                    entry += 1
                if done == length:
                    out[number] += 1
                if done == length or endless:
                    break


def _candidates(made: Sequences, least: int, longest: int, span: int | None) -> np.ndarray:
    """(patterns, longest) codes, padded by 0, of the subsequences that at least so many rows have."""
    tree = frequent(made, least, longest, Bounds(span_time=span))
    if not tree.complete:
        message = (
            f"The search for candidates ended early: the patterns that begin with {tree.done:,} of {tree.roots:,} "
            f"symbols are complete, all others are missing. A higher min_support or a lower max_length finds all."
        )
        warnings.warn(message, PatternsCut, stacklevel=3)
    codes = np.zeros((len(tree), longest), dtype=np.int64)
    offsets, symbols = tree.flat()
    codes[np.arange(longest) < np.diff(offsets)[:, None]] = symbols
    return codes


def _compared(support: np.ndarray, sizes: list[int], correction: str) -> dict[str, np.ndarray]:
    """The measures of (2, patterns) supports in groups of these sizes."""
    have = support.astype(np.float64)
    lack = np.array(sizes, dtype=np.float64)[:, None] - have
    share = have / np.array(sizes)[:, None]
    half = np.where((have == 0).any(axis=0) | (lack == 0).any(axis=0), 0.5, 0.0)
    p_value = fisher_two_sided(support[0], support[1], sizes[0], sizes[1])
    with np.errstate(divide="ignore"):
        growth = share[0] / share[1]
    return {
        "growth": growth,
        "difference": share[0] - share[1],
        "odds_ratio": (have[0] + half) * (lack[1] + half) / ((lack[0] + half) * (have[1] + half)),
        "p_value": p_value,
        "adjusted_p_value": adjusted(p_value, correction),
    }
