from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import segue
from segue.testing import RecommenderContract

DAY = 86_400
FIRST = 1_600_000_000


class TestPopular(RecommenderContract):
    recommender = staticmethod(lambda: segue.Popular())


class TestRecentlyPopular(RecommenderContract):
    recommender = staticmethod(lambda: segue.RecentlyPopular())


class TestRecentlyPopularByWindow(RecommenderContract):
    recommender = staticmethod(lambda: segue.RecentlyPopular(decay="window", days=1))


def log_of(events: list[tuple[str, str, float]]) -> segue.Dataset:
    """Events as user, item and day."""
    frame = pl.DataFrame(events, schema=["user_id", "item_id", "timestamp"], orient="row")
    return segue.Dataset.from_frames(frame.with_columns((pl.col("timestamp") * DAY + FIRST).cast(pl.Int64)))


def scores_of(model: segue.Recommender, *items: str) -> list[float]:
    return model.score(histories=[[items[0]]], items=items)["score"].to_list()


@pytest.fixture(scope="module")
def turned() -> segue.Dataset:
    """``old`` has three events long ago, ``new`` two today."""
    long_ago = [(f"u{n}", "old", n / 100) for n in range(3)]
    return log_of([*long_ago, ("u4", "new", 20.0), ("u5", "new", 20.0)])


def test_popular_scores_are_counts_of_events(turned: segue.Dataset) -> None:
    model = segue.Popular().fit(turned)
    assert scores_of(model, "old", "new") == [3, 2]


def test_equally_popular_items_keep_one_order_everywhere() -> None:
    data = log_of([("u1", "b", 0), ("u1", "a", 1), ("u2", "c", 2)])
    listed = segue.Popular().fit(data).recommend(histories=[[]], k=3)["item_id"].to_list()
    assert listed == ["b", "a", "c"], "ties go by first appearance in the log"


def test_recently_popular_prefers_what_is_new_where_popular_does_not(turned: segue.Dataset) -> None:
    assert segue.Popular().fit(turned).recommend(histories=[[]], k=1)["item_id"].item() == "old"
    for settings in ({"days": 2}, {"days": 2, "decay": "window"}):
        model = segue.RecentlyPopular(**settings).fit(turned)
        # An empty history gets plain popularity, so the question needs one that is not empty.
        assert model.recommend(histories=[["old"]], k=1, exclude_seen=False)["item_id"].item() == "new"


def test_a_half_life_halves_an_event(turned: segue.Dataset) -> None:
    data = log_of([("u1", "then", 0), ("u2", "now", 10)])
    assert scores_of(segue.RecentlyPopular(days=10).fit(data), "then", "now") == pytest.approx([0.5, 1])
    assert scores_of(segue.RecentlyPopular(days=5).fit(data), "then", "now") == pytest.approx([0.25, 1])


def test_a_window_counts_what_is_inside_and_nothing_else() -> None:
    data = log_of([("u1", "then", 0), ("u2", "edge", 5), ("u3", "now", 10)])
    model = segue.RecentlyPopular(decay="window", days=5).fit(data)
    assert scores_of(model, "then", "edge", "now") == [0, 1, 1]


def drifting(seed: int = 0) -> segue.Dataset:
    """Every ten days people move on to another item."""
    rng = np.random.default_rng(seed)
    days = rng.uniform(0, 100, 2_000)
    items = (days // 10).astype(int)
    return log_of([(f"u{n % 300}", f"i{items[n]}", float(days[n])) for n in range(len(days))])


def test_the_half_life_is_short_where_tastes_move_and_long_where_they_stay() -> None:
    moving = segue.RecentlyPopular().fit(drifting())
    rng = np.random.default_rng(1)
    still = log_of([(f"u{n % 300}", f"i{int(rng.zipf(1.5)) % 30}", float(rng.uniform(0, 100))) for n in range(2_000)])
    staying = segue.RecentlyPopular().fit(still)
    assert moving.report["days"] < 15 < 30 <= staying.report["days"]


def test_the_half_life_is_chosen_on_the_validation_holdout_and_the_scores_learnt_from_it_too() -> None:
    split = segue.split.by_time(drifting())
    chosen = segue.RecentlyPopular().fit(split.train, split.validation)
    final = segue.RecentlyPopular(days=chosen.report["days"]).fit(split.validation.all)
    asked = {"histories": [["i1"]], "items": ["i0", "i7", "i8"]}
    assert chosen.score(**asked).equals(final.score(**asked))
    # Were the newest items of the holdout told by the training events alone, they would score nothing.
    newest = split.validation.targets.events["item"].to_numpy()[-1:]
    item = split.train.item_vocabulary.decode(newest)[0]
    before = segue.RecentlyPopular(days=chosen.report["days"]).fit(split.train)
    assert scores_of(chosen, item)[0] > scores_of(before, item)[0]


def test_a_log_in_one_moment_is_all_recent() -> None:
    data = log_of([("u1", "a", 0), ("u2", "a", 0), ("u3", "b", 0)])
    assert scores_of(segue.RecentlyPopular().fit(data), "a", "b") == [2, 1]


@pytest.mark.parametrize("settings", [{"days": 10}, {"days": 10, "decay": "window"}], ids=str)
def test_a_moment_inside_the_log_is_answered_with_the_events_before_it(settings: dict[str, object]) -> None:
    data = drifting()
    stamps = data.events["timestamp"]
    middle = int(np.quantile(stamps.to_numpy(), 0.5))
    whole, before = (segue.RecentlyPopular(**settings).fit(part) for part in (data, data.where(stamps < middle)))
    asked = {"histories": [["i1"]], "items": data.item_vocabulary.ids.to_list()}
    # Without a moment the question is as of the last event, a little before.
    moment = pl.Series([middle]).cast(pl.Datetime("us")).item()
    then = whole.score(**asked, at=moment)["score"].to_numpy()
    np.testing.assert_allclose(then, before.score(**asked)["score"].to_numpy(), rtol=0.02, atol=2)
    assert whole.score(**asked, at="2060-01-01").equals(whole.score(**asked))
