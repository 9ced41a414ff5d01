from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import segue
from segue.data.batches import TrainingWindows
from segue.nn.encoders import ENCODERS
from segue.nn.inputs import Inputs
from segue.training import interests
from segue.training.build import build_model
from segue.training.interests import add_head, interest_loss, memberships
from tests.training.runs import interrupted, log_shape, small_plan, small_split, train

LATER = pl.DataFrame({"user_id": ["u1", "u1"], "item_id": ["i1", "i2"], "timestamp": [1_700_000_000, 1_700_000_100]})


@pytest.fixture(scope="module")
def split() -> segue.Split:
    return small_split()


def loss_of(split: segue.Split, encoder: str = "transformer", cut: int = 0, last: int | None = None) -> Any:
    """The loss of two rows with one dimension of interest, whose newest event (or what follows it) may be another."""
    plan = small_plan(split.train, interests=4, encoder=encoder, dropout=0.0)
    model = build_model(plan, log_shape(split.train)).eval()
    add_head(model, plan)
    items = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    targets = torch.tensor([[2, 3, 4, 5], [6, 7, 8, 9]])
    if cut:
        targets[:, -cut:] = 0
    if last is not None:
        items[:, -1] = last
    inputs = Inputs(items, torch.tensor([4, 4]))
    vectors = model.tower.vectors()
    hidden = model.learnt(inputs, targets, vectors)[0]
    members = torch.eye(4)[:2]
    return model, interest_loss(model, inputs, targets, vectors, hidden, members)


def test_by_default_nothing_is_mined_and_no_model_has_a_head(split: segue.Split) -> None:
    plan = small_plan(split.train)
    model = build_model(plan, log_shape(split.train))
    add_head(model, plan)
    assert model.interests is None
    assert memberships(plan, split.train.histories, len(split.train.item_vocabulary)) is None


def test_it_changes_what_is_learnt_and_nothing_of_where_learning_begins(split: segue.Split) -> None:
    plain, told = small_plan(split.train), small_plan(split.train, interests=4)
    left, right = (build_model(plan, log_shape(split.train)).state_dict() for plan in (plain, told))
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert train(split=split).weights_sha256() != train(split=split, interests=4).weights_sha256()


def test_the_weight_says_how_much_it_counts(split: segue.Split) -> None:
    plain = train(split=split, plain=True, epochs=1)
    little, much = (
        train(split=split, plain=True, epochs=1, interests=4, interest_weight=weight) for weight in (1e-9, 10.0)
    )
    ids = [each.model.tower.ids.weight.detach() for each in (plain, little, much)]
    assert (ids[1] - ids[0]).norm() < 0.1 * (ids[2] - ids[0]).norm()


@pytest.mark.parametrize("encoder", list(ENCODERS))
def test_every_encoder_hears_of_it(split: segue.Split, encoder: str) -> None:
    model, loss = loss_of(split, encoder)
    loss.backward()
    assert model.tower.ids.weight.grad.abs().sum() > 0
    assert model.interests.weight.grad.abs().sum() > 0


def test_what_follows_the_state_that_is_asked_has_no_part_in_it(split: segue.Split) -> None:
    """The last position has no target here, so that the one before is asked, which must not see the last event."""
    assert torch.equal(loss_of(split, cut=1, last=9)[1], loss_of(split, cut=1, last=11)[1])
    assert not torch.equal(loss_of(split, last=9)[1], loss_of(split, last=11)[1])


def test_interests_are_mined_from_what_is_learnt_and_from_nothing_held_out(
    split: segue.Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    mined = []
    honest = interests.interests
    monkeypatch.setattr(
        interests, "interests", lambda made, *rest, **named: mined.append(made) or honest(made, *rest, **named)
    )
    train(split=split, interests=4)
    searched, refitted = mined
    np.testing.assert_array_equal(searched.symbols, split.train.histories.items)
    np.testing.assert_array_equal(refitted.symbols, split.validation.all.histories.items)


def test_each_row_is_told_the_interests_of_its_own_person(split: segue.Split) -> None:
    windows = TrainingWindows(split.train.histories, 4, 64)
    for batch in windows.epoch(0, 0):
        assert batch.rows is not None
        for row, items, length in zip(batch.rows, batch.inputs, batch.lengths, strict=True):
            own = split.train.histories.row(int(row)).tolist()
            window = items[:length].tolist()
            assert any(own[at : at + length] == window for at in range(len(own)))


def test_a_finished_model_has_no_head_and_is_kept_as_any_other(split: segue.Split, tmp_path: Path) -> None:
    model = train(split=split, interests=4)
    assert model.model.interests is None
    model.save(tmp_path / "model")
    assert segue.load(tmp_path / "model").recommend(["u1"], k=5).equals(model.recommend(["u1"], k=5))


@pytest.mark.parametrize("point", ["stepped", "saved"])
def test_a_training_that_is_killed_goes_on_as_if_it_had_not_been(tmp_path: Path, point: str) -> None:
    whole = train(interests=4).weights_sha256()
    assert interrupted(tmp_path, point, 3, interests=4).weights_sha256() == whole


def test_an_update_goes_on_without(split: segue.Split) -> None:
    model = train(split=split, interests=4)
    model.update(LATER, epochs=1, progress=False)
    assert model.model.interests is None
