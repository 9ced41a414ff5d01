from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import segue
from segue.data.batches import inference_batches
from segue.data.histories import Histories
from segue.errors import DistilRefused
from segue.nn.inputs import Inputs
from segue.recommenders.ensemble import Ensemble
from segue.training.distillation import Distillation, DistillationConfig
from tests.training.runs import FULL


@pytest.fixture(scope="module")
def two(split: segue.Split) -> Ensemble:
    settings = {**FULL, "epochs": 1, "max_length": 20, "time": [], "behaviour": []}
    return segue.Ensemble.of(seeds=[0, 1], **settings).fit(split.train, progress=False, threads=1)


def distillation(two: Ensemble, shares: tuple[float, float] = (0.5, 0.5), **config: Any) -> Distillation:
    pairs: Any = zip(two.members, shares, strict=True)
    return Distillation.of([(each.model, each.plan, share) for each, share in pairs], DistillationConfig(**config))


def batch_of(histories: Histories) -> tuple[Inputs, torch.Tensor, np.ndarray]:
    """Histories as inputs, a mask of each row's newest event, and the row numbers."""
    ((rows, batch),) = inference_batches(histories, 20, 10_000)
    inputs = Inputs.of(batch)
    place = torch.arange(inputs.items.shape[1])
    return inputs, place == inputs.lengths[:, None] - 1, rows


def test_teachers_rank_as_the_ensemble_does(two: Ensemble) -> None:
    histories = Histories(two.histories.offsets, two.histories.items)
    inputs, newest, rows = batch_of(histories.take(np.arange(1, 9)))
    codes, log_probabilities = distillation(two, (0.75, 0.25), candidates=12).soft_targets(inputs, newest)
    ensemble = segue.Ensemble(two.members, weights=[3, 1])
    scores = ensemble._score_block(histories.take(1 + rows))
    scores[:, 0] = -np.inf
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :12]
    assert (codes.numpy() == expected).mean() > 0.98, "all but ties of rounding"
    np.testing.assert_allclose(log_probabilities.exp().sum(1), 1, rtol=1e-5)
    assert (log_probabilities.diff(dim=1) <= 0).all()


def test_one_teacher_is_heard_as_it_speaks(two: Ensemble) -> None:
    member = two.members[0]
    assert isinstance(member, segue.SequenceRecommender)
    inputs, newest, _ = batch_of(two.histories.take(np.arange(1, 9)))
    alone = Distillation.of([(member.model, member.plan, 1.0)], DistillationConfig(temperature=3.0, candidates=10_000))
    codes, log_probabilities = alone.soft_targets(inputs, newest)
    with torch.inference_mode():
        logits = (member.model.last(inputs) @ member.model.tower.vectors().T)[:, 1:] / 3
    expected = logits.log_softmax(1).gather(1, codes - 1)
    np.testing.assert_allclose(log_probabilities, expected, atol=1e-5)


def test_positions_are_scored_in_pieces_without_a_difference(two: Ensemble, monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, _, _ = batch_of(two.histories.take(np.arange(1, 9)))
    learnt = inputs.items > 0
    whole = distillation(two).soft_targets(inputs, learnt)
    monkeypatch.setattr("segue.training.distillation._SCORES", 1)
    pieces = distillation(two).soft_targets(inputs, learnt)
    assert whole[0].shape == pieces[0].shape == (int(learnt.sum()), len(two.item_vocabulary))
    np.testing.assert_allclose(whole[1], pieces[1], atol=1e-5)


def test_teachers_draw_nothing_at_random_and_are_left_as_they_are(two: Ensemble) -> None:
    inputs, newest, _ = batch_of(two.histories.take(np.arange(1, 9)))
    before, hashes = torch.get_rng_state(), [each.weights_sha256() for each in two.members]
    told = distillation(two)
    first, second = told.soft_targets(inputs, newest), told.soft_targets(inputs, newest)
    assert torch.equal(first[1], second[1])
    assert torch.equal(before, torch.get_rng_state())
    assert [each.weights_sha256() for each in two.members] == hashes


def test_another_teacher_share_or_temperature_is_another_signature(two: Ensemble) -> None:
    signatures = {
        distillation(two).signature,
        distillation(two, (0.25, 0.75)).signature,
        distillation(two, temperature=3.0).signature,
        distillation(two, alpha=0.4).signature,
    }
    assert len(signatures) == 4
    assert distillation(two).signature in signatures


def test_an_encoder_that_sees_what_came_after_cannot_teach(two: Ensemble) -> None:
    told = distillation(two)
    told.check(two.members[0].plan)
    told.teachers[0].model.mask = torch.nn.Parameter(torch.zeros(1))
    with pytest.raises(DistilRefused, match="sees what came after"):
        told.check(two.members[0].plan)
