"""An update of a model that answers by its export learns from the trained one and exports again as before."""

from __future__ import annotations

import pytest

import segue
from segue import artefacts
from segue.deploy.export import ExportConfig, export
from segue.deploy.refresh import export_as, precision_of, settings_of
from segue.serving.learning.update import UpdatingConfig, update
from segue.serving.models.models import Models
from segue.serving.models.registry import Registry
from segue.serving.store import Event, Store
from tests.deploy.models import trained
from tests.evaluation.rings import ring


@pytest.mark.parametrize(
    ("config", "precision"),
    [
        ({"precision": "int8"}, "int8"),
        ({"precision": "fp32"}, "fp32"),
        ({}, "fp32"),
        ({"members": [{"recommender": "Popular", "settings": {}}, {"settings": {"precision": "int8"}}]}, "int8"),
    ],
)
def test_the_precision_of_an_export_is_told_by_its_settings(config, precision):
    assert precision_of(config) == precision


def test_an_export_that_does_not_tell_its_settings_is_asked_for_its_precision_and_search(tmp_path):
    trained(encoder="gru").save(tmp_path / "shop")
    model = export(tmp_path / "shop", tmp_path / "shop-onnx").model
    del model.report["export"]["config"]
    model.save(tmp_path / "old")
    found = settings_of(artefacts.read(tmp_path / "old"))
    assert found["precision"] == "fp32"
    assert ExportConfig.parse(found) == ExportConfig(**found)


def test_an_exported_line_learns_on_and_answers_by_an_export(tmp_path):
    log = ring(60)
    cut = int(log.height * 0.7)
    model = segue.SequenceRecommender(text=None, embedding_size=8, blocks=1, epochs=2, refit=False, max_length=20)
    model.fit(segue.Dataset.from_frames(log.head(cut)), progress=False)
    model.save(tmp_path / "shop")
    chosen = ExportConfig(users=77, text=False, least_overlap=0.5, most_loss=0.9)
    export(tmp_path / "shop", tmp_path / "shop-onnx", chosen)
    store = Store.open(f"sqlite:///{tmp_path / 'shop.db'}")
    try:
        models = Models.open(store, tmp_path / "shop-onnx")
        store.append(
            [
                Event(f"{user}{item}{stamp}", user, item, stamp * 1_000_000)
                for user, item, stamp in log.tail(log.height - cut).iter_rows()
            ]
        )
        settings = UpdatingConfig(users=20)
        outcome = update(
            store,
            tmp_path / "shop",
            settings,
            always=True,
            export=export_as,
            epochs=1,
            forgetting="none",
            progress=False,
        )
        assert (outcome.name, outcome.learnt["way"]) == ("shop-0002", "update")
        row = Registry(store).row("shop-0002")
        assert artefacts.read(row.path).manifest["class"] == "ExportedRecommender"
        assert artefacts.read(row.source).manifest["class"] == "SequenceRecommender"
        # What the first was held to, and whether it reads text, is asked of all that follow.
        assert settings_of(artefacts.read(row.path)) == chosen.model_dump()
        models.refresh()
        served = models.choose()
        assert served.name == "shop-0002"
        assert type(served.recommender).__name__ == "ExportedRecommender"
        assert served.recommender.histories.lengths.sum() == log.height
    finally:
        store.close()
