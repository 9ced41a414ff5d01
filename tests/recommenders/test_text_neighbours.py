from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import segue
from segue.cautions import NoItemText
from segue.data.dataset import Dataset
from segue.errors import FeatureUnknown, LanguageModelUnknown
from segue.language.encode import encode_texts
from segue.language.encoder import TextConfig, TextEncoder
from segue.language.models import load_language_model
from segue.testing import RecommenderContract, contract
from segue.testing.logs import small_data
from tests.language.makers import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.mark.filterwarnings("ignore::segue.cautions.NoItemText")
class TestTextNeighbours(RecommenderContract):
    """The catalogue of the contract is given titles; logs without a catalogue have nothing to read."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _text(cls, model: str) -> Iterator[None]:
        cls.recommender = staticmethod(lambda: segue.TextNeighbours(text=model, last=3))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(contract, "small_data", lambda: titled(small_data()))
            yield


def titled(data: Dataset) -> Dataset:
    assert data.items is not None
    number = pl.int_range(pl.len())
    return replace(data, items=data.items.with_columns(title=pl.format("film {} {} cup", number, 7 * number % 50)))


def vectors_of(model: str, texts: list[str]) -> np.ndarray:
    found = encode_texts(TextEncoder(load_language_model(model), TextConfig(model=model)), texts)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def test_scores_are_weighted_cosines_with_the_newest_items(data: segue.Dataset, model: str) -> None:
    fitted = segue.TextNeighbours(text=model, text_columns=["title"], last=2, decay=0.25).fit(data, progress=False)
    answer = fitted.score(histories=[["i3", "i4", "i5"]], items=["i7", "i8"])["score"].to_numpy()
    told = vectors_of(model, [f"Film number {n}" for n in (4, 5, 7, 8)])
    middle, new = told[0] @ told[2:].T, told[1] @ told[2:].T
    np.testing.assert_allclose(answer, new + 0.25 * middle, atol=2e-3)
    assert abs(answer - new).max() > 0.1


def test_items_that_nobody_met_are_found_by_their_text(log: pl.DataFrame, model: str) -> None:
    titles = ["red tea pot", "blue saw", "red tea pot", "green drill"]
    items = pl.DataFrame({"item_id": ["i1", "i2", "new", "i3"], "title": titles})
    known = log.filter(pl.col("item_id").is_in(["i1", "i2", "i3"]))
    fitted = segue.TextNeighbours(text=model).fit(Dataset.from_frames(known, items), progress=False)
    (first,) = fitted.recommend(histories=[["i1"]], k=1, exclude_seen=True)["item_id"]
    assert first == "new"
    assert fitted.report["coverage"] == 1.0


def test_an_item_without_text_scores_nothing_and_has_nothing_to_ask_with(log: pl.DataFrame, model: str) -> None:
    items = pl.DataFrame({"item_id": ["i1", "i2", "i3"], "title": ["red tea", None, "blue tea"]})
    known = log.filter(pl.col("item_id").is_in(["i1", "i2", "i3"]))
    fitted = segue.TextNeighbours(text=model).fit(Dataset.from_frames(known, items), progress=False)
    scores = fitted.score(histories=[["i1"], ["i2"]], items=["i1", "i2", "i3"])["score"].to_numpy()
    assert scores[1] == 0
    assert (scores[3:] == 0).all()
    assert fitted.recommend(histories=[["i2"]], k=1, exclude_seen=False)["item_id"].to_list() == [
        known.group_by("item_id").len().sort("len")["item_id"][-1]
    ]


def test_a_catalogue_without_text_is_told_and_needs_no_model(log: pl.DataFrame) -> None:
    with pytest.warns(NoItemText, match="No item of the catalogue has text"):
        fitted = segue.TextNeighbours(text="no/such/model").fit(Dataset.from_frames(log), progress=False)
    popular = segue.Popular().fit(Dataset.from_frames(log))
    users = ["u1", "u2"]
    assert fitted.recommend(users)["item_id"].to_list() == popular.recommend(users)["item_id"].to_list()


def test_a_model_or_a_column_that_is_not_there_is_an_error(
    data: segue.Dataset, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(LanguageModelUnknown, match="no/such"):
        segue.TextNeighbours(text="no/such").fit(data, progress=False)
    with pytest.raises(FeatureUnknown, match="Did you mean 'title'"):
        segue.TextNeighbours(text=model, text_columns=["titel"]).fit(data, progress=False)


def test_loading_and_answering_need_no_torch(data: segue.Dataset, model: str, tmp_path: Path) -> None:
    segue.TextNeighbours(text=model).fit(data, progress=False).save(tmp_path / "model")
    code = (
        f"import sys, segue; segue.load({str(tmp_path / 'model')!r}).recommend(['u1']);"
        " assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
