"""Association rules: who takes this takes that too, or takes that later, with how sure that is.

``rules`` is the one door. Baskets are made by ``baskets``, itemsets counted by ``itemsets``, ordered rules by
``ordered``; chance is ``significance``. What to do with a rule is left to whoever reads it.
"""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from segue.data.dataset import as_dataset
from segue.data.frames import from_polars
from segue.errors import (
    ConstraintsContradict,
    NoClock,
    RuleLengthUnusable,
    RuleShareUnusable,
    RuleSpanUnusable,
    RuleSupportUnusable,
    SpanUnreadable,
    SupportUnusable,
)
from segue.numeric import as_python
from segue.patterns.baskets import baskets_of
from segue.patterns.chance import CORRECTIONS, adjusted, fisher
from segue.patterns.counting import need_choice
from segue.patterns.itemsets import Itemsets, frequent_itemsets
from segue.patterns.ordered import ordered_rules
from segue.patterns.sequences import Sequences, sequences
from segue.patterns.spans import microseconds
from segue.patterns.support import least_users


def rules(
    events: Any,
    items: Any = None,
    *,
    of: str = "item",
    level: int | None = None,
    order: str = "none",
    baskets: str = "moment",
    session_gap: dt.timedelta | str = "30m",
    min_support: float = 0.01,
    min_confidence: float = 0.1,
    max_length: int = 3,
    max_consequent: int = 1,
    within: dt.timedelta | str | int | None = None,
    ties: str = "together",
    significance: str | None = None,
    correction: str = "benjamini-hochberg",
    level_of_significance: float = 0.05,
    progress: bool = True,
) -> Any:
    """Association rules of a log (Agrawal, Imielinski and Swami, SIGMOD 1993), all of them, exactly.

    Args:
        events, items: a ``Dataset``, or frames or files as it reads them.
        of: what a rule is about: ``"item"``, ``"action"``, ``"action+item"``, or a column of the catalogue.
        level: how many levels of a taxonomy count (see ``sequences``).
        order: ``"none"``: both sides stand in one basket. ``"before"``: in the history of a user all of the antecedent,
            in any order, comes before all of the consequent (Fournier-Viger et al., 2011); a user counts once.
        baskets: of unordered rules: the events of one user at one ``"moment"``, in one ``"session"`` (the log's column
            of that name, else pauses of ``session_gap`` divide), of one ``"user"`` ever, or of one user and one value
            of a column of the log, such as an order number.
        min_support: a share of the baskets (of the users, with ``order="before"``), or a whole number of them.
        min_confidence: the least share, 0 to 1.
        max_length: items of a rule, both sides, from 2.
        max_consequent: items of its consequent, from 1.
        within: of ordered rules: from the first event to the last, a span (``"7d"``, a timedelta) or a whole number of
            places.
        ties: of ordered rules: events of one moment are ``"together"``, none before the other, or in the order of the
            ``"log"``.
        significance: ``"fisher"`` tests every rule by Fisher's exact test, one-sided, and leaves out those that chance
            explains: p values corrected above ``level_of_significance``.
        correction: ``"benjamini-hochberg"``, ``"bonferroni"`` or ``"none"`` (see ``adjusted``). As tested counts every
            pair of an antecedent and a consequent that are frequent by themselves and allowed by the lengths, whether
            or not they were found together: which pairs these are depends only on what the test takes as given, so
            that choosing by support and confidence makes no rule look better than it is (Hämäläinen and Webb, 2019).

    Returns:
        A frame of the kind that came in, by falling lift, then support: ``antecedent`` and ``consequent`` (lists),
        ``support`` (how many baskets or users), ``share`` (of all), ``confidence`` (of those with the antecedent),
        ``lift`` (over the consequent's own share), ``leverage`` (share beyond independence), ``conviction`` (infinite
        where confidence is 1; Brin et al., 1997), ``zhangs_metric`` (leverage over the largest that the two shares
        allow in its direction, -1 to 1; Zhang, 2000), ``jaccard`` (of those with either side), ``kulczynski`` (mean of
        both confidences), ``certainty`` (by how much confidence exceeds the consequent's share, over the room above
        that share), and, where asked, ``p_value`` and ``adjusted_p_value``. All and each
        mean baskets and users that hold anything that the rules are about. Of an ordered rule lift and p value compare
        with users who hold both sides independently, in whatever order: its p value is too high rather than too low,
        and says nothing of the order (``permutation_p_values`` does).

    Memory: two copies of the log's symbols, the itemsets or rules found (at most 20 million), and per thread the part
    of the baskets that holds one item; ordered within a span, per thread a number for each event of the users who hold
    one consequent.

    Raises:
        MiningError: something asked for does not exist, is out of range, or needs a clock; too much is frequent.
    """
    min_confidence, level_of_significance = as_python(min_confidence), as_python(level_of_significance)
    asked = _Asked(
        order, min_support, min_confidence, max_length, max_consequent, significance, correction, level_of_significance
    )
    asked.check(baskets, within, ties)
    data = as_dataset(events, items)
    if order == "before":
        found = sequences(data, of, level, ties=ties)
        span, timed = _span(within, found)
        rows, symbols, count, units = found.rows(), found.symbols, len(found), found.users
        minimum = asked.minimum(units, "users")
        known = frequent_itemsets(rows, symbols, count, minimum, max_length - 1, progress)
        limits = (minimum, max_length)
        pairs = [
            _Pairs.of_ordered(known, length, ordered_rules(found, known, *limits, length, span, timed, progress))
            for length in range(1, max_consequent + 1)
        ]
    else:
        found = sequences(data, of, level)
        baskets_, symbols, units = baskets_of(data, found, baskets, microseconds(session_gap))
        minimum = asked.minimum(units, "baskets")
        known = frequent_itemsets(baskets_, symbols, units, minimum, max_length, progress)
        pairs = [_Pairs.of_itemsets(known, length, part) for length, part in _parts(max_length, max_consequent)]
    table = _Table(known, found.labels, units, asked)
    return from_polars(table.of([part for each in pairs for part in each.by_length()]), found.frame_kind)


