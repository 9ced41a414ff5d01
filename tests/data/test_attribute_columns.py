from __future__ import annotations

import datetime as dt
import json
from collections import defaultdict
from typing import Any

import numpy as np
import polars as pl
import pytest

from segue.data.attribute_columns import Feature, category_entries, feature_of

ITEMS = 200
RNG = np.random.default_rng(0)


def pick(*values: Any) -> list[Any]:
    return [values[number % len(values)] for number in range(ITEMS)]


def series(values: Any) -> pl.Series:
    return pl.Series("column", values, strict=False)


def values_of(feature: Feature, column: pl.Series) -> dict[int, set[str]]:
    """Row to its known values."""
    found: dict[int, set[str]] = defaultdict(set)
    for row, code in zip(*feature.encode(column), strict=True):
        found[int(row)].add(feature.values[code - 1])
    return found


@pytest.mark.parametrize(
    ("column", "kind"),
    [
        (pick("Acme", "Bolt", "Cog"), "categorical"),
        (pick(["a", "b"], ["b"], ["c", "a"]), "categorical"),
        (pick([1, 2], [2], [3]), "categorical"),
        (pick("[1,2]", "[2, 3]", "[]"), "categorical"),
        (pick(b"[1,2]", b"[2]", b"[3]"), "categorical"),
        (pick(True, False, None), "categorical"),
        (pick(1, 2, 3, 900), "categorical"),
        (pick(*range(80)), "categorical"),
        (pick(*range(1920, 2000)), "numeric"),
        (pick(*(str(year) for year in range(1920, 2000))), "numeric"),
        (np.round(RNG.lognormal(size=ITEMS), 2), "numeric"),
        ([f"$ {price:,.2f}" for price in RNG.uniform(1, 5_000, ITEMS)], "numeric"),
        ([dt.date(1980 + number % 40, 1, 1) for number in range(ITEMS)], "numeric"),
    ],
    ids=[
        "brand",
        "lists",
        "codes",
        "text-list",
        "bytes",
        "truth",
        "few",
        "counted",
        "year",
        "year-text",
        "price",
        "price-text",
        "date",
    ],
)
def test_what_items_share_is_a_feature(column: Any, kind: str) -> None:
    found = feature_of(series(column))
    assert found is not None
    assert found.kind == kind


@pytest.mark.parametrize(
    "column",
    [
        [f"Product number {number} of the {number}th kind" for number in range(ITEMS)],
        [f"https://example.org/{number}.jpg" for number in range(ITEMS)],
        list(range(5_000, 5_000 + ITEMS)),
        [f"sku-{number}" for number in range(ITEMS)],
        pick("the same"),
        pick(7),
        pick(None),
        pick(""),
        [*pick("a", "b")[:4], *pick(None)[4:]],
        pick("words " * 40, "other words " * 40),
        [[0.1 * number, 0.2] for number in range(ITEMS)],
        pick(float("nan"), float("inf")),
    ],
    ids=["title", "url", "id", "sku", "constant", "7", "null", "empty", "rare", "prose", "vector", "no-number"],
)
def test_what_is_an_id_a_constant_or_prose_is_none(column: Any) -> None:
    assert feature_of(series(column)) is None
    insisted = feature_of(series(column), insisted=True)
    assert insisted is not None
    insisted.encode(series(column))


@pytest.mark.parametrize("separator", ["|", ";", ",", ", ", " > ", " "])
def test_values_in_one_text_are_taken_apart_where_items_then_share_more(separator: str) -> None:
    names = ["Action", "Comedy", "Drama", "Noir", "War", "Western"]
    several = [[name for bit, name in enumerate(names) if number % 63 + 1 & 1 << bit] for number in range(ITEMS)]
    column = series([separator.join(each) for each in several])
    found = feature_of(column)
    assert found is not None
    assert sorted(found.values) == names
    assert values_of(found, column)[6] == set(several[6])


def test_a_name_with_a_comma_or_a_space_stays_whole() -> None:
    found = feature_of(series(pick("Bolt, Inc.", "Acme Tools", "Cog")))
    assert found is not None
    assert sorted(found.values) == ["Acme Tools", "Bolt, Inc.", "Cog"]


