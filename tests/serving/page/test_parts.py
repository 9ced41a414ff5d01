"""Texts of the page."""

from __future__ import annotations

from segue.serving.page import parts


def test_a_long_text_is_cut_and_a_short_one_stays() -> None:
    assert parts.short("Film") == "Film"
    cut = parts.short("x" * 19_000)
    assert len(cut) == parts.LONGEST_TEXT
    assert cut.endswith("…")


def test_a_long_title_is_cut_on_the_page_and_in_what_the_pointer_shows() -> None:
    with parts.ui.element():
        for tag in (parts.Tag("span", "y" * 19_000, "title"), parts.Tag("li", "y" * 19_000, cut="title")):
            assert len(tag.text) == parts.LONGEST_TEXT
            assert len(tag._props["title"]) == parts.LONGEST_HINT
            assert "cut" not in tag._props
        plain = parts.Tag("span", "Film", "title")
    assert plain.text == "Film"
    assert "title" not in plain._props
