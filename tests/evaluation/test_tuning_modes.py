from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import segue
from segue.cli.main import app
from segue.errors import ConfigUnknown, NoTargets
from segue.evaluation import tuning_modes
from segue.evaluation.tuning_modes import compare_tuning
from segue.nn.sequence import SequenceModel
from segue.training.text_tuning import TunedText
from tests.conftest import ITEMS
from tests.language.tiny_models import save_tiny
from tests.recommenders.test_sequence_tuning import SMALL


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> str:
    words = ["Film", "number", "drama", "comedy", "crime", *map(str, range(ITEMS + 2))]
    return save_tiny(tmp_path_factory.mktemp("tiny"), "bert", words)


def test_modes_stand_side_by_side(split: segue.Split, language: str) -> None:
    settings = {**SMALL, "text": language, "tuning_epochs": 1}
    table = compare_tuning(split, settings, ["lora", "full"], apart=False, progress=False)
    assert table["mode"].to_list() == ["frozen", "control", "lora", "full"]
    assert table["trainable"][0] == table["trainable"][1] == 0 < table["trainable"][2] < table["trainable"][3]
    assert table["share"][3] == 1
    assert table["step_seconds"].null_count() == 1
    assert table["epochs"].to_list() == [0, 1, 1, 1], "no row falls back to the frozen model"
    assert table["difference"].to_numpy() == pytest.approx((table["ndcg@10"] - table["ndcg@10"][1]).to_numpy())
    assert (table["difference_low"] <= table["difference"]).all()
    assert (table["difference"] <= table["difference_high"]).all()
    assert (table["low"] <= table["ndcg@10"]).all()
    assert (table["ndcg@10"] <= table["high"]).all()


def test_a_mode_that_does_harm_shows_a_loss(split: segue.Split, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a fallback to the frozen model the loss would not show."""

    def ruin(self: TunedText, model: SequenceModel) -> None:
        for parameter in model.parameters() if self.tuning.parameters else ():
            parameter.data.zero_()

    monkeypatch.setattr(TunedText, "read_again", ruin)
    settings = {**SMALL, "text": language, "tuning_epochs": 1, "epochs": 6, "learning_rate": 0.02}
    table = compare_tuning(split, settings, ["lora"], apart=False, progress=False)
    assert table["difference"][2] < 0
    assert table["ndcg@10"][2] < table["ndcg@10"][0]


def test_the_control_trains_on_and_leaves_the_language_model_alone(split: segue.Split, language: str) -> None:
    settings = {**SMALL, "text": language, "tuning_fallback": False}
    of_frozen = {name: value for name, value in SMALL.items() if not name.startswith(("tuning", "text_batch"))}
    frozen = segue.SequenceRecommender(**of_frozen, text=language, refit=False)
    frozen.fit(split.train, split.validation, threads=1, progress=False)
    control = segue.SequenceRecommender(**settings, tuning="control", refit=False)
    control.fit(split.train, split.validation, threads=1, progress=False)
    assert control.report["training"]["curve"][-1]["loss"] == frozen.report["training"]["curve"][-1]["loss"]
    assert control.report["training"]["tuning"]["epochs"] >= 1
    assert control.report["training"]["weights_sha256"] != frozen.report["training"]["weights_sha256"]
    assert control.language_tuned is None
    assert (control.log.text.vectors == frozen.log.text.vectors).all()


def test_who_chooses_the_epochs_does_not_measure(split: segue.Split) -> None:
    assert split.validation is not None
    selection, reported = tuning_modes._halves(split.validation, 0)
    assert not set(selection.users) & set(reported.users)
    assert sorted([*selection.users, *reported.users]) == split.validation.users.tolist()
    assert abs(len(selection.users) - len(reported.users)) <= 1


def test_a_mode_that_is_not_there_is_refused(split: segue.Split) -> None:
    with pytest.raises(ConfigUnknown, match="lora"):
        compare_tuning(split, {}, ["lorra"])


def test_the_test_does_not_decide(split: segue.Split) -> None:
    with pytest.raises(NoTargets, match="no validation"):
        compare_tuning(replace(split, validation=None))


@pytest.mark.parametrize("ending", ["json", "md"])
def test_the_command_writes_the_table(
    log: pl.DataFrame, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    row = {"mode": "lora", "trainable": 9, "share": 0.5, "memory": 12, "step_seconds": None, "seconds": 3.0}
    row |= {"ndcg@10": 0.25, "low": 0.1, "high": None}
    row |= {"difference": -0.125, "difference_low": -0.2, "difference_high": -0.05}
    asked: list[object] = []

    def compared(split: segue.Split, settings: dict[str, object], modes: list[str], **_: object) -> pl.DataFrame:
        asked.extend([settings["text"], settings["tuning_epochs"], *modes])
        return pl.DataFrame([row])

    monkeypatch.setattr(tuning_modes, "compare_tuning", compared)
    log.write_parquet(tmp_path / "log.parquet")
    out = tmp_path / f"table.{ending}"
    given = [
        "compare-tuning",
        str(tmp_path / "log.parquet"),
        "--modes",
        "lora, full",
        "--epochs",
        "2",
        "--out",
        str(out),
    ]
    done = CliRunner().invoke(app, [*given, "--text", "tiny"])
    assert done.exit_code == 0
    assert "0.2500" in done.output, "quality is seen in 80 columns too"
    assert "-0.1250" in done.output
    assert asked == ["tiny", 2, "lora", "full"]
    written = out.read_text()
    assert json.loads(written) == [row] if ending == "json" else "| lora | 9 | 0.5000 | 12 |" in written
