from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest

import segue
from segue.data.histories import Histories
from segue.errors import ActionNotLearnt, ActionUnknown
from segue.recommenders import kinds

ITEMS = 20
FOLLOWS = np.random.default_rng(3).permutation(ITEMS)
NOW = 1_600_000_000


def shop_log(users: int = 150) -> pl.DataFrame:
    """After item n people look at item n + 1, and what they buy is another: ``FOLLOWS[n]``."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(users):
        item, moment = int(rng.integers(ITEMS)), NOW + int(rng.integers(86_400 * 100))
        for _ in range(8):
            rows.append((user, f"i{item}", moment, "view"))
            if rng.random() < 0.4:
                rows.append((user, f"i{FOLLOWS[item]}", moment + 60, "purchase"))
            item, moment = (item + 1) % ITEMS, moment + 120
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "action"], orient="row")


def looked_at(*items: int) -> pl.DataFrame:
    moments = [NOW + 120 * place for place in range(len(items))]
    rows = {"user_id": "a", "item_id": [f"i{item}" for item in items], "timestamp": moments, "action": "view"}
    return pl.DataFrame(rows)


@pytest.fixture(scope="module")
def shop() -> segue.Dataset:
    return segue.Dataset.from_frames(shop_log())


def trained(shop: segue.Dataset, **settings: Any) -> segue.SequenceRecommender:
    small = {
        "embedding_size": 16,
        "blocks": 1,
        "batch_tokens": 256,
        "warmup_steps": 10,
        "epochs": 20,
        "learning_rate": 0.02,
        "dropout": 0.1,
        "refit": False,
    }
    return segue.SequenceRecommender(**{**small, **settings}).fit(shop, progress=False, threads=1)


@pytest.fixture(scope="module")
def general(shop: segue.Dataset) -> segue.SequenceRecommender:
    return trained(shop)


@pytest.fixture(scope="module")
def buyer(shop: segue.Dataset) -> segue.SequenceRecommender:
    return trained(shop, target="purchase")


def test_one_request_gives_a_list_per_kind_and_each_is_right(general: segue.SequenceRecommender) -> None:
    right = 0
    for start in range(ITEMS):
        seen = looked_at(*((start + step) % ITEMS for step in range(3)))
        answer = general.recommend(histories=seen, k=1, action=["view", "purchase"], exclude_seen=False)
        assert answer["action"].to_list() == ["view", "purchase"]
        right += answer["item_id"].to_list() == [f"i{(start + 3) % ITEMS}", f"i{FOLLOWS[(start + 2) % ITEMS]}"]
    assert right >= 0.8 * ITEMS


def test_a_model_with_a_target_tells_that_kind_from_events_of_all_kinds(buyer: segue.SequenceRecommender) -> None:
    right = 0
    for start in range(ITEMS):
        answer = buyer.recommend(histories=looked_at(start, (start + 1) % ITEMS), k=1, exclude_seen=False)
        assert answer.columns == ["user_id", "item_id", "score", "rank"]
        right += answer["item_id"].to_list() == [f"i{FOLLOWS[(start + 1) % ITEMS]}"]
    assert right >= 0.8 * ITEMS


def test_asking_a_model_for_a_kind_it_has_not_learnt_is_refused(buyer: segue.SequenceRecommender) -> None:
    with pytest.raises(ActionNotLearnt, match="'purchase', not 'view'"):
        buyer.recommend([0], action="view")
    with pytest.raises(ActionUnknown, match="Did you mean 'view'"):
        buyer.recommend([0], action="vieuw")
    assert buyer.recommend([0], k=3, action="purchase")["item_id"].equals(buyer.recommend([0], k=3)["item_id"])


def test_what_was_looked_at_may_be_bought_and_what_was_bought_is_left_out(general: segue.SequenceRecommender) -> None:
    history = looked_at(1, 2, 3, 4).with_columns(action=pl.Series(["view", "purchase", "view", "view"]))
    listed = general.recommend(histories=history, k=ITEMS, action="purchase", exclude_seen=True)["item_id"].to_list()
    assert {"i1", "i3", "i4"} <= set(listed)
    assert "i2" not in listed
    anything = general.recommend(histories=history, k=ITEMS, exclude_seen=True)["item_id"].to_list()
    assert not {"i1", "i2", "i3", "i4"} & set(anything)


def test_the_default_of_exclude_seen_is_about_the_kind_that_is_asked_for() -> None:
    rows = [(user, f"i{item}", "view") for user in range(20) for item in (1, 1, 2, 2, 3, 3)]
    rows += [(user, f"i{user % 9}", "purchase") for user in range(20)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "action"], orient="row")
    data = segue.Dataset.from_frames(log.with_columns(timestamp=pl.int_range(pl.len())))
    model = segue.Popular().fit(data)
    assert not model.exclude_seen
    assert "i5" not in model.recommend([5], k=9, action="purchase")["item_id"].to_list()
    assert "i1" in model.recommend([5], k=9, action="view")["item_id"].to_list()


def test_people_without_a_history_get_what_is_popular_of_that_kind() -> None:
    rows = [(user, f"i{item}", "view") for user in range(20) for item in (1, 2)]
    rows += [(user, "i3", "purchase") for user in range(20)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "action"], orient="row")
    model = segue.FirstOrder().fit(segue.Dataset.from_frames(log.with_columns(timestamp=pl.int_range(pl.len()))))
    assert model.recommend(histories=[[]], k=1, action="purchase")["item_id"].to_list() == ["i3"]


def test_a_saved_model_answers_about_its_target(buyer: segue.SequenceRecommender, tmp_path: Any) -> None:
    buyer.save(tmp_path / "m")
    loaded = segue.load(tmp_path / "m")
    assert loaded.target == "purchase"
    assert loaded.recommend([0, 1], k=5).equals(buyer.recommend([0, 1], k=5))


def test_weight_zero_makes_a_kind_an_input_alone(shop: segue.Dataset) -> None:
    weighted = trained(shop, action_weights={"view": 0.0})
    answer = weighted.recommend(histories=looked_at(4, 5), k=1, action="purchase", exclude_seen=False)
    assert answer["item_id"].to_list() == [f"i{FOLLOWS[5]}"]


def test_seen_is_told_for_each_row_apart() -> None:
    events = {"items": np.array([1, 2, 1, 2]), "actions": np.array([1, 2, 1, 2])}
    histories = Histories(np.array([0, 2, 4]), wanted=np.array([2, 0]), **events)
    assert kinds.seen(histories, True).items.tolist() == [2, 1, 2]
    assert kinds.seen(histories, np.array([True, False])).items.tolist() == [2]
    assert kinds.seen(histories, False).items.tolist() == []
