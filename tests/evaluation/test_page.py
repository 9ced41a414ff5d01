from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

import polars as pl
import pytest

import segue
from segue.evaluation import page as drawing
from segue.evaluation.page import shorten
from tests.conftest import make_log
from tests.training.runs import SMALL

HOSTILE = "<script>alert('title')</script><img src=x onerror=alert(1)> & \"quoted\""
LONG = "long " * 2_000_000
TURNED = "مرحبا 🙂 שלום"


@pytest.fixture(scope="module")
def hostile() -> segue.Report:
    """A report on a log whose titles and ids try to be code."""
    log = make_log(users=20).with_columns(pl.format("<script>{}</script>", "user_id").alias("user_id"))
    items = pl.DataFrame({"item_id": log["item_id"].unique().sort()})
    titles = [(HOSTILE, LONG, TURNED)[number % 3] for number in range(items.height)]
    data = segue.Dataset.from_frames(log, items.with_columns(pl.Series("title", titles)))
    split = segue.split.leave_last_out(data)
    model = segue.SequenceRecommender(**SMALL).fit(split.train, split.validation, progress=False)
    return segue.evaluate(model, split.test, beside=[segue.Popular().fit(split.train)], progress=False)


class Reader(HTMLParser):
    """Collects tags and attributes that a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[str] = []
        self.loads: list[str] = []
        self.handlers: list[str] = []
        self.text: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, Any]]) -> None:
        self._inside = tag
        if tag in {"script", "style"}:
            self.scripts.append("")
        for name, value in attrs:
            if name in {"src", "href", "srcset", "data", "action"}:
                self.loads.append(f"{tag} {name}={value}")
            if name.startswith("on"):
                self.handlers.append(f"{tag} {name}")

    def handle_data(self, data: str) -> None:
        if self._inside in {"script", "style"} and self.scripts:
            self.scripts[-1] += data
        else:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def test_titles_and_ids_are_text_and_never_code(hostile: segue.Report) -> None:
    reader = read(hostile.to_html())
    shown = " ".join(reader.text)
    assert "<script>alert('title')</script>" in shown, "what is escaped reads as it was written"
    assert "<script>u" in shown
    assert not any("alert('title')" in script for script in reader.scripts)
    assert reader.handlers == []


def test_what_each_attribute_is_worth_is_shown_and_its_name_escaped(hostile: segue.Report) -> None:
    plan = {**hostile.training["training"], "plan": {"validation_metric": "ndcg@10"}}
    row = {"kind": "categorical", "values": 1_234, "coverage": 0.5}
    rows = [{"name": HOSTILE, **row, "worth": 0.0123}, {"name": "year", **row, "worth": -0.001}]
    with_features = dataclasses.replace(hostile, training={"training": plan, "features": rows})
    reader = read(with_features.to_html())
    shown = " ".join(reader.text)
    assert "Item attributes" in shown
    assert "<script>alert('title')</script>" in shown
    assert not any("alert('title')" in script for script in reader.scripts)
    for text in ("1,234", "50.0%", "+0.0123", "-0.0010"):
        assert text in shown
    assert "Item attributes" not in " ".join(read(hostile.to_html()).text)
    unmeasured = [{**row, "name": "year", "worth": None}]
    page = dataclasses.replace(hostile, training={"training": plan, "features": unmeasured}).to_html()
    assert "Item attributes" in page


def test_a_page_that_does_not_escape_is_noticed(hostile: segue.Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "escape", str)
    reader = read(hostile.to_html())
    assert any("alert('title')" in script for script in reader.scripts)
    assert reader.handlers


def test_the_page_loads_nothing_from_anywhere(hostile: segue.Report) -> None:
    text = hostile.to_html()
    reader = read(text)
    assert reader.loads == []
    assert not re.search(r"@import|url\(\s*['\"]?https?:", "".join(part for part in reader.text))
    assert text.count("<script") == text.count("</script>")


def test_a_title_of_ten_million_characters_does_not_swell_the_page(hostile: segue.Report) -> None:
    text = hostile.to_html()
    assert "long long" in text
    assert len(text) < 8_000_000


def test_every_writing_survives(hostile: segue.Report) -> None:
    assert TURNED in hostile.to_html()


def test_the_page_shows_figures_curve_slices_and_settings(hostile: segue.Report) -> None:
    shown = " ".join(read(hostile.to_html()).text)
    for part in (
        "SequenceRecommender",
        "Popular",
        f"{hostile['ndcg@10']:.4f}",
        "history length",
        "embedding_size",
        "Learning",
    ):
        assert part in shown


def test_what_came_is_marked_among_what_was_recommended(split: segue.Split) -> None:
    report = segue.evaluate(segue.FirstOrder().fit(split.train, split.validation), split.test, progress=False)
    hits = sum(title in example["came"] for example in report.examples for title in example["recommended"])
    assert hits > 0
    assert report.to_html().count("<mark>") == hits


def test_a_report_of_short_lists_and_no_training_has_a_page(split: segue.Split) -> None:
    report = segue.evaluate(segue.Popular().fit(split.train), split.test, k=3, progress=False)
    text = report.to_html()
    assert "ndcg@3" in text
    assert "<h2>Learning</h2>" not in text


def test_long_texts_are_cut_with_a_sign() -> None:
    assert shorten("short") == "short"
    assert shorten("x" * 100, 10) == "x" * 9 + "…"