@dataclass(frozen=True)
class _Asked:
    """What was asked for, apart from the log."""

    order: str
    min_support: float
    min_confidence: float
    max_length: int
    max_consequent: int
    significance: str | None
    correction: str
    level: float

    def check(self, baskets: object, within: object, ties: object) -> None:
        """Raises what is wrong before anything is read."""
        choices = {
            "order": (self.order, ("none", "before")),
            "significance": ("none" if self.significance is None else self.significance, ("none", "fisher")),
            "correction": (self.correction, CORRECTIONS),
            "ties": (ties, ("together", "log")),
        }
        for name, (value, known) in choices.items():
            need_choice(name, value, known)
        for name, share in {"min_confidence": self.min_confidence, "level_of_significance": self.level}.items():
            if isinstance(share, bool) or not isinstance(share, int | float | np.number) or not 0 <= share <= 1:
                raise RuleShareUnusable(name=name, value=share)
        lengths = {
            "max_length": (self.max_length, 2, "a whole number from 2"),
            "max_consequent": (self.max_consequent, 1, "a whole number from 1, below max_length"),
        }
        for name, (length, least, expected) in lengths.items():
            if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < least:
                raise RuleLengthUnusable(name=name, value=length, expected=expected)
        if self.max_consequent >= self.max_length:
            expected = lengths["max_consequent"][2]
            raise RuleLengthUnusable(name="max_consequent", value=self.max_consequent, expected=expected)
        if self.order == "before" and baskets not in ("moment", "user"):
            raise ConstraintsContradict(reason=f"order='before' counts users, not baskets={baskets!r}")
        if self.order == "none" and within is not None:
            raise RuleSpanUnusable(value=within, reason="what stands in one basket has no span")

    def minimum(self, units: int, name: str) -> int:
        """The least number of baskets or users."""
        try:
            return least_users(self.min_support, units)
        except SupportUnusable:
            raise RuleSupportUnusable(value=self.min_support, units=name) from None


def _span(within: dt.timedelta | str | int | None, found: Sequences) -> tuple[int | None, bool]:
    """A limit as microseconds or places, and whether it is of time."""
    if within is None:
        return None, False
    if isinstance(within, int | np.integer) and not isinstance(within, bool):
        if within < 1:
            raise RuleSpanUnusable(value=within, reason="nothing comes later within so few places")
        return int(within), False
    if isinstance(within, float | bool):
        raise RuleSpanUnusable(value=within, reason="neither a span nor a whole number")
    try:
        span = microseconds(within)
    except SpanUnreadable as error:
        raise RuleSpanUnusable(value=within, reason=error.values["reason"]) from None
    if found.times is None:
        raise NoClock(what=f"within={within!r}")
    return span, True


