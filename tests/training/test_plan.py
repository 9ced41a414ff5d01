from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segue.data.histories import Histories
from segue.errors import ConfigValue
from segue.training.plan import Plan, SequenceConfig, plan_for


def of_lengths(*lengths: int) -> Histories:
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    return Histories(offsets, np.ones(offsets[-1], dtype=np.int64))


def chosen(lengths: list[int], catalogue: int, **settings: Any) -> Plan:
    return plan_for(SequenceConfig(**settings), of_lengths(*lengths), catalogue)


def test_nothing_is_left_to_auto() -> None:
    plan = chosen([5, 9, 3], 20)
    told_later = ("precision", "tuning_layers", "tuning_rank")  # by the processor and by the language model
    left = [name for name, value in plan.model_dump().items() if value == "auto" and name not in told_later]
    assert left == []


def test_what_the_user_sets_is_kept() -> None:
    settings = {"blocks": 3, "dropout": 0.1, "max_length": 7, "loss": "bce", "epochs": 4, "patience": 2, "seed": 9}
    plan = chosen([5] * 50, 20, **settings)
    assert {name: getattr(plan, name) for name in settings} == settings


def test_long_histories_get_more_blocks_than_short_ones() -> None:
    assert chosen([40] * 10, 20).blocks > chosen([5] * 10, 20).blocks


def test_few_events_per_item_get_more_dropout() -> None:
    assert chosen([5] * 10, 1_000).dropout > chosen([5] * 1_000, 10).dropout


def test_the_length_read_covers_nearly_all_histories_within_bounds() -> None:
    assert chosen([3] * 100, 20).max_length == 20
    assert chosen([60] * 100, 20).max_length == 60
    assert chosen([5_000] * 100, 20).max_length == 200
    assert chosen([30] * 1_000 + [150], 20).max_length == 30


def test_the_full_softmax_is_left_where_the_catalogue_makes_it_dear() -> None:
    assert chosen([10] * 100, 1_000).loss == "full"
    assert chosen([10] * 100, 100_000_000).loss == "sampled"


def test_batches_grow_with_the_log() -> None:
    sizes = [chosen([10] * users, 50).batch_tokens for users in (100, 10_000, 100_000)]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) == 3


def test_a_log_without_any_pair_of_events_has_a_plan_too() -> None:
    assert chosen([1, 1, 0], 2).max_length == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [("dropout", 1.0), ("epochs", 0), ("max_length", 1), ("loss", "magic"), ("embedding_size", 9), ("patience", -1)],
)
def test_impossible_settings_are_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigValue, match=str(value)):
        SequenceConfig.parse({name: value}, owner="SequenceRecommender")


def test_a_plan_survives_being_written_down() -> None:
    plan = chosen([5, 9, 3], 20)
    assert Plan.parse(plan.model_dump()) == plan


def test_patience_shrinks_as_the_metric_gets_steadier() -> None:
    assert chosen([3] * 6_000, 50).patience < chosen([3] * 100, 50).patience


def test_every_tool_of_training_is_off_unless_asked_for() -> None:
    plan = chosen([5, 9, 3], 20)
    off = (plan.schedule, plan.label_smoothing, plan.augment, plan.adversarial, plan.contrastive, plan.negatives_from)
    assert off == ("constant", 0, [], "none", "none", "mixed")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"schedule": "cosine"}, "set epochs"),
        ({"schedule": "linear"}, "set epochs"),
        ({"label_smoothing": 0.1, "loss": "gbce"}, "softmax"),
        ({"augment": ["shake"]}, "shake"),
        ({"augment_share": 0.0}, "0"),
        ({"adversarial_epsilon": 0.0}, "0"),
        ({"contrastive_temperature": 0.0}, "0"),
        ({"negatives_from": "thin air"}, "thin air"),
    ],
)
def test_tools_that_cannot_work_are_refused(settings: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigValue, match=why):
        SequenceConfig.parse(settings, owner="SequenceRecommender")


def test_a_decay_is_allowed_once_the_epochs_are_known() -> None:
    assert chosen([5] * 9, 20, schedule="cosine", epochs=7).schedule == "cosine"
