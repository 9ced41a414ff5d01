"""``segue mine`` as a user meets it: a table with titles, files, a page, and mistakes that end in one message."""

from __future__ import annotations

import json
import re
import shlex
import warnings

import polars as pl
import pytest

from segue.cautions import MiningStopped
from tests.cli.test_verbs import refused, segue


@pytest.fixture(scope="module")
def files(log, catalogue, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mine")
    log.write_parquet(folder / "events.parquet")
    brands = pl.Series("brand", ["Acme", "Best"] * (catalogue.height // 2))
    catalogue.with_columns(brands).write_parquet(folder / "items.parquet")
    return folder


def mine(files, *options: object):
    return segue("mine", files / "events.parquet", "--items", files / "items.parquet", "-q", *options)


def test_patterns_are_shown_with_titles_and_counted(files):
    done = mine(files, "--min-support", 10, "--max-length", 2)
    assert done.returncode == 0, done.stderr
    assert "Film number" in done.stdout
    assert re.search(r"the first 20 of \d+ patterns", done.stdout)
    assert done.stderr == ""


def test_a_support_is_a_share_or_a_number(files):
    texts = [mine(files, "--max-length", 1, "--min-support", text).stdout for text in ("0.25", "25%", "15")]
    assert texts[0] == texts[1] == texts[2]  # of 60 users


@pytest.mark.parametrize("ending", ["parquet", "csv", "tsv", "json", "jsonl"])
def test_a_file_holds_the_ids_of_every_pattern(files, ending):
    out = files / f"patterns.{ending}"
    done = mine(files, "--min-support", 12, "--max-length", 2, "--out", out)
    assert done.returncode == 0, done.stderr
    read = {
        "parquet": lambda: pl.read_parquet(out)["pattern"].to_list(),
        "csv": lambda: [json.loads(text) for text in pl.read_csv(out)["pattern"]],
        "tsv": lambda: [json.loads(text) for text in pl.read_csv(out, separator="\t")["pattern"]],
        "json": lambda: [row["pattern"] for row in json.loads(out.read_text())],
        "jsonl": lambda: [json.loads(line)["pattern"] for line in out.read_text().splitlines()],
    }
    patterns = read[ending]()
    assert f"Wrote {len(patterns)} rows" in done.stdout
    assert all(item.startswith("i") for pattern in patterns for item in pattern)


def test_options_reach_the_miner(files):
    out = files / "bounded.parquet"
    bounds = ("--max-gap", 1, "--max-span-time", "2d", "--min-length", 2, "--max-length", 3, "--ties", "together")
    done = mine(files, "--min-support", 5, *bounds, "--measures", "confidence,days", "--keep", "closed", "--out", out)
    assert done.returncode == 0, done.stderr
    found = pl.read_parquet(out)
    assert found.columns == ["pattern", "length", "support", "users_share", "confidence", "days"]
    assert set(found["length"]) <= {2, 3}
    assert found["support"].min() >= 5
    assert found["days"].max() <= 2


def test_symbols_are_named_by_id_by_catalogue_or_with_their_action(files):
    only = mine(files, "--only", "i1,i2", "--max-length", 1, "--out", files / "o.parquet")
    assert only.returncode == 0, only.stderr
    assert set(pl.read_parquet(files / "o.parquet")["pattern"].explode()) == {"i1", "i2"}
    assert mine(files, "--only", "brand=Acme", "--max-length", 1, "--out", files / "o.parquet").returncode == 0
    assert all(int(item[1:]) % 2 == 0 for item in pl.read_parquet(files / "o.parquet")["pattern"].explode())
    pair = ("--of", "action+item", "--containing", "view:i3", "--max-length", 1)
    done = mine(files, *pair)
    assert "view Film number 3" in done.stdout
    assert "1 patterns" in done.stdout
    assert "drama" in mine(files, "--of", "categories", "--max-length", 1).stdout


@pytest.mark.parametrize(
    ("what", "options", "words"),
    [
        ("windows", ("--min-support", 3, "--top", 5), "5 windows"),
        ("rules", ("--set", "order=before", "--max-length", 2, "--set", "min_confidence=0.3"), "confidence"),
        ("contrast", ("--since", "2020-09-28", "--max-length", 1), "share_since"),
        ("contrast", ("--action", "purchase", "--max-length", 1), "growth"),
        ("refills", ("--min-support", 1, "--set", "min_repeats=1"), "median_days"),
        ("clock", ("--time-zone", "Europe/Rome"), "Monday"),
    ],
)
def test_every_kind_has_its_table_and_page(files, what, options, words):
    page = files / f"{what}.html"
    done = mine(files, "--what", what, *options, "--report", page)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout
    assert "Common paths" in page.read_text()


def test_groups_come_from_a_file(files):
    pl.DataFrame({"user_id": [f"u{n}" for n in range(60)], "group": ["old", "new"] * 30}).write_csv(files / "g.csv")
    done = mine(files, "--what", "contrast", "--groups", files / "g.csv", "--max-length", 1, "--top", 3)
    assert done.returncode == 0, done.stderr
    assert "3 contrasting patterns" in done.stdout


def test_a_ready_log_is_known_by_its_name(files, monkeypatch, data):
    monkeypatch.setitem(__import__("segue.datasets.catalogue").datasets.catalogue.READY, "ml-100k", lambda: data)
    assert "Film number" in segue("mine", "ml-100k", "--min-support", 15, "--max-length", 1, "-q").stdout


def test_nothing_frequent_is_said_in_words(files):
    done = mine(files, "--min-support", 60, "--report", files / "none.html", "--out", files / "none.parquet")
    assert done.returncode == 0, done.stderr
    assert "No patterns: nothing is frequent enough" in done.stdout
    assert pl.read_parquet(files / "none.parquet").height == 0
    assert "nothing is frequent enough" in (files / "none.html").read_text()


def test_a_warning_is_one_line_and_stands_on_the_page(files):
    done = mine(files, "--min-support", 2, "--limit", 50, "--report", files / "cut.html")
    assert done.returncode == 0
    lines = done.stderr.strip().splitlines()
    assert [line.startswith("note: ") for line in lines] == [True] * 2
    assert "the search ends at 50" in lines[0]
    assert "The search ended early" in (files / "cut.html").read_text()


def test_what_was_found_before_ctrl_c_is_written(files, monkeypatch):
    def stopped(*_, **__):
        warnings.warn("The search ended early (you stopped it).", MiningStopped, stacklevel=2)
        return pl.DataFrame({"pattern": [["i1"]], "length": [1], "support": [3], "users_share": [0.05]})

    monkeypatch.setitem(__import__("segue.cli.mining").cli.mining._MINERS, "patterns", stopped)
    done = mine(files, "--out", files / "some.parquet")
    assert done.returncode == 130
    assert "you stopped it" in done.stderr
    assert pl.read_parquet(files / "some.parquet")["pattern"].to_list() == [["i1"]]


def test_mistakes_end_in_one_message_with_a_code(files):
    refused(mine(files, "--min-support", "often"), "M002", "often")
    refused(mine(files, "--min-support", "2.5"), "M002")
    refused(mine(files, "--only", "i1,zzz"), "M005", "zzz")
    refused(mine(files, "--of", "colour"), "M001", "colour")
    refused(mine(files, "--max-gap-time", "soon"), "M020", "soon")
    refused(mine(files, "--measures", "beauty"), "C002", "beauty")
    refused(mine(files, "--min-length", 3, "--max-length", 2), "M003")
    refused(mine(files, "--out", files / "x.txt"), "C012", ".json")
    refused(mine(files, "--what", "rules", "--max-gap", 2), "M090", "--max-gap", "--what patterns")
    refused(mine(files, "--what", "refills", "--set", "merg=1d"), "C001", "'merge'")
    refused(mine(files, "--set", "top=5"), "C001")
    refused(mine(files, "--what", "contrast"), "M023")
    refused(mine(files, "--report", files / "events.parquet" / "page.html", "--max-length", 1), "A006")
    refused(segue("mine", files / "nothing.parquet"), "D001", "no such file")
    assert not (files / "x.txt").exists()


def test_the_examples_of_the_help_run(files, monkeypatch):
    monkeypatch.chdir(files)
    monkeypatch.setitem(__import__("segue.datasets.catalogue").datasets.catalogue.READY, "ml-100k", None)
    monkeypatch.setenv("COLUMNS", "300")
    shown = re.sub(r"\s*│|│\s*", "\n", segue("mine", "--help").stdout)
    examples = [line.strip() for line in shown.splitlines() if line.strip().startswith("segue mine ")]
    assert len(examples) == 6
    for example in examples:
        words = shlex.split(example)[1:]
        if "ml-100k" in words:
            words[words.index("ml-100k")] = "events.parquet"
        done = segue(*words, "-q")
        assert done.returncode == 0, done.stderr


def test_elements_may_be_sets_of_one_moment(tmp_path):
    rows = [(user, item, day) for user in (1, 2) for item, day in (("a", 1), ("b", 1), ("c", 2))]
    pl.DataFrame(rows, ["user_id", "item_id", "timestamp"], orient="row").write_csv(tmp_path / "events.csv")
    options = ("--elements", "sets", "--min-support", 2, "-q")
    done = segue("mine", tmp_path / "events.csv", *options)
    assert done.returncode == 0, done.stderr
    assert "a + b → c" in done.stdout
    refused(segue("mine", tmp_path / "events.csv", *options, "--report", tmp_path / "page.html"), "M040", "page")
    refused(segue("mine", tmp_path / "events.csv", *options, "--keep", "closed"), "M040", "closed")
