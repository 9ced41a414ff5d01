from __future__ import annotations

import datetime as dt
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest

import segue
from segue.cautions import ManyPatterns, PatternsCut
from segue.errors import (
    ConfigUnknown,
    ConfigValue,
    ConstraintsContradict,
    NoClock,
    SpanUnreadable,
    SupportUnusable,
    SymbolsMissing,
    SymbolsUnknown,
)

DAY = dt.timedelta(days=1)


def log(*histories: str, days: float = 1.0) -> pl.DataFrame:
    """A letter is an item; one event every so many days."""
    start = dt.datetime(2026, 1, 1)
    rows = [
        {"user_id": f"u{user}", "item_id": item, "timestamp": start + number * days * DAY}
        for user, history in enumerate(histories)
        for number, item in enumerate(history)
    ]
    return pl.DataFrame(rows)


ITEMS = pl.DataFrame({"item_id": list("abcd"), "brand": ["X", "X", "Y", None]})


def mined(events, **settings):
    frame = segue.mine(events, ITEMS, progress=False, **settings)
    return {"".join(row["pattern"]): row["support"] for row in frame.iter_rows(named=True)}


def test_what_many_did_in_the_same_order_comes_first():
    frame = segue.mine(log("abc", "axb", "ba", "ab"), min_support=2, min_length=2, progress=False)
    assert frame.to_dicts() == [{"pattern": ["a", "b"], "length": 2, "support": 3, "users_share": 0.75}]


def test_support_is_counted_once_per_user():
    assert mined(log("ababab", "ab"), min_support=1, max_length=2)["ab"] == 2


def test_a_share_counts_users_and_a_whole_number_is_a_number():
    events = log("ab", "ab", "a", "b")
    assert mined(events, min_support=0.5) == mined(events, min_support=2)
    assert mined(events, min_support=1.0) == {}
    assert "ab" in mined(events, min_support=1)


def test_frames_come_back_as_they_came():
    events = log("ab", "ab")
    assert isinstance(segue.mine(events.to_pandas(), progress=False), pd.DataFrame)
    assert isinstance(segue.mine(events.to_arrow(), progress=False), type(events.to_arrow()))


def test_ids_keep_their_type():
    events = pl.DataFrame({"user_id": [1, 1, 2, 2], "item_id": [7, 8, 7, 8], "timestamp": [1, 2, 1, 2]})
    assert segue.mine(events, min_length=2, progress=False)["pattern"].to_list() == [[7, 8]]


def test_gaps_and_spans_are_told_in_events_and_in_time():
    events = log("axxb", "ab", days=2)
    assert mined(events, min_support=1, max_length=2)["ab"] == 2
    assert mined(events, min_support=1, max_length=2, max_gap=1)["ab"] == 1
    assert mined(events, min_support=1, max_length=2, max_gap_time="3d")["ab"] == 1
    assert mined(events, min_support=1, max_length=2, max_gap_time=6)["ab"] == 2
    assert mined(events, min_support=1, max_length=2, max_span=2)["ab"] == 1
    assert mined(events, min_support=1, max_length=2, max_span_time=dt.timedelta(days=6))["ab"] == 2
    assert mined(events, min_support=1, max_length=2, min_gap_time="5d")["ab"] == 1


def test_left_out_items_still_part_those_around_them():
    assert "ac" not in mined(log("abc", "abc"), excluding=["b"], max_gap=1)
    assert "ac" in mined(log("abc", "abc"), excluding=["b"])


def test_symbols_are_chosen_by_name_and_by_the_catalogue():
    events = log("abcd", "abcd")
    assert set(mined(events, only=["a", "c"], min_length=2)) == {"ac"}
    assert set(mined(events, only={"brand": "X"}, min_length=2)) == {"ab"}
    assert set(mined(events, excluding={"brand": ["X", "Y"]})) == {"d"}
    assert all("d" in pattern for pattern in mined(events, containing="d"))


def test_categories_and_their_absence_are_mined():
    frame = segue.mine(log("abd", "cd"), ITEMS, of="brand", min_support=1, progress=False)
    assert [("".join(p), n) for p, n in frame.select("pattern", "support").iter_rows()] == [
        ("X", 1),
        ("Y", 1),
        ("XX", 1),
    ]


def test_closed_and_maximal_patterns_say_the_same_with_less():
    events = log("abc", "abc", "ab")
    assert mined(events, min_support=2, keep="closed") == {"ab": 3, "abc": 2}
    assert mined(events, min_support=2, keep="maximal") == {"abc": 2}


def random_events(users: int = 200, items: str = "abcdefgh", length: int = 8) -> pl.DataFrame:
    draw = np.random.default_rng(3)
    return log(*("".join(draw.choice(list(items), length)) for _ in range(users)))


@pytest.mark.parametrize("keep", ["all", "closed"])
@pytest.mark.parametrize("min_length", [1, 2, 3])
@pytest.mark.parametrize("top", [1, 7, 60, 10_000])
def test_the_top_patterns_are_the_first_of_all_patterns(keep, min_length, top):
    events = random_events()
    everything = segue.mine(events, min_support=1, min_length=min_length, max_length=4, keep=keep, progress=False)
    found = segue.mine(events, top=top, min_length=min_length, max_length=4, keep=keep, progress=False)
    assert found.equals(everything.head(top))


def test_measures_are_what_their_names_say():
    # a: 4 of 5 users, b: 3, a then b: 2.
    events = log("ab", "axb", "a", "a", "b")
    frame = segue.mine(
        events, min_support=2, min_length=2, measures=["days", "confidence", "lift", "leverage"], progress=False
    )
    assert frame.columns[-4:] == ["confidence", "lift", "leverage", "days"]
    row = frame.row(0, named=True)
    assert row["confidence"] == pytest.approx(2 / 4)
    assert row["lift"] == pytest.approx((2 / 4) / (3 / 5))
    assert row["leverage"] == pytest.approx(2 / 5 - (4 / 5) * (3 / 5))
    assert row["days"] == pytest.approx(1.5)


