from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import SymbolsMissing
from segue.patterns.sequences import sequences

EVENTS = pl.DataFrame(
    {
        "user_id": ["ann", "ann", "ann", "bob", "bob"],
        "item_id": ["pan", "lid", "pan", "lid", "mug"],
        "timestamp": [10, 10, 20, 10, 30],
        "action": ["view", "buy", "view", None, "buy"],
    }
)
ITEMS = pl.DataFrame(
    {
        "item_id": ["pan", "lid", "mug"],
        "shelf": ["Home > Kitchen", "Home > Storage", None],
        "tags": [["steel", "round"], ["round"], []],
    }
)


@pytest.fixture
def data():
    return segue.Dataset.from_frames(EVENTS, ITEMS)


def told(made):
    """Rows as (label, place)."""
    labels = made.labels.to_list()
    pairs = [(labels[code], int(place)) for code, place in zip(made.symbols, made.places, strict=True)]
    return [pairs[a:b] for a, b in zip(made.offsets, made.offsets[1:], strict=False)][1:]


def test_items_stand_in_the_order_of_the_log(data):
    assert told(sequences(data)) == [[("pan", 0), ("lid", 1), ("pan", 2)], [("lid", 0), ("mug", 1)]]


def test_events_of_one_moment_may_be_together(data):
    made = sequences(data, ties="together")
    assert told(made) == [[("pan", 0), ("lid", 0), ("pan", 1)], [("lid", 0), ("mug", 1)]]


def test_an_unknown_action_is_no_symbol_and_leaves_its_place(data):
    assert told(sequences(data, "action")) == [[("view", 0), ("buy", 1), ("view", 2)], [("buy", 1)]]


def test_action_and_item_together_are_one_symbol(data):
    made = sequences(data, "action+item")
    assert told(made)[1] == [({"action": "buy", "item_id": "mug"}, 1)]


def test_an_item_of_several_categories_has_them_all_at_one_place(data):
    made = sequences(data, "tags")
    assert told(made)[0] == [("steel", 0), ("round", 0), ("round", 1), ("steel", 2), ("round", 2)]


def test_items_without_a_category_are_no_symbol(data):
    assert told(sequences(data, "shelf"))[1] == [("Home > Storage", 0)]


def test_a_level_of_a_taxonomy_joins_what_is_below_it(data):
    assert told(sequences(data, "shelf", level=1))[0] == [("Home", 0), ("Home", 1), ("Home", 2)]


def test_an_order_alone_has_no_times_and_a_clock_has(data):
    assert sequences(data).times is None
    clock = EVENTS.with_columns(pl.from_epoch("timestamp", time_unit="s"))
    made = sequences(segue.Dataset.from_frames(clock, ITEMS), "tags")
    assert made.times is not None
    assert len(made.times) == len(made.symbols)


@pytest.mark.parametrize("of", ["shelve", "item_id", "brand"])
def test_a_column_that_is_not_there_is_named_with_the_nearest(data, of):
    with pytest.raises(SymbolsMissing, match=of):
        sequences(data, of)


def test_actions_that_the_log_has_not_are_missed():
    with pytest.raises(SymbolsMissing, match="no column action"):
        sequences(segue.Dataset.from_frames(EVENTS.drop("action"), ITEMS), "action+item")


def test_rows_and_entries_are_taken_alike(data):
    made = sequences(data, "tags")
    taken = made.take(np.array([2, 1]))
    assert told(taken.take(np.array([0, 0, 1])))[1:] == told(made)[:1]
    kept = made.keep(made.symbols == 1)
    assert told(kept) == [[("steel", 0), ("steel", 2)], []]


@pytest.mark.parametrize("more", [0, 100])
def test_a_category_of_two_words_is_one_symbol_whatever_the_other_items_are(more):
    names = ["Men Shoes", "Men Hats", "Kids Shoes", "Kids Hats", "Drama|Comedy"]
    items = pl.DataFrame(
        {"item_id": range(5 + more), "category": names + [names[number % 4] for number in range(more)]}
    )
    events = pl.DataFrame({"user_id": "u", "item_id": range(5), "timestamp": range(5)})
    made = sequences(segue.Dataset.from_frames(events, items), "category")
    assert [label for label, _ in told(made)[0]] == [*names[:4], "Drama", "Comedy"]
