"""The text of a catalogue: which columns, in which order, and clean."""

from __future__ import annotations

import time

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue.data.vocabulary import Vocabulary
from segue.errors import FeatureUnknown
from segue.language.text import item_texts, joined, plain, text_columns


def texts_of(frame: pl.DataFrame, columns: list[str] | None = None) -> list[str]:
    vocabulary = Vocabulary(frame["item_id"])
    return item_texts(frame, vocabulary, "auto" if columns is None else columns)


def test_the_title_stands_first_and_codes_are_no_text() -> None:
    frame = pl.DataFrame(
        {
            "item_id": ["a", "b"],
            "sku": ["X-1", "X-2"],
            "description": ["A long walk home.", "Of mice and men"],
            "title": ["Walk", "Mice"],
            "categories": [["drama", "war"], None],
            "price": [1.0, 2.0],
        }
    )
    assert text_columns(frame) == ["title", "categories", "description"]
    assert texts_of(frame) == ["", "Walk. drama, war. A long walk home", "Mice. Of mice and men"]


def test_columns_can_be_named_and_one_that_is_not_there_is_refused() -> None:
    frame = pl.DataFrame({"item_id": ["a"], "title": ["Walk"], "sku": ["X-1"]})
    assert texts_of(frame, ["sku", "title"])[1] == "X-1. Walk"
    with pytest.raises(FeatureUnknown, match="Did you mean 'title'"):
        texts_of(frame, ["titel"])


def test_items_without_text_have_none_and_padding_has_none() -> None:
    frame = pl.DataFrame({"item_id": ["a", "b", "c"], "title": ["", None, " \n "]})
    assert texts_of(frame) == ["", "", "", ""]
    assert item_texts(None, Vocabulary(frame["item_id"])) == ["", "", "", ""]
    assert text_columns(None) == []


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("<p>Tom &amp; <b>Jerry</b></p>", "Tom & Jerry"),
        ("a<script>steal('x < y')</script>b<!-- not\nseen -->c", "a b c"),
        ("2 < 3 and I <3 you", "2 < 3 and I <3 you"),
        ("千と千尋の神隠し", "千と千尋の神隠し"),
        ("\u202bألف ليلة\u202c", "ألف ليلة"),
        ("family 👨‍👩‍👧 film 🎬", "family 👨‍👩‍👧 film 🎬"),
        ("co\u00adoperate\ufeff", "cooperate"),
        ("one\x00two\u200bthree\u2028four", "one two three four"),
        ("half \ud83d of one", "half of one"),
        ("&lt;i&gt;Heat&lt;/i&gt;", "Heat"),
        (None, ""),
    ],
)
def test_text_of_any_script_is_freed_of_markup_and_of_what_is_unseen(raw: str | None, clean: str) -> None:
    assert plain(raw) == clean


@given(st.text())
def test_clean_text_stays_as_it_is_but_for_entities_in_entities(raw: str) -> None:
    clean = plain(raw)
    assert clean == clean.strip()
    assert "\n" not in clean
    clean.encode("utf-8")
    if "&" not in clean and "<" not in clean:
        assert plain(clean) == clean


@pytest.mark.parametrize("bad", ["<script ", "<!-- ", "<style><script>", "<a ", "word "])
def test_a_hundred_thousand_words_are_cut_and_hostile_markup_takes_no_square_of_the_time(bad: str) -> None:
    began = time.process_time()
    clean = plain(bad * 100_000)
    assert len(clean) <= 20_000
    assert time.process_time() - began < 3


def test_what_says_the_same_again_is_left_out() -> None:
    assert joined(["The Wind Rises.", "wind rises", "Anime", None]) == "The Wind Rises. Anime"
