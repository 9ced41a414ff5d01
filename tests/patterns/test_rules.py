"""Association rules agree with counting by hand, on any log, and say what is wrong with what was asked."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

import segue
from segue import errors
from segue.patterns.itemsets import frequent_itemsets
from segue.patterns.rules import rules
from segue.testing.logs import as_kind

Rule = tuple[tuple[Any, ...], tuple[Any, ...]]
EVERYTHING: dict[str, Any] = {"min_support": 1, "min_confidence": 0, "progress": False}


def random_log(seed: int, users: int, items: int, days: int, events: int) -> list[tuple[int, int, int]]:
    rng = np.random.default_rng(seed)
    return list(zip(*(rng.integers(0, most, events).tolist() for most in (users, items, days)), strict=True))


logs = st.builds(
    random_log, st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(1, 5), st.integers(1, 7), st.integers(1, 50)
)  # rows of user, item, day, from one event to histories that say the same again and again


def log_of(rows: list[tuple[int, int, int]]) -> pl.DataFrame:
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "day"], orient="row")
    return frame.select("user_id", "item_id", timestamp=pl.datetime(2024, 1, 1) + pl.duration(days="day"))


def by_rule(frame: pl.DataFrame) -> dict[Rule, dict[str, Any]]:
    """Rules by their sides, whose items stand in the order of the vocabulary, as sorted tuples."""
    sides = ("antecedent", "consequent")
    found = {tuple(tuple(sorted(row[side])) for side in sides): row for row in frame.iter_rows(named=True)}
    assert len(found) == len(frame)
    return found


def splits(items: list[Any], longest: int, most: int) -> list[Rule]:
    """All pairs of disjoint sides."""
    return [
        (left, right)
        for a in range(1, longest)
        for c in range(1, min(most, longest - a) + 1)
        for left in itertools.combinations(items, a)
        for right in itertools.combinations([item for item in items if item not in left], c)
    ]


def check(found: dict[Rule, Any], wanted: dict[Rule, int], sides: list[set[Any]], minimum: int) -> None:
    """Supports and measures of all rules; ``sides`` are what each basket or user holds."""
    wanted = {rule: count for rule, count in wanted.items() if count >= minimum}
    assert {rule: row["support"] for rule, row in found.items()} == wanted
    total = len(sides)
    for (left, right), row in found.items():
        a, c = (sum(set(side) <= held for held in sides) for side in (left, right))
        assert row["share"] == pytest.approx(row["support"] / total)
        assert row["confidence"] == pytest.approx(row["support"] / a)
        assert row["lift"] == pytest.approx(row["confidence"] / (c / total))
        assert row["leverage"] == pytest.approx(row["share"] - a * c / total**2)
        if row["support"] == a:
            assert row["conviction"] == np.inf
        else:
            assert row["conviction"] == pytest.approx((1 - c / total) / (1 - row["confidence"]))


@settings(max_examples=120)
@given(logs, st.integers(1, 4), st.sampled_from(["moment", "user"]), st.sampled_from([(2, 1), (3, 1), (4, 2), (5, 4)]))
def test_unordered_rules_are_those_of_counting_every_basket(
    rows: list[tuple[int, int, int]], minimum: int, baskets: str, lengths: tuple[int, int]
) -> None:
    longest, most = lengths
    held: dict[Any, set[int]] = {}
    for user, item, day in rows:
        held.setdefault((user, day) if baskets == "moment" else user, set()).add(item)
    sides = list(held.values())
    items = sorted({item for _, item, _ in rows})
    wanted = {(a, c): sum({*a, *c} <= side for side in sides) for a, c in splits(items, longest, most)}
    asked = {**EVERYTHING, "min_support": minimum, "max_length": longest, "max_consequent": most, "baskets": baskets}
    check(by_rule(rules(log_of(rows), **asked)), wanted, sides, minimum)


def comes_before(history: list[tuple[int, int]], rule: Rule, within: int | None, by: str) -> bool:
    """By trying every choice of events; ``history``: (day, item), a place is a day that has events."""
    left, right = rule
    days = sorted({day for day, _ in history})
    where = {day: place for place, day in enumerate(days)}
    stands = {item: sorted({day for day, other in history if other == item}) for item in (*left, *right)}
    for chosen in itertools.product(*(stands[item] for item in (*left, *right))):
        before, after = chosen[: len(left)], chosen[len(left) :]
        span = (max(after) - min(before)) if by == "days" else where[max(after)] - where[min(before)]
        if max(before) < min(after) and (within is None or span <= within):
            return True
    return False


@settings(max_examples=150)
@given(
    logs, st.integers(1, 3), st.sampled_from([None, 1, 2, 4]), st.sampled_from(["days", "places"]),
    st.sampled_from([(2, 1), (3, 1), (4, 2)]),
)  # fmt: skip
def test_ordered_rules_are_those_of_trying_every_choice_of_events(
    rows: list[tuple[int, int, int]], minimum: int, within: int | None, by: str, lengths: tuple[int, int]
) -> None:
    longest, most = lengths
    histories: dict[int, list[tuple[int, int]]] = {}
    for user, item, day in rows:
        histories.setdefault(user, []).append((day, item))
    items = sorted({item for _, item, _ in rows})
    wanted = {
        rule: sum(comes_before(history, rule, within, by) for history in histories.values())
        for rule in splits(items, longest, most)
    }
    span = f"{within}d" if by == "days" and within is not None else within
    asked = {**EVERYTHING, "min_support": minimum, "max_length": longest, "max_consequent": most}
    found = by_rule(rules(log_of(rows), order="before", within=span, **asked))
    check(found, wanted, [{item for _, item in history} for history in histories.values()], minimum)


@settings(max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 400), st.integers(1, 5), st.floats(0, 1))
def test_itemsets_of_thin_and_dense_baskets_are_exact(
    seed: int, items: int, baskets: int, longest: int, density: float
) -> None:
    rng = np.random.default_rng(seed)
    held = rng.random((baskets, items)) < density
    place, symbols = np.nonzero(held)
    minimum = int(rng.integers(1, max(2, baskets // 3)))
    found = frequent_itemsets(place, (symbols + 1).astype(np.int32), baskets, minimum, longest, show=False)
    have = {
        frozenset((found.symbols[row] - 1).tolist()): int(count)
        for rows, counts in zip(found.rows, found.counts, strict=True)
        for row, count in zip(rows, counts, strict=True)
    }
    chosen = (c for k in range(1, longest + 1) for c in itertools.combinations(range(items), k))
    wanted = {frozenset(c): int(held[:, c].all(axis=1).sum()) for c in chosen}
    assert have == {each: count for each, count in wanted.items() if count >= minimum}


@settings(max_examples=60)
@given(logs, st.sampled_from(["none", "before"]), st.sampled_from(["benjamini-hochberg", "bonferroni", "none"]))
def test_p_values_are_those_of_scipy_and_corrected_for_every_pair_of_frequent_sides(
    rows: list[tuple[int, int, int]], order: str, correction: str
) -> None:
    log = log_of(rows)
    asked = {**EVERYTHING, "baskets": "user", "order": order, "significance": "fisher", "correction": correction}
    found = by_rule(rules(log, level_of_significance=1, **asked))
    users: dict[int, set[int]] = {}
    for user, item, _ in rows:
        users.setdefault(user, set()).add(item)
    items = sorted({item for _, item, _ in rows})
    sets = {c: sum(set(c) <= held for held in users.values()) for k in (1, 2) for c in itertools.combinations(items, k)}
    hypotheses = sum(sets[a] > 0 and sets[c] > 0 for a, c in splits(items, 3, 1))
    p_values = []
    for (left, right), row in found.items():
        exact = stats.hypergeom.sf(row["support"] - 1, len(users), sets[left], sets[right])
        assert row["p_value"] == pytest.approx(exact, rel=1e-9)
        p_values.append(row["p_value"])
    corrected = [row["adjusted_p_value"] for row in found.values()]
    if correction == "none":
        assert corrected == p_values
    elif correction == "bonferroni":
        assert corrected == pytest.approx([min(1, p * hypotheses) for p in p_values])
    else:
        padded = [*p_values, *[1.0] * (hypotheses - len(p_values))]
        assert corrected == pytest.approx(stats.false_discovery_control(padded)[: len(p_values)]) if padded else True
    kept = by_rule(rules(log, level_of_significance=0.3, **asked))
    assert set(kept) == {rule for rule, row in found.items() if row["adjusted_p_value"] <= 0.3}


def test_rules_of_chance_alone_are_left_out() -> None:
    rng = np.random.default_rng(0)
    held = rng.random((2_000, 30)) < 0.2
    held[:, 1] |= held[:, 0] & (rng.random(2_000) < 0.5)  # who takes 0 often takes 1: the one habit there is
    user, item = np.nonzero(held)
    log = pl.DataFrame({"user_id": user, "item_id": item, "timestamp": np.zeros(len(user), dtype=np.int64)})
    found = rules(log, min_support=0.01, max_length=2, significance="fisher", progress=False)
    assert set(by_rule(found)) == {((0,), (1,)), ((1,), (0,))}
    assert len(rules(log, min_support=0.01, max_length=2, progress=False)) > 800


def test_sessions_are_divided_by_pauses_or_by_the_column_of_the_log() -> None:
    minutes = [0, 10, 100, 0, 20, 300]
    log = pl.DataFrame(
        {
            "user_id": ["u"] * 3 + ["v"] * 3,
            "item_id": ["a", "b", "c", "a", "b", "c"],
            "timestamp": [dt.datetime(2024, 1, 1) + dt.timedelta(minutes=minute) for minute in minutes],
        }
    )
    asked = {**EVERYTHING, "baskets": "session", "max_length": 2}
    assert set(by_rule(rules(log, **asked))) == {(("a",), ("b",)), (("b",), ("a",))}
    assert set(by_rule(rules(log, session_gap="15m", **asked))) == {(("a",), ("b",)), (("b",), ("a",))}
    assert rules(log, session_gap="15m", **asked)["support"].to_list() == [1, 1]
    assert len(rules(log, session_gap="2h", **asked)) == 6
    marked = log.with_columns(session=pl.Series([0, 1, 1, 0, 0, None]))
    found = by_rule(rules(marked, **asked))
    assert {rule: row["support"] for rule, row in found.items()} == {
        (("b",), ("c",)): 1, (("c",), ("b",)): 1, (("a",), ("b",)): 1, (("b",), ("a",)): 1,
    }  # fmt: skip


def test_a_column_of_the_log_makes_baskets_that_need_not_stand_together() -> None:
    log = pl.DataFrame(
        {"user_id": [1, 1, 1, 1, 2, 2], "item_id": list("abcdad"), "timestamp": range(6), "order": list("xyxyxx")}
    )
    found = by_rule(rules(log, baskets="order", max_length=2, **EVERYTHING))
    assert {tuple(sorted((*a, *c))) for a, c in found} == {("a", "c"), ("b", "d"), ("a", "d")}


def test_events_of_one_moment_are_before_none_of_each_other_unless_the_log_says() -> None:
    log = pl.DataFrame({"user_id": [1, 1, 1], "item_id": ["a", "b", "c"], "timestamp": [5, 5, 6]})
    asked = {**EVERYTHING, "order": "before", "max_length": 2}
    assert set(by_rule(rules(log, **asked))) == {(("a",), ("c",)), (("b",), ("c",))}
    assert (("a",), ("b",)) in by_rule(rules(log, ties="log", **asked))


def test_categories_count_where_an_item_has_them() -> None:
    log = pl.DataFrame({"user_id": [1, 1, 2, 2, 3], "item_id": list("abacd"), "timestamp": [0] * 5})
    items = pl.DataFrame({"item_id": list("abcd"), "kind": [["x", "y"], ["z"], None, []]})
    found = by_rule(rules(log, items, of="kind", max_length=2, **EVERYTHING))
    assert found[("z",), ("x",)]["support"] == 1
    assert found[("x",), ("y",)]["share"] == 1  # user 3 has nothing of a known kind, and is no basket


def test_actions_with_items_are_structs() -> None:
    log = pl.DataFrame(
        {"user_id": [1, 1], "item_id": ["a", "b"], "timestamp": [0, 1], "action": ["view", "buy"]}
    )  # fmt: skip
    found = rules(log, of="action+item", order="before", **EVERYTHING)
    assert found["consequent"].to_list() == [[{"action": "buy", "item_id": "b"}]]


@pytest.mark.parametrize("order", ["none", "before"])
def test_a_log_without_a_pair_has_no_rules_and_the_same_columns(order: str) -> None:
    log = pl.DataFrame({"user_id": [1, 2], "item_id": ["a", "b"], "timestamp": [0, 1]})
    found = rules(log, order=order, significance="fisher", **EVERYTHING)
    assert found.is_empty()
    assert found.columns[:3] == ["antecedent", "consequent", "support"]
    assert found["antecedent"].dtype == pl.List(pl.String)
    assert found.columns[-2:] == ["p_value", "adjusted_p_value"]


def test_identical_histories_make_sure_rules_that_mean_nothing() -> None:
    log = pl.DataFrame({"user_id": np.repeat(range(50), 3), "item_id": list("abc") * 50, "timestamp": [0, 1, 2] * 50})
    found = rules(log, baskets="user", **EVERYTHING)
    assert len(found) == 9
    assert set(found["lift"]) == {1.0}
    assert set(found["conviction"]) == {np.inf}
    assert rules(log, baskets="user", significance="fisher", **EVERYTHING).is_empty()
    assert len(rules(log, order="before", **EVERYTHING)) == 4  # a-b, a-c, b-c, ab-c


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_the_frame_that_comes_back_is_of_the_kind_that_came(kind: Any, log: pl.DataFrame) -> None:
    asked = {"order": "before", "min_support": 0.2, "progress": False}
    found = rules(as_kind(log, kind), **asked)
    assert type(found).__module__.startswith({"pandas": "pandas", "arrow": "pyarrow"}[kind])
    assert len(found) == len(rules(log, **asked)) > 0


def test_rules_are_the_same_with_any_number_of_threads(data: segue.Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {"order": "before", "within": 4, "min_support": 0.1, "progress": False}
    one = rules(data, **asked)
    monkeypatch.setattr("segue.patterns.itemsets.n_threads", lambda: 4)
    assert rules(data, **asked).equals(one)
    assert one["lift"].is_sorted(descending=True)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"min_support": 0}, errors.RuleSupportUnusable),
        ({"min_support": 1.5}, errors.RuleSupportUnusable),
        ({"min_support": "often"}, errors.RuleSupportUnusable),
        ({"min_confidence": -0.1}, errors.RuleShareUnusable),
        ({"min_confidence": 1.1}, errors.RuleShareUnusable),
        ({"min_confidence": float("nan")}, errors.RuleShareUnusable),
        ({"level_of_significance": 5}, errors.RuleShareUnusable),
        ({"max_length": 1}, errors.RuleLengthUnusable),
        ({"max_length": 2.5}, errors.RuleLengthUnusable),
        ({"max_consequent": 0}, errors.RuleLengthUnusable),
        ({"max_consequent": 3}, errors.RuleLengthUnusable),
        ({"baskets": "ordr"}, errors.BasketsUnknown),
        ({"baskets": "user_id"}, errors.BasketsUnknown),
        ({"order": "after"}, errors.ChoiceUnknown),
        ({"ties": "apart"}, errors.ChoiceUnknown),
        ({"significance": "fischer"}, errors.ChoiceUnknown),
        ({"correction": "holm"}, errors.ChoiceUnknown),
        ({"within": "7d"}, errors.RuleSpanUnusable),
        ({"order": "before", "within": 0}, errors.RuleSpanUnusable),
        ({"order": "before", "within": 1.5}, errors.RuleSpanUnusable),
        ({"order": "before", "within": "soon"}, errors.RuleSpanUnusable),
        ({"order": "before", "baskets": "session"}, errors.ConstraintsContradict),
        ({"session_gap": "soon", "baskets": "session"}, errors.SpanUnreadable),
        ({"of": "brand"}, errors.SymbolsMissing),
    ],
)
def test_what_cannot_be_asked_is_said(asked: dict[str, Any], error: type[errors.SegueError], log: pl.DataFrame) -> None:
    with pytest.raises(error):
        rules(log, progress=False, **asked)


@pytest.mark.parametrize("asked", [{"baskets": "session"}, {"order": "before", "within": "7d"}])
def test_a_log_that_knows_order_alone_has_no_sessions_or_spans(asked: dict[str, Any]) -> None:
    log = pl.DataFrame({"user_id": [1, 1], "item_id": ["a", "b"], "timestamp": [0, 1]})
    with pytest.raises(errors.NoClock):
        rules(log, **asked, **EVERYTHING)


def test_too_many_itemsets_stop_the_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segue.patterns.itemsets.MOST", 1_000)
    log = pl.DataFrame({"user_id": [1] * 40, "item_id": range(40), "timestamp": [0] * 40})
    with pytest.raises(errors.TooManyItemsets):
        rules(log, max_length=10, **EVERYTHING)


def test_a_confidence_as_a_numpy_number_is_the_same_confidence() -> None:
    baskets = [["a", "b"]] * 3 + [["a", "c"]] * 2
    log = pl.DataFrame(
        [(f"u{number}", item, 1) for number, basket in enumerate(baskets) for item in basket],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    )
    found = rules(log, min_support=2, min_confidence=0.6, progress=False)
    assert found.filter(pl.col("confidence") == 0.6).height == 1
    assert rules(log, min_support=np.int64(2), min_confidence=np.float32(0.6), progress=False).equals(found)


# -- more measures -----------------------------------------------------------------------------------------------


def test_measures_of_a_rule_are_those_of_the_hand() -> None:
    # Ten baskets: five with a, four with b, three with both.
    baskets = ["ab", "ab", "ab", "a", "a", "b", "c", "c", "c", "c"]
    rows = [(user, item, 0) for user, basket in enumerate(baskets) for item in basket]
    log = pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row")
    row = rules(log, min_support=1, min_confidence=0, max_length=2).row(
        by_predicate=pl.col("consequent") == ["b"], named=True
    )
    assert row["antecedent"] == ["a"]
    assert row["zhangs_metric"] == pytest.approx((0.3 - 0.5 * 0.4) / max(0.3 * 0.5, 0.5 * (0.4 - 0.3)))
    assert row["jaccard"] == pytest.approx(3 / 6)
    assert row["kulczynski"] == pytest.approx((3 / 5 + 3 / 4) / 2)
    assert row["certainty"] == pytest.approx((0.6 - 0.4) / 0.6)


@settings(max_examples=60)
@given(logs, st.sampled_from(["none", "before"]))
def test_measures_keep_their_laws(rows: list[tuple[int, int, int]], order: str) -> None:
    found = rules(
        log_of(rows), order=order, baskets="user", min_support=1, min_confidence=0, max_length=3, progress=False
    )
    for name, least in (("zhangs_metric", -1), ("jaccard", 0), ("kulczynski", 0)):
        assert found[name].is_between(least - 1e-9, 1 + 1e-9).all()
    assert (found["certainty"] <= 1 + 1e-9).all()
    assert (found["jaccard"] <= found["kulczynski"] + 1e-9).all()
    signs = [np.sign(np.round(found[name].to_numpy(), 9)) for name in ("leverage", "zhangs_metric")]
    assert (signs[0] == signs[1]).all()
    if order == "none":
        sides = {
            (tuple(left), tuple(right)): (jaccard, kulczynski)
            for left, right, jaccard, kulczynski in found.select(
                "antecedent", "consequent", "jaccard", "kulczynski"
            ).iter_rows()
        }
        for (left, right), measures in sides.items():
            assert sides.get((right, left), measures) == pytest.approx(measures)