def _parts(longest: int, most: int) -> list[tuple[int, tuple[int, ...]]]:
    """Every length of an itemset with every choice of the places that are the consequent."""
    return [
        (length, part)
        for length in range(2, longest + 1)
        for size in range(1, min(most, length - 1) + 1)
        for part in itertools.combinations(range(length), size)
    ]


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Rules as numbers of items: (rules, ...) antecedents (-1 after the last) and consequents, and their supports."""

    antecedents: np.ndarray
    consequents: np.ndarray
    support: np.ndarray

    @classmethod
    def of_itemsets(cls, known: Itemsets, length: int, part: tuple[int, ...]) -> _Pairs:
        rest = [place for place in range(length) if place not in part]
        rows = known.rows[length - 1]
        return cls(rows[:, rest], rows[:, list(part)], known.counts[length - 1])

    @classmethod
    def of_ordered(cls, known: Itemsets, length: int, found: tuple[np.ndarray, np.ndarray, np.ndarray]) -> _Pairs:
        rows, consequents, support = found
        return cls(rows, known.rows[length - 1][consequents], support.astype(np.int64))

    def by_length(self) -> list[_Pairs]:
        """The same with antecedents of one length each."""
        lengths = (self.antecedents >= 0).sum(axis=1)
        masks = {int(length): lengths == length for length in np.unique(lengths)}
        return [
            _Pairs(self.antecedents[these][:, :length], self.consequents[these], self.support[these])
            for length, these in masks.items()
        ]


@dataclass(frozen=True, eq=False)
class _Table:
    """Measures of rules, and their frame."""

    known: Itemsets
    labels: pl.Series
    units: int
    asked: _Asked

    def of(self, pairs: list[_Pairs]) -> pl.DataFrame:
        nothing = np.empty((0, 1), np.int32)
        pairs = [_Pairs(nothing, nothing, np.empty(0, np.int64)), *pairs]
        measures = pl.concat([self._measured(each) for each in pairs])
        if self.asked.significance is not None:
            corrected = adjusted(measures["p_value"].to_numpy(), self.asked.correction, self._tested())
            measures = measures.with_columns(pl.Series("adjusted_p_value", corrected))
        kept = measures["confidence"] >= self.asked.min_confidence
        if self.asked.significance is not None:
            kept &= measures["adjusted_p_value"] <= self.asked.level
        ends = np.cumsum([len(each.support) for each in pairs])[:-1]
        masks = np.split(kept.to_numpy(), ends)
        sides = [
            pl.DataFrame({
                "antecedent": self._lists(each.antecedents[mask]), "consequent": self._lists(each.consequents[mask])
            })
            for each, mask in zip(pairs, masks, strict=True)
        ]  # fmt: skip
        frame = pl.concat([pl.concat(sides), measures.filter(kept)], how="horizontal")
        return frame.sort("lift", "support", descending=True, maintain_order=True)

    def _measured(self, pairs: _Pairs) -> pl.DataFrame:
        left, right = self.known.support(pairs.antecedents), self.known.support(pairs.consequents)
        both, total = pairs.support, max(self.units, 1)
        confidence = both / left
        with np.errstate(divide="ignore", invalid="ignore"):
            conviction = np.where(both < left, (1 - right / total) / (1 - confidence), np.inf)
        share_left, share_right, share = left / total, right / total, both / total
        leverage = share - share_left * share_right
        most = np.maximum(share * (1 - share_left), share_left * (share_right - share))
        columns = {
            "support": both,
            "share": share,
            "confidence": confidence,
            "lift": both * total / (left * right),
            "leverage": leverage,
            "conviction": conviction,
            "zhangs_metric": _ratio(leverage, most),
            "jaccard": both / (left + right - both),
            "kulczynski": (confidence + both / right) / 2,
            "certainty": _ratio(confidence - share_right, 1 - share_right),
        }
        if self.asked.significance is not None:
            columns["p_value"] = fisher(both, left, right, self.units)
        return pl.DataFrame(columns)

    def _lists(self, rows: np.ndarray) -> pl.Series:
        """Lists of labels, in the order of the vocabulary."""
        codes = np.sort(self.known.symbols[rows], axis=1)
        columns = [self.labels.gather(codes[:, place]).alias(str(place)) for place in range(codes.shape[1])]
        return pl.select(pl.concat_list(columns)).to_series()

    def _tested(self) -> int:
        """Pairs of disjoint sides, each frequent by itself; of two sides of several items those that share one, too."""
        many = [len(rows) for rows in self.known.rows]

        def pairs(left: int, right: int) -> int:
            shared = many[left - 1] * left if right == 1 else many[right - 1] * right if left == 1 else 0
            return many[left - 1] * many[right - 1] - shared

        longest, most = self.asked.max_length, self.asked.max_consequent
        return sum(pairs(left, right) for right in range(1, most + 1) for left in range(1, longest - right + 1))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """A quotient, 0 where there is nothing to divide by."""
    return np.asarray(np.divide(above, below, out=np.zeros(len(above)), where=below != 0))
