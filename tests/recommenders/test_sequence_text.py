from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import segue
from segue.errors import FeatureUnknown, LanguageModelUnknown
from segue.testing import RecommenderContract
from segue.testing.logs import make_log
from tests.language.makers import tiny_model
from tests.training.runs import FULL

COLOURS = ("red", "blue", "green", "tea", "pot")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def catalogue(items: int = 27) -> pl.DataFrame:
    """The contract's items and two without events; ``item 3`` has no text."""
    titles = [None if at == 3 else f"{COLOURS[at % 5]} cup {at}" for at in range(items)]
    return pl.DataFrame({"item_id": [f"item {at}" for at in range(items)], "title": titles})


def shop() -> segue.Dataset:
    return segue.Dataset.from_frames(make_log(), catalogue())


def small(model: str | None, **settings: object) -> segue.SequenceRecommender:
    return segue.SequenceRecommender(**{**FULL, "text": model, "features": [], **settings})


class TestSequenceRecommenderThatReadsText(RecommenderContract):
    """The contract's catalogues have titles in some tests and none in others."""

    reads_time = True

    @pytest.fixture(autouse=True)
    def _language(self, model: str) -> None:
        type(self).recommender = staticmethod(
            lambda: segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=2, text=model)
        )


def test_an_item_without_events_is_scored_by_its_text(model: str) -> None:
    fitted = small(model).fit(shop())
    vectors = fitted.model.tower.vectors()
    cold = fitted.item_vocabulary.encode(["item 25", "item 26"])
    assert not fitted.model.tower.get_buffer("known").numpy()[cold].any()
    scores = fitted.score(histories=[["item 1", "item 2"]], items=["item 25", "item 26"])["score"]
    assert vectors[cold].abs().sum() > 0
    assert scores[0] != scores[1]


def test_what_its_own_vector_would_have_been_changes_nothing_for_an_item_without_events(model: str) -> None:
    fitted = small(model).fit(shop())
    asked = {"histories": [["item 1", "item 2"]], "items": ["item 25"]}
    before = fitted.score(**asked)["score"][0]
    fitted.model.tower.ids.weight.data[int(fitted.item_vocabulary.encode(["item 25"])[0])] += 5
    fitted._forget_vectors()
    assert fitted.score(**asked)["score"][0] == before


def test_it_answers_the_same_after_loading_without_the_language_model(model: str, tmp_path: Path) -> None:
    folder = tiny_model(tmp_path / "language")
    fitted = small(folder).fit(shop())
    fitted.save(tmp_path / "model")
    (tmp_path / "language").rename(tmp_path / "gone")
    loaded = segue.load(tmp_path / "model")
    histories = [["item 1", "item 2"], ["item 26"]]
    assert loaded.recommend(histories=histories, k=8).equals(fitted.recommend(histories=histories, k=8))
    assert loaded.report["text"]["model"] == folder


def test_the_report_says_what_was_read(model: str) -> None:
    told = small(model).fit(shop()).report["text"]
    assert told["columns"] == ["title"]
    assert told["coverage"] == round(26 / 27, 4)
    assert len(told["sha256"]) == 64


@pytest.mark.parametrize("encoder", ["transformer", "bidirectional", "gru"])
def test_every_encoder_takes_text(model: str, encoder: str) -> None:
    fitted = small(model, encoder=encoder, epochs=1).fit(shop())
    frame = fitted.recommend(["u0", "u1"], k=5)
    assert np.isfinite(frame["score"].to_numpy()).all()


@pytest.mark.parametrize(
    "text", [[None] * 27, ["<b>same</b>"] * 27, ["红色 杯子 🎉 كأس"] * 27, ["word " * 100_000] * 27]
)
def test_whatever_the_text_is_there_is_an_answer(model: str, text: list[str | None]) -> None:
    items = catalogue().with_columns(pl.Series("title", text, dtype=pl.String))
    fitted = small(model, epochs=1).fit(segue.Dataset.from_frames(make_log(), items))
    assert np.isfinite(fitted.recommend(["u0"], k=5)["score"].to_numpy()).all()


def test_without_a_catalogue_a_language_model_has_nothing_to_read(model: str) -> None:
    fitted = small(model, epochs=1).fit(segue.Dataset.from_frames(make_log()))
    assert fitted.report["text"]["coverage"] == 0
    assert len(fitted.recommend(["u0"], k=5)) == 5


def test_a_model_that_is_nowhere_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(LanguageModelUnknown, match="segue fetch"):
        small("no/such-model").fit(shop())


def test_a_column_that_is_not_there_is_an_error(model: str) -> None:
    with pytest.raises(FeatureUnknown, match="title"):
        small(model, text_columns=["titel"]).fit(shop())


def test_by_itself_it_reads_text_where_the_weights_are_there(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "text" not in small("auto", epochs=1).fit(shop()).report
    monkeypatch.setenv("SEGUE_TEXT", model)
    assert small("auto", epochs=1).fit(shop()).report["text"]["model"] == model
    assert "text" not in small("auto", epochs=1).fit(segue.Dataset.from_frames(make_log())).report


def test_vectors_of_smaller_numbers_are_nearly_the_same(model: str) -> None:
    full, whole = (small(model, epochs=1, text_precision=name).fit(shop()).log.text for name in ("fp32", "int8"))
    assert full is not None
    assert whole is not None
    same = np.sum(full.vectors * whole.vectors, axis=1)[1:3] / (full.vectors.shape[1])
    assert (same > 0.9).all()
    assert not np.array_equal(full.vectors, whole.vectors)
