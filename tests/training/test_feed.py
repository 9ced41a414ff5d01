from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import segue
from segue.data.batches import Batch, TrainingWindows
from segue.training.build import readable
from segue.training.feed import Feed
from tests.training.runs import small_plan

EVERY = ["crop", "mask", "reorder", "reverse", "mirror", "substitute", "insert"]


def feed_of(data: segue.Dataset, **settings: Any) -> Feed:
    plan = small_plan(data, **settings)
    windows = TrainingWindows(readable(data.histories, plan), plan.max_length, plan.batch_tokens)
    return Feed(windows, plan, len(data.item_vocabulary))


def items(fed: list[Any]) -> list[np.ndarray]:
    return [each.inputs for one in fed for each in (one if isinstance(one, tuple) else (one,))]


def test_without_tools_the_batches_are_those_of_the_windows(data: segue.Dataset) -> None:
    feed = feed_of(data)
    for ours, theirs in zip(feed.epoch(1), feed.windows.epoch(0, 1), strict=True):
        assert isinstance(ours, Batch)
        assert np.array_equal(ours.inputs, theirs.inputs)


@pytest.mark.parametrize("settings", [{"augment": EVERY}, {"augment": EVERY, "contrastive": "augment"}])
def test_an_augmented_epoch_can_be_picked_up_anywhere(data: segue.Dataset, settings: dict[str, Any]) -> None:
    whole = list(feed_of(data, **settings).epoch(2))
    for skip in (0, 3, len(whole)):
        rest = list(feed_of(data, **settings).epoch(2, skip))
        assert len(rest) == len(whole) - skip
        for ours, theirs in zip(items(rest), items(whole[skip:]), strict=True):
            assert np.array_equal(ours, theirs)


def test_another_epoch_augments_anew(data: segue.Dataset) -> None:
    feed = feed_of(data, augment=["crop"], augment_share=1.0)
    learnt = {epoch: sum(int((batch.targets > 0).sum()) for batch in feed.epoch(epoch)) for epoch in (0, 1)}  # type: ignore[union-attr]
    assert max(learnt.values()) < 0.7 * feed.windows.targets
    firsts = [{tuple(batch.inputs[0, :3]) for batch in feed.epoch(epoch)} for epoch in (0, 1)]  # type: ignore[union-attr]
    assert firsts[0] != firsts[1]


def test_views_come_beside_a_batch_and_differ_from_each_other(data: segue.Dataset) -> None:
    for whole, left, right in feed_of(data, contrastive="augment").epoch(0):  # type: ignore[misc]
        assert len(whole.lengths) == len(left.lengths) == len(right.lengths)
        assert left.inputs.shape != right.inputs.shape or not np.array_equal(left.inputs, right.inputs)


def test_similar_items_are_learnt_from_the_training_histories_alone(data: segue.Dataset) -> None:
    feed = feed_of(data, augment=["substitute"])
    assert feed._augmenter is not None
    assert feed._augmenter.similar is not None
    met = np.unique(feed.windows.histories.items)
    assert set(np.flatnonzero(feed._augmenter.similar.codes.any(1))) <= set(met)
    assert feed_of(data, augment=["crop"])._augmenter.similar is None  # type: ignore[union-attr]
