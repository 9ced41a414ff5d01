from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from segue.language.models import load_language_model
from tests.cli.test_verbs import refused, segue
from tests.language.makers import tiny_model

QUICK = ("--set", "epochs=1", "--set", "held_out=0.3", "--set", "precision=fp32", "--quiet")


@pytest.fixture(scope="module")
def files(log: pl.DataFrame, catalogue: pl.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pretrain")
    log.write_csv(folder / "events.csv")
    catalogue.write_parquet(folder / "items.parquet")
    tiny_model(folder / "tiny")
    return folder


def test_a_model_is_pretrained_its_gain_told_and_a_recommender_reads_with_it(files: Path) -> None:
    events, items, out = files / "events.csv", files / "items.parquet", files / "shop"
    options = ("--items", items, "--model", files / "tiny", "--task", "contrast", "--task", "behaviour")
    done = segue("pretrain", events, *options, "--out", out, *QUICK)
    assert done.returncode == 0, done.stderr
    for told in ("by its text alone", "recall@10", "nothing", "contrast", "behaviour", "text="):
        assert told in done.stdout
    assert load_language_model(str(out)).size == 32
    trained = segue(
        *("train", events, "--items", items, "--out", files / "model", "--recommender", "TextNeighbours"),
        *("--set", f"text={out}", "--quiet"),
    )
    assert trained.returncode == 0, trained.stderr


def test_what_the_split_holds_out_is_not_learnt(files: Path) -> None:
    events, items = files / "events.csv", files / "items.parquet"
    common = ("pretrain", events, "--items", items, "--model", files / "tiny", *QUICK)
    for split, count in (("leave-last-out", 881 - 2 * 60), ("none", 881)):
        out = files / f"model-{split}"
        assert segue(*common, "--split", split, "--out", out).returncode == 0
        assert f'"events": {count}' in (out / "segue.json").read_text()


def test_mistakes_end_in_one_message(files: Path) -> None:
    events, out = files / "events.csv", files / "nothing"
    options = ("--model", files / "tiny", "--out", out)
    refused(segue("pretrain", events, *options), "L020", "no item of the catalogue has text")
    refused(segue("pretrain", events, *options, "--set", "epoch=3"), "C001", "epochs")
    refused(segue("pretrain", events, "--out", files), "A005", "another directory")
    refused(
        segue("pretrain", events, "--items", files / "items.parquet", "--model", files / "none", "--out", out), "L001"
    )
    assert not out.exists()
