"""``segue export``: whole and as before, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from typer.testing import CliRunner

import segue
from segue import artefacts
from segue.cli.main import app
from segue.deploy import export as exporting
from segue.deploy import parts
from segue.deploy.comparing import Questions
from segue.deploy.export import ExportConfig, export, exported
from segue.errors import AlreadyExported, ArtefactInTheWay, ExportOntoItself, ExportWorse, NothingToExport
from segue.nn.encoders import ENCODERS
from segue.recommenders.exported import ExportedRecommender
from tests.deploy.models import split, trained


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("models") / "shop"
    trained().save(place, test=split().test)
    return place


def asked(model: segue.Recommender) -> Questions:
    return Questions.of(model, split().test, 1_000)


def shuffled(content: bytes, way: str) -> bytes:
    """int8 whose scales belong to other columns: the broken twin of ``quantised``."""
    sound = real(content, way)
    assert sound is not None
    model = onnx.load_model_from_string(sound)
    rng = np.random.default_rng(0)
    for each in model.graph.initializer:
        array = numpy_helper.to_array(each)
        if each.name.endswith("_scale") and array.size > 1:
            mixed = rng.permutation(array) * rng.choice([0.1, 10], array.shape).astype(array.dtype)
            each.CopyFrom(numpy_helper.from_array(mixed, each.name))
    return bytes(model.SerializeToString())


real = parts.quantised


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "quantised", shuffled)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_in_fp32_the_lists_are_the_same_and_in_int8_nearly(encoder: str) -> None:
    model = trained(encoder)
    found = exported(model, asked(model), ExportConfig(precision="int8", most_loss=0.1))
    assert found.figures["onnx fp32"].overlap == 1.0
    assert found.figures["onnx fp32"].ndcg == found.figures["torch fp32"].ndcg
    assert found.figures["onnx int8"].overlap >= 0.95
    assert found.model.config.precision == "int8"
    assert found.model.report["export"] == found.report()


@pytest.mark.usefixtures("broken")
def test_shuffled_scales_are_refused_and_nothing_is_written(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(ExportWorse, match="fp32"):
        export(saved, tmp_path / "small", ExportConfig(precision="int8"))
    assert not (tmp_path / "small").exists()


def test_a_way_that_answers_otherwise_is_given_up_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken_at_first(content: bytes, way: str) -> bytes | None:
        return shuffled(content, way) if way == "all matrices" else real(content, way)

    monkeypatch.setattr(parts, "quantised", broken_at_first)
    found = exported(trained(), asked(trained()), ExportConfig(precision="int8", most_loss=0.1))
    assert found.way == "all but attention and gates"
    assert [each["way"] for each in found.tried] == ["all matrices"]
    assert found.tried[0]["overlap"] < 0.95


def test_more_may_be_asked_than_can_be_had() -> None:
    worse = replace(
        exporting.figures(trained(), asked(trained()), exporting.answered(trained(), asked(trained()))), ndcg=0.5
    )
    for after, config in (
        (replace(worse, overlap=0.94), ExportConfig()),
        (replace(worse, ndcg=0.49), ExportConfig()),
        (replace(worse, overlap=0.99), ExportConfig(least_overlap=1.0)),
    ):
        with pytest.raises(ExportWorse):
            exporting._refuse_worse(worse, after, config, "int8")
    exporting._refuse_worse(worse, replace(worse, overlap=0.95, ndcg=0.496), ExportConfig(), "int8")


def test_the_artefact_answers_as_the_trained_one_and_keeps_its_test(saved: Path, tmp_path: Path) -> None:
    export(saved, tmp_path / "small")
    model = segue.load(tmp_path / "small")
    assert type(model) is ExportedRecommender
    users = trained().user_vocabulary.ids
    wanted = trained().recommend(users, k=5)
    found = model.recommend(users, k=5)
    assert found.drop("score").equals(wanted.drop("score"))
    np.testing.assert_allclose(found["score"], wanted["score"], rtol=1e-3, atol=1e-4)
    for each in ("test_context", "test_targets"):
        kept, wanted = (artefacts.read(place).table(each) for place in (tmp_path / "small", saved))
        assert kept.equals(wanted)


def test_what_is_there_already_or_in_the_way_is_refused(saved: Path, tmp_path: Path) -> None:
    export(saved, tmp_path / "small")
    with pytest.raises(AlreadyExported):
        export(tmp_path / "small", tmp_path / "smaller")
    with pytest.raises(ExportOntoItself):
        export(saved, saved.parent / "." / saved.name)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(ArtefactInTheWay):
        export(saved, tmp_path / "mine")


def test_what_answers_without_torch_has_nothing_to_export(tmp_path: Path) -> None:
    segue.EASE().fit(split().train).save(tmp_path / "ease")
    with pytest.raises(NothingToExport, match="EASE"):
        export(tmp_path / "ease", tmp_path / "small")


@pytest.mark.parametrize("make", [segue.Ensemble, segue.Hybrid])
def test_a_sequence_model_inside_another_one_is_exported_in_its_place(make: Any, tmp_path: Path) -> None:
    data = split().train
    neural = segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=1).fit(data, progress=False)
    both = make([neural, segue.Popular().fit(data)], **({"blend": "score"} if make is segue.Hybrid else {}))
    both.save(tmp_path / "both", test=split().test)
    export(tmp_path / "both", tmp_path / "small", ExportConfig(precision="int8", most_loss=0.1))
    model = segue.load(tmp_path / "small")
    assert [type(each).__name__ for each in model.members] == ["ExportedRecommender", "Popular"]  # type: ignore[attr-defined]
    assert model.recommend(["u1", "u2"], k=5).height == 10
    with pytest.raises(AlreadyExported):
        export(tmp_path / "small", tmp_path / "smaller")


def test_the_verb_prints_what_changed(saved: Path, tmp_path: Path) -> None:
    options = ["--precision", "int8", "--most-loss", "0.1", "--out", str(tmp_path / "small")]
    told = CliRunner().invoke(app, ["export", str(saved), *options], catch_exceptions=False)
    assert told.exit_code == 0
    for word in ("NDCG@10", "torch fp32", "onnx fp32", "onnx int8", "100.0%", "MB"):
        assert word in told.stdout
    assert segue.load(tmp_path / "small").config.precision == "int8"


def test_the_verb_writes_beside_the_model_where_no_place_is_named(saved: Path) -> None:
    CliRunner().invoke(app, ["export", str(saved)], catch_exceptions=False)
    assert type(segue.load(saved.with_name("shop-onnx"))) is ExportedRecommender
