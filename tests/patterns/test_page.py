"""The page of what was mined: whole without the network, safe with any title, and in words where there is nothing."""

from __future__ import annotations

import json
import re

import numpy as np
import polars as pl
import pytest

import segue
from segue import pages
from segue.patterns import pictures
from segue.patterns.page import page, write
from segue.patterns.sequences import sequences
from segue.patterns.table import table

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
DAY = 86_400


@pytest.fixture(autouse=True)
def _without_plotly(monkeypatch):
    """Pages with a word in the place of plotly's 4 MB, which are not ours to look at."""
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "PLOTLY")


def shop(title: str = "Coffee") -> segue.Dataset:
    """Twelve people who buy coffee every week and then milk; one of them has a lamp, too."""
    start = 1_700_000_000
    rows = [
        (f"u{user}", item, start + week * 7 * DAY + at)
        for user in range(12)
        for week in range(4)
        for at, item in enumerate(["coffee", "milk"])
    ]
    rows.append(("u0", "lamp", start + 40 * DAY))
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    items = pl.DataFrame({"item_id": ["coffee", "milk", "lamp"], "title": [title, "Milk & more", "Lamp"]})
    return segue.Dataset.from_frames(events, items)


def ordered() -> segue.Dataset:
    """A log that knows an order alone."""
    rows = [(f"u{user}", item, place) for user in range(5) for place, item in enumerate("abc")]
    return segue.Dataset.from_frames(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))


def mined(data: segue.Dataset, **settings: object) -> pl.DataFrame:
    return segue.mine(data, progress=False, **{"max_length": 3, **settings})


