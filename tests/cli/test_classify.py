"""``segue classify`` as a user meets it."""

from __future__ import annotations

import json

import polars as pl
import pytest

from tests.cli.test_verbs import refused, segue
from tests.patterns.orders import ordered_log, shop_log

SMALL = ("--set", "patterns=20", "--set", "max_length=2", "--set", "candidates=200", "-q")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("classify")
    events, labels = ordered_log(100)
    events.write_csv(folder / "events.csv")
    labels.write_csv(folder / "labels.csv")
    shop_log(40).write_parquet(folder / "shop.parquet")
    return folder


def test_labels_are_learnt_judged_saved_and_told(files):
    paths = ("--out", files / "model", "--report", files / "f.json", "--predictions", files / "told.csv")
    done = segue("classify", files / "events.csv", "--labels", files / "labels.csv", *paths, *SMALL)
    assert done.returncode == 0, done.stderr
    for words in ("bag of items", "What mattered", "a > b: present", "Saved SequenceClassifier"):
        assert words in done.stdout
    assert json.loads((files / "f.json").read_text())["figures"]["auc"]["logistic"] > 0.95
    told = pl.read_csv(files / "told.csv")
    assert told.columns == ["user_id", "label", "probability"]
    assert told.height == 100
    again = segue("classify", files / "events.csv", "--model", files / "model", "--predictions", files / "again.csv")
    assert again.returncode == 0, again.stderr
    assert pl.read_csv(files / "again.csv")["label"].equals(told["label"])
    assert "yes" in segue("classify", files / "events.csv", "--model", files / "model").stdout


def test_a_ready_target_needs_no_labels(files):
    done = segue("classify", files / "shop.parquet", "--target", "will_do:purchase", *SMALL)
    assert done.returncode == 0, done.stderr
    assert "no purchase 20, purchase 20" in done.stdout


def test_mistakes_end_in_one_message(files):
    refused(segue("classify", files / "shop.parquet", "--target", "will_do:purchas", *SMALL), "R009", "purchase")
    refused(segue("classify", files / "shop.parquet", *SMALL), "M030", "Neither")
    refused(segue("classify", files / "shop.parquet", "--target", "will_leave", "--set", "folds=1"), "C002", "folds")
    refused(segue("classify", files / "shop.parquet", "--classifier", "forests"), "C002", "classifier")
    refused(segue("classify", files / "events.csv", "--labels", files / "none.csv", *SMALL), "D001")
    refused(segue("classify", files / "events.csv", "--model", files / "nowhere"), "A001")
