"""What a search hands back: frame, TOML and page."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import polars as pl
import pytest

import segue
from segue.tuning.result import TuningResult
from segue.tuning.tune import tune


@pytest.fixture(scope="module")
def found(split) -> TuningResult:
    space = {"shrink": {"low": 0.0, "high": 100.0}, "last": {"low": 1, "high": 30, "log": True}, "decay": [0.7, 1.0]}
    return tune(split, recommender="ItemNeighbours", space=space, trials=8, progress=False)


class Sources(HTMLParser):
    """What a page would load from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]


def test_the_frame_has_a_row_per_trial_with_its_settings(found) -> None:
    table = found.trials
    assert isinstance(table, pl.DataFrame)
    assert table["trial"].to_list() == list(range(1, 9))
    assert {"state", "value", "seconds", "shrink", "last", "decay", "error"} <= set(table.columns)


def test_the_frame_is_of_the_kind_that_came(log) -> None:
    split = segue.split.leave_last_out(segue.Dataset.from_frames(log.to_pandas()))
    result = tune(split, recommender="EASE", trials=1, progress=False)
    assert isinstance(result.trials, pd.DataFrame)


def test_importances_are_shares(found) -> None:
    assert set(found.importances) == set(found.space)
    assert sum(found.importances.values()) == pytest.approx(1)


def test_too_few_trials_say_nothing_about_importance(split) -> None:
    result = tune(split, recommender="EASE", trials=2, progress=False)
    assert result.importances == {}
    assert "Too few trials" in result.to_html()


def test_the_toml_reads_back_as_what_was_found(found, tmp_path) -> None:
    odd = {"text": 'a "quoted" \\ ü\n', "flag": True, "list": ["a", 1], "table": {"a b": 1e-5}}
    result = replace(found, cleaning=odd)
    text = result.to_toml(tmp_path / "best.toml")
    assert (tmp_path / "best.toml").read_text() == text
    assert tomllib.loads(text) == {"recommender": "ItemNeighbours", "settings": found.settings, "cleaning": odd}


def test_the_page_is_whole_and_loads_nothing(found, tmp_path) -> None:
    text = found.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == text
    for words in ("How the search went", "What mattered", "Settings together", "Each setting", "Trials", "parcoords"):
        assert words in text
    assert f"{found.best_value:.4f}" in text
    sources = Sources()
    sources.feed(text)
    assert sources.found == []


def test_the_page_escapes_what_comes_from_outside(found) -> None:
    text = replace(found, study="<script>alert(1)</script>").to_html()
    assert "<script>alert(1)" not in text


def test_a_page_of_choices_and_a_page_with_failures_are_drawn(found) -> None:
    failed = found.table.with_columns(
        pl.when(pl.col("trial") == 2).then(None).otherwise("value").alias("value"),
        pl.when(pl.col("trial") == 2).then(pl.lit("failed")).otherwise("state").alias("state"),
        pl.when(pl.col("trial") == 2).then(pl.lit("<diverged>")).alias("error"),
    )
    assert "&lt;diverged&gt;" in replace(found, table=failed).to_html()