def test_a_list_written_as_text_may_hold_quotes_and_commas() -> None:
    found = feature_of(series(pick(json.dumps(["a, b", "c"]), "['c', \"it's\"]")))
    assert found is not None
    assert sorted(found.values) == ["a, b", "c", "it's"]


@pytest.mark.parametrize(
    "column",
    [
        series(pick([["a"], ["b", "c"]], [["a"]], [["b", None], []])),
        pl.Series("column", pick({"a"}, ["a", ("b", "c")], "a", None, np.array(["b"])), dtype=pl.Object),
        series(pick({"x": "a", "y": None}, {"x": "b", "y": "c"})),
    ],
    ids=["nested", "mixed", "struct"],
)
def test_nested_and_mixed_values_are_read_as_far_as_they_go(column: pl.Series) -> None:
    found = feature_of(column)
    assert found is not None
    assert sorted(found.values) == ["a", "b", "c"]
    assert values_of(found, column)[0] >= {"a"}


def test_whole_numbers_are_the_same_value_whatever_type_they_come_in() -> None:
    found = feature_of(series(pick(1, 2, 3)))
    assert found is not None
    for same in (series([2.0, None, 2.5]), series(["2", "", " 2.5"]), series([[2], [], [9]])):
        assert values_of(found, same) == {0: {"2"}}


@pytest.mark.parametrize(
    "dtype", [pl.Categorical(), pl.Enum(["1", "22"]), pl.Decimal(10, 2), pl.UInt64, pl.Int128, pl.Float32, pl.Binary]
)
def test_columns_of_any_type_are_read(dtype: Any) -> None:
    texts = series(pick("1", "22"))
    column = texts.cast(dtype) if dtype in (pl.Categorical, pl.Enum, pl.Binary) else texts.cast(pl.Int64).cast(dtype)
    found = feature_of(column)
    assert found is not None
    assert len(values_of(found, column)) == ITEMS


def test_times_of_day_are_values_and_spans_are_numbers() -> None:
    times = feature_of(series(pick(dt.time(9), dt.time(10))))
    spans = feature_of(series(pick(*(dt.timedelta(days) for days in range(40)))))
    assert times is not None
    assert spans is not None
    assert (times.kind, spans.kind) == ("categorical", "numeric")
    assert len(feature_of(series(pick([dt.timedelta(1)], [dt.timedelta(2)])), insisted=True).values) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Men Shoes", ["Men Shoes"]),
        ("Drama|Sci-Fi, Fantasy; more", ["Drama", "Sci-Fi, Fantasy; more"]),
        ("Drama; Comedy", ["Drama", "Comedy"]),
        ("Drama,Comedy", ["Drama", "Comedy"]),
        ("Clothing, Shoes & Jewelry", ["Clothing, Shoes & Jewelry"]),
        ("Health &amp; Beauty", ["Health &amp; Beauty"]),
        ("['Clothing, Shoes & Jewelry', \"Women's\"]", ["Clothing, Shoes & Jewelry", "Women's"]),
        ("Home > Kitchen", ["Home > Kitchen"]),
        (" ", []),
    ],
)
@pytest.mark.parametrize("others", [[], ["Men Hats"] * 40, ["Drama|Comedy"] * 40, ["[1]"] * 40])
def test_the_categories_of_an_item_follow_from_its_own_value(text: str, expected: list[str], others: list[str]) -> None:
    entries = category_entries(pl.Series("category", [text, *others]))
    assert entries.filter(pl.col("row") == 0)["value"].to_list() == expected


def test_entries_of_a_list_are_categories_as_they_are() -> None:
    assert category_entries(pl.Series([["Drama|Comedy", "A > B"], []])).rows() == [(0, "Drama|Comedy"), (0, "A > B")]
    assert category_entries(pl.Series([3, 4])).rows() == [(0, "3"), (1, "4")]


def test_levels_of_a_path_are_categories_where_they_are_asked_for() -> None:
    entries = category_entries(pl.Series(["Home > Kitchen|Sale"]), levels=True)
    assert entries["value"].to_list() == ["Home", "Kitchen", "Sale"]
