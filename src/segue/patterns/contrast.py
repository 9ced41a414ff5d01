"""Contrast patterns: what one group of users does in order that another does not, and what changed since a moment.

Candidates are the subsequences that enough users of either group have; each is counted in both groups, a user once,
and compared (emerging patterns, Dong and Li, KDD 1999). How groups are made is in ``groups``.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import polars as pl
from scipy import special, stats

from segue.data.frames import from_polars
from segue.data.jit import numba
from segue.errors import NoClock
from segue.patterns.counting import by_label, need_choice, need_whole, numbered, pattern_column, stretches
from segue.patterns.groups import two_groups
from segue.patterns.sequences import Sequences, dataset_of
from segue.patterns.spans import Span, microseconds
from segue.patterns.support import least_users
from segue.patterns.windows import TIES

CORRECTIONS = ("benjamini-hochberg", "benjamini-yekutieli", "bonferroni", "none")
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
    data = dataset_of(events, items)
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


@numba.njit(cache=True, nogil=True)
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
    """(patterns, longest) codes, padded by 0, of the subsequences that at least so many rows have; breadth first.

    An occurrence is held by where it begins and the earliest place where it can end: without a span only the first
    beginning in a row matters. The number of occurrences is held in memory at once.
    """
    rows, entries = made.rows(), np.arange(len(made.symbols))
    fresh = np.ones(len(rows), dtype=np.bool_)
    fresh[1:] = (rows[1:] != rows[:-1]) | (made.places[1:] != made.places[:-1])
    number = np.cumsum(fresh) - 1  # of the place, over all rows
    firsts = np.append(np.flatnonzero(fresh), len(rows))
    after = firsts[number + 1] if len(rows) else entries  # the first entry at a later place, perhaps of the next row
    ends = made.offsets[rows + 1]
    before = np.full(len(rows), -1)  # the place where the row had the symbol last
    order = np.lexsort((entries, made.symbols, rows))
    same = (rows[order][1:] == rows[order][:-1]) & (made.symbols[order][1:] == made.symbols[order][:-1])
    before[order[1:][same]] = number[order[:-1][same]]
    last = np.flatnonzero((before < 0) if span is None else (before < number))
    begin, ids = last, np.zeros(len(last), dtype=np.int64)
    codes, found = np.zeros((1, longest), dtype=np.int32), []
    for length in range(1, longest + 1):
        if length > 1:
            counts = ends[last] - after[last]
            step = stretches(after[last], counts)
            origin = np.repeat(np.arange(len(last)), counts)
            kept = before[step] <= number[last][origin]  # the earliest of its symbol after the place
            if span is not None and made.times is not None:
                kept &= made.times[step] - made.times[begin[origin]] <= span
            last, origin = step[kept], origin[kept]
            begin, ids = begin[origin], ids[origin]
        pairs = numbered(ids * made.size + made.symbols[last], rows[last])
        frequent = pairs.support >= least
        kept = frequent[pairs.numbers]
        ids = (np.cumsum(frequent) - 1)[pairs.numbers][kept]
        begin, last = begin[kept], last[kept]
        codes = codes[pairs.keys[frequent] // made.size]
        codes[:, length - 1] = pairs.keys[frequent] % made.size
        found.append(codes)
    return np.concatenate(found)


def _compared(support: np.ndarray, sizes: list[int], correction: str) -> dict[str, np.ndarray]:
    """The measures of (2, patterns) supports in groups of these sizes."""
    have = support.astype(np.float64)
    lack = np.array(sizes, dtype=np.float64)[:, None] - have
    share = have / np.array(sizes)[:, None]
    half = np.where((have == 0).any(axis=0) | (lack == 0).any(axis=0), 0.5, 0.0)
    p_value = fisher(support[0], support[1], sizes[0], sizes[1])
    with np.errstate(divide="ignore"):
        growth = share[0] / share[1]
    return {
        "growth": growth,
        "difference": share[0] - share[1],
        "odds_ratio": (have[0] + half) * (lack[1] + half) / ((lack[0] + half) * (have[1] + half)),
        "p_value": p_value,
        "adjusted_p_value": adjusted(p_value, correction),
    }


def fisher(left: np.ndarray, right: np.ndarray, left_size: int, right_size: int) -> np.ndarray:
    """(n,) two-sided p values of Fisher's exact test: of the tables with the same margins, all as unlikely or more.

    Args:
        left, right: (n,) how many of each side have something; the sizes are how many there are.
    """
    total = left + right
    out = np.ones(len(left))
    for together in np.unique(total):
        cells = np.arange(max(0, together - right_size), min(together, left_size) + 1)
        log = _log_choose(left_size, cells) + _log_choose(right_size, together - cells)
        log -= _log_choose(left_size + right_size, np.array([together]))
        order = np.argsort(log, kind="stable")
        sums = np.cumsum(np.exp(log[order]))
        mine = total == together
        # Equally likely tables differ by rounding alone.
        place = np.searchsorted(log[order], log[left[mine] - cells[0]] + 1e-7, side="right")
        out[mine] = sums[place - 1]
    return np.asarray(np.minimum(out, 1.0))


def _log_choose(size: int, chosen: np.ndarray) -> np.ndarray:
    found = special.gammaln(size + 1) - special.gammaln(chosen + 1) - special.gammaln(size - chosen + 1)
    return np.asarray(found)


def adjusted(p_values: np.ndarray, correction: str) -> np.ndarray:
    """P values corrected for their number; one of ``CORRECTIONS``."""
    if correction == "none" or not len(p_values):
        return p_values
    if correction == "bonferroni":
        return np.asarray(np.minimum(p_values * len(p_values), 1.0))
    method = {"benjamini-hochberg": "bh", "benjamini-yekutieli": "by"}[correction]
    return np.asarray(stats.false_discovery_control(p_values, method=cast(Any, method)))