def test_a_single_symbol_has_no_confidence():
    frame = segue.mine(log("a", "a"), measures=["confidence", "days"], progress=False)
    assert np.isnan(frame["confidence"][0])
    assert frame["days"][0] == 0


def test_the_shortest_match_of_a_user_tells_the_days():
    frame = segue.mine(log("aab", "aab"), only=["a", "b"], min_length=2, measures=["days"], progress=False)
    assert dict(zip(map("".join, frame["pattern"]), frame["days"], strict=True))["ab"] == 1


def test_too_many_patterns_are_foretold_and_the_shorter_ones_are_whole():
    events = random_events(items="abcd")
    whole = segue.mine(events, min_support=1, max_length=2, progress=False)
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        cut = segue.mine(events, min_support=1, limit=200, progress=False)
    assert [warning.category for warning in met] == [ManyPatterns, PatternsCut]
    assert "top=" in str(met[0].message)
    assert int(cut["length"].max()) == 3
    assert cut.filter(pl.col("length") <= 2).sort("pattern").equals(whole.sort("pattern"))


def test_a_log_of_one_event_histories_has_single_symbols_alone():
    assert mined(log("a", "a", "b"), min_support=1) == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"min_support": 0}, SupportUnusable),
        ({"min_support": -3}, SupportUnusable),
        ({"min_support": 1.5}, SupportUnusable),
        ({"min_length": 3, "max_length": 2}, ConstraintsContradict),
        ({"min_length": 4, "max_span": 2}, ConstraintsContradict),
        ({"min_gap_time": "2d", "max_gap_time": "1d"}, ConstraintsContradict),
        ({"min_gap_time": "2d", "max_span_time": "3d", "min_length": 3}, ConstraintsContradict),
        ({"only": ["a"], "excluding": ["a"]}, ConstraintsContradict),
        ({"only": ["a"], "containing": ["b"]}, ConstraintsContradict),
        ({"top": 5, "keep": "maximal"}, ConstraintsContradict),
        ({"max_gap_time": "soon"}, SpanUnreadable),
        ({"only": ["z"]}, SymbolsUnknown),
        ({"only": {"brand": "Z"}}, SymbolsUnknown),
        ({"only": {"colour": "Z"}}, SymbolsMissing),
        ({"of": "brand", "only": {"brand": "X"}}, ConfigValue),
        ({"of": "colour"}, SymbolsMissing),
        ({"of": "action"}, SymbolsMissing),
        ({"max_gap": 0}, ConfigValue),
        ({"keep": "some"}, ConfigValue),
        ({"min_suport": 0.1}, ConfigUnknown),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_remedy(settings, error):
    with pytest.raises(error):
        segue.mine(log("ab", "ab"), ITEMS, progress=False, **settings)


def test_bounds_on_time_need_a_clock():
    events = pl.DataFrame({"user_id": [1, 1], "item_id": ["a", "b"], "timestamp": [1, 2]})
    for settings in ({"max_gap_time": "1d"}, {"measures": ["days"]}):
        with pytest.raises(NoClock):
            segue.mine(events, progress=False, **settings)


def test_an_estimate_that_was_too_high_costs_no_pattern(monkeypatch):
    events = random_events(items="abcd")
    whole = segue.mine(events, min_support=30, progress=False)
    monkeypatch.setattr("segue.patterns.mine.expected", lambda *asked: (10**9, True))
    with pytest.warns(ManyPatterns):
        assert segue.mine(events, min_support=30, progress=False).equals(whole)


def test_patterns_may_be_as_long_as_histories():
    events = log("a" * 100, "a" * 100)
    assert mined(events, min_support=2, keep="maximal") == {"a" * 100: 2}
    assert len(mined(events, min_support=2, min_length=70)) == 31


def test_closed_patterns_under_a_bound_on_gaps_end_at_a_length_that_is_told():
    events = log("a" * 30, "a" * 30)
    assert len(mined(events, min_support=2, keep="closed")) == 1
    with pytest.raises(ConstraintsContradict, match="max_length=20"):
        mined(events, min_support=2, keep="closed", max_gap=1)


def test_an_explosion_of_few_symbols_is_foretold_too(monkeypatch):
    monkeypatch.setattr("segue.patterns.mining._PATIENCE", 60.0)
    draw = np.random.default_rng(0)
    events = log(*("".join(draw.choice(list("abcdefgh"), 40)) for _ in range(30)))
    with pytest.warns(PatternsCut), pytest.warns(ManyPatterns, match="more than"):
        segue.mine(events, min_support=2, limit=300_000, progress=False)


def test_fewer_threads_than_one_are_refused():
    with pytest.raises(ConfigValue, match="threads"):
        segue.mine(log("ab"), threads=0, progress=False)


@pytest.mark.parametrize(("plain", "numpys"), [(1, np.int64(1)), (2, np.int32(2)), (0.5, np.float32(0.5))])
def test_support_as_a_numpy_number_is_the_same_support(plain, numpys):
    events = pl.DataFrame(
        [
            (f"u{user}", item, 60 * place)
            for user, row in enumerate(["ab", "abc", "c", "de"])
            for place, item in enumerate(row)
        ],
        schema=["user_id", "item_id", "timestamp"],
        orient="row",
    )
    found = segue.mine(events, min_support=plain, progress=False)
    assert found.height > 0
    assert segue.mine(events, min_support=numpys, progress=False).equals(found)