def rows_of(text: str) -> dict[str, list]:
    """The table of a page, as its script reads it."""
    found = re.findall(r"<script type='application/json'>(.*?)</script>", text, flags=re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def section(text: str, title: str) -> str:
    return text.split(f"<h2>{title}</h2>")[1].split("<h2>")[0]


def test_every_section_is_there_with_its_picture():
    data = shop()
    text = page(mined(data), data, name="shop")
    assert "Habits in shop" in text
    assert "most frequent path" in text
    for title, file in {
        "Common paths": "paths",
        "What comes next": "what-comes-next",
        "Until the next time": "until-the-next-time",
        "Hours and weekdays": "hours-and-weekdays",
    }.items():
        part = section(text, title)
        assert "plotly-graph-div" in part
        for kind in ("png", "svg"):
            assert f"data-format='{kind}' data-file='{file}'" in part


def test_the_table_holds_the_frame_with_titles_for_ids():
    data = shop()
    found = mined(data, measures=["confidence", "lift"])
    told = rows_of(page(found, data))
    assert [column["name"] for column in told["columns"]] == found.columns
    assert [column["kind"] for column in told["columns"]] == ["words", "whole", "whole", "share", "share", "number"]
    titles = data.titles
    for row, (pattern, *numbers) in zip(told["rows"], found.iter_rows(), strict=True):
        assert row[0] == " → ".join(titles[item] for item in pattern)
        assert row[1:] == [None if isinstance(each, float) and np.isnan(each) else each for each in numbers]


def test_a_hostile_title_stays_text_everywhere():
    data = shop(HOSTILE)
    text = page(mined(data), data, name=HOSTILE, notes=[HOSTILE], settings={HOSTILE: HOSTILE})
    assert "<img" not in text
    assert "<script>alert" not in text
    assert any(HOSTILE in str(row[0]) for row in rows_of(text)["rows"])


def test_the_page_asks_nothing_of_anybody():
    data = shop()
    text = page(mined(data), data)
    assert "Content-Security-Policy\" content=\"default-src 'none'" in text
    assert not re.search(r"<link|<iframe|@import|url\(|fetch\(|XMLHttpRequest|\b(src|href)\s*=", text)


def test_what_is_not_there_is_said_in_words():
    data = ordered()
    text = page(mined(data, min_support=1000), data)
    assert "No path" in section(text, "Common paths")
    assert "nothing is frequent enough" in section(text, "Patterns")
    for title in ("Until the next time", "Hours and weekdays"):
        assert "without times" in section(text, title)
    quick = shop()
    never_again = quick.where(pl.col("user") < 3)
    assert "Nothing is come back to" in page(mined(never_again), never_again)


def test_a_note_is_on_the_page():
    data = ordered()
    assert "The search ended early" in page(mined(data), data, notes=["The search ended early."])


def test_rules_and_refills_have_pages_with_paths_of_neighbours():
    from segue.patterns.regularity import refills
    from segue.patterns.rules import rules

    data = shop()
    found = rules(data, baskets="user", min_confidence=0.0, progress=False)
    text = page(found, data, what="rules")
    assert "follow each other directly" in section(text, "Common paths")
    told = rows_of(text)
    assert told["rows"][0][:2] == [
        " + ".join(data.titles[item] for item in found[side][0]) for side in found.columns[:2]
    ]
    assert "Infinity" in {row[7] for row in told["rows"]}  # the conviction of what is never wrong
    assert {row[0] for row in rows_of(page(refills(data), data, what="refills"))["rows"]} == {"Coffee", "Milk & more"}


def test_a_page_is_written_whole(tmp_path):
    data = ordered()
    found = mined(data)
    write(tmp_path / "page.html", found, data, name="letters")
    assert (tmp_path / "page.html").read_text() == page(found, data, name="letters")


def test_a_long_table_says_what_it_left_out():
    many = pl.DataFrame({"pattern": [str(number) for number in range(10_001)], "support": range(10_001)})
    text = table(many, {}, "patterns")
    assert "The first 10,000 of 10,001" in text
    assert len(rows_of(text)["rows"]) == 10_000


def test_the_shares_of_what_comes_next_are_of_users_who_had_the_first():
    data = shop()
    codes, counts, users = pictures.next_shares(sequences(data))
    names = data.item_vocabulary.decode(codes).to_list()
    coffee, milk, lamp = (names.index(name) for name in ("coffee", "milk", "lamp"))
    assert users[[coffee, milk, lamp]].tolist() == [12, 12, 1]
    assert counts[coffee, milk] == 12
    assert counts[milk, coffee] == 12
    assert counts[milk, lamp] == 1
    assert counts[coffee, lamp] == 0


def test_ribbons_are_as_wide_as_patterns_have_users():
    data = shop()
    figure, _ = pictures.paths(mined(data), data.titles)
    link, names = figure.data[0].link, figure.data[0].node.label
    drawn = {
        (names[source], names[target]): value
        for source, target, value in zip(link.source, link.target, link.value, strict=True)
        if names[target]
    }
    assert drawn[("Coffee", "Milk &amp; more")] == 12
    assert drawn[("Milk &amp; more", "Coffee")] == 12


def test_a_path_whose_beginning_is_no_pattern_is_drawn_all_the_same():
    found = pl.DataFrame({"pattern": [["a", "b", "c"], ["a", "d"]], "support": [5, 4]})
    figure, _ = pictures.paths(found, {})
    links = figure.data[0].link
    assert sorted(value for value in links.value if value >= 1) == [4, 5, 5]


def test_an_hour_of_a_day_counts_once_for_a_user():
    monday = 1_700_438_400  # 20 November 2023, midnight UTC
    rows = [("u", "a", monday + 3_600), ("u", "b", monday + 3_700), ("u", "a", monday + 7 * DAY + 3_600)]
    log = pl.DataFrame([*rows, ("v", "a", monday + DAY)], schema=["user_id", "item_id", "timestamp"], orient="row")
    counts = pictures.week(segue.Dataset.from_frames(log))
    assert counts[0, 1] == 2
    assert counts[1, 0] == 1
    assert counts.sum() == 3


def test_titles_of_one_name_keep_their_own_lines():
    assert len(set(pictures._apart(["Milk", "Milk", "Tea"]))) == 3


def test_other_pages_keep_their_pictures_without_buttons():
    import plotly.graph_objects as go

    assert "data-format" not in pages.drawn(go.Figure())
