from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from segue.data.histories import Histories
from segue.errors import ActionUnknown, ConfigValue
from segue.training.plan import SequenceConfig
from segue.training.targets import kind_weights, target_weights

NAMES = ("cart", "purchase", "view")


def weights(**settings: Any) -> list[float] | None:
    found = kind_weights(SequenceConfig(**settings), NAMES)
    return None if found is None else found.tolist()


def test_without_a_word_all_kinds_count_alike() -> None:
    assert weights() is None


def test_a_target_leaves_weight_to_its_kind_alone() -> None:
    assert weights(target="purchase") == [0, 0, 1, 0]


def test_weights_are_per_kind_and_one_where_none_is_given() -> None:
    assert weights(action_weights={"view": 0.25, "cart": 3}) == [1, 3, 1, 0.25]


@pytest.mark.parametrize("settings", [{"target": "purchas"}, {"action_weights": {"purchas": 2.0}}], ids=str)
def test_a_kind_the_log_does_not_have_is_refused_with_the_nearest(settings: dict[str, Any]) -> None:
    with pytest.raises(ActionUnknown, match="'purchase'"):
        weights(**settings)


def test_a_log_without_actions_refuses_a_target() -> None:
    with pytest.raises(ActionUnknown, match="it has none"):
        kind_weights(SequenceConfig(target="purchase"), ())


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), "much"], ids=str)
def test_an_impossible_weight_is_refused(weight: Any) -> None:
    with pytest.raises(ConfigValue, match="action_weights"):
        SequenceConfig.parse({"action_weights": {"view": weight}})


def test_each_event_gets_the_weight_of_its_kind() -> None:
    histories = Histories(np.array([0, 3]), np.array([4, 5, 6]), actions=np.array([3, 2, 0]))
    found = target_weights(kind_weights(SequenceConfig(target="purchase"), NAMES), histories)
    assert found is not None
    assert found.tolist() == [0, 1, 0]
