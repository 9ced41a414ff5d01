"""What recommenders offer to those who ask in codes, one question at a time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import segue
from segue.data.histories import Histories

MODELS = [
    segue.Popular(),
    segue.RecentlyPopular(),
    segue.FirstOrder(),
    segue.ItemNeighbours(),
    segue.EASE(regularisation=10.0),
    segue.PatternRecommender(),
    segue.SequenceRecommender(text=None, embedding_size=8, blocks=1, epochs=1, max_length=10),
]


@pytest.fixture(scope="module", params=MODELS, ids=lambda model: type(model).__name__)
def model(request: pytest.FixtureRequest, data: segue.Dataset) -> segue.Recommender:
    fitted: segue.Recommender = request.param.fit(data, progress=False)
    return fitted


def test_scores_by_code_are_those_by_id(model: segue.Recommender) -> None:
    histories = [["i1", "i2"], [], ["i7"]]
    codes = model.item_vocabulary.encode(["i1", "i2", "i7"])
    scores = model.score_codes(Histories(np.array([0, 2, 2, 3]), codes))
    ids = model.item_vocabulary.ids.to_list()
    expected = model.score(histories=histories, items=ids)["score"].to_numpy().reshape(3, -1)
    assert scores.shape == (3, len(ids) + 1)
    np.testing.assert_allclose(scores[:, 1:], expected, rtol=1e-5, atol=1e-6)


def test_items_left_out_are_those_that_a_list_lacks(model: segue.Recommender) -> None:
    codes = model.item_vocabulary.encode(["i1", "i2"])
    history = Histories(np.array([0, 2]), codes, actions=np.array([1, 2]))
    for asked in (history, replace(history, wanted=np.array([2]))):
        for wish in (True, False, None):
            listed, _ = model.recommend_codes(asked, 42, exclude_seen=wish, progress=False)
            lacking = set(codes.tolist()) - set(listed[0].tolist())
            assert lacking == set(model.left_out(asked, wish).items.tolist())


def test_item_vectors_are_one_for_each_code_or_none(model: segue.Recommender) -> None:
    codes = np.array([5, 1, 5])
    vectors = model.item_vectors(codes)
    if vectors is None:
        assert not isinstance(model, segue.EASE | segue.SequenceRecommender)
        return
    assert vectors.shape[0] == 3
    assert np.isfinite(vectors).all()
    assert (vectors[0] == vectors[2]).all()
    assert (vectors[0] != vectors[1]).any()
