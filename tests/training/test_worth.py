from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from segue.nn.encoders import Shape
from segue.nn.item_tower import Bags, ItemTower
from segue.nn.sequence import SequenceModel
from segue.nn.transformer import TransformerEncoder
from segue.training.worth import worth_of_features


def model(bags: Bags | None) -> SequenceModel:
    return SequenceModel(ItemTower(2, 4, bags), TransformerEncoder(Shape(4, 3)))


TWO = Bags(np.array([0, 0, 2, 4]), np.array([0, 2, 1, 3]), np.ones(4), (2, 2))


def test_worth_is_the_fall_of_the_metric_and_the_model_is_left_as_it_was() -> None:
    whole = model(TWO).train()
    before = {name: tensor.clone() for name, tensor in whole.state_dict().items()}

    def validation(asked: SequenceModel, vectors: torch.Tensor | None = None) -> float:
        assert not asked.training
        if vectors is None:
            return 0.5
        # The items differ in their ids and the other feature alone.
        other = next(place for place in (0, 1) if torch.equal(vectors, asked.tower.without(place)))
        return (0.2, 0.6)[other]

    found: Any = worth_of_features(whole, validation)  # type: ignore[arg-type]
    assert found == pytest.approx([0.3, -0.1])
    assert whole.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in whole.state_dict().items())


def test_without_features_or_a_holdout_there_is_nothing_to_measure() -> None:
    assert worth_of_features(model(None), lambda *_: 0.5) is None  # type: ignore[arg-type]
    assert worth_of_features(model(TWO), None) is None
