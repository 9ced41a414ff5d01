from __future__ import annotations

import datetime as dt
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segue
from segue import errors
from segue.patterns.habits import Habits, count_habits, match
from segue.recommenders import pattern_reasons
from segue.testing import RecommenderContract
from tests.patterns.habit_logs import histories_of

FIXED = {"spread": 1, "shrink": 0, "decay": 0.5, "damping": 0, "longer": 1, "backward": 0, "popularity": 0}


class TestPatternRecommender(RecommenderContract):
    recommender = staticmethod(lambda: segue.PatternRecommender())


class TestPatternRecommenderOfLongHabits(RecommenderContract):
    recommender = staticmethod(lambda: segue.PatternRecommender(max_length=4, window=6, min_support=1, **FIXED))


@pytest.fixture(scope="module")
def kitchen() -> segue.Dataset:
    """Three of four who took a kettle then tea took honey three days after the tea; one took tea alone, then milk."""
    day, rows = dt.datetime(2024, 5, 1), []
    for user in range(4):
        rows += [(f"u{user}", "kettle", day), (f"u{user}", "tea", day + dt.timedelta(days=1))]
        rows.append((f"u{user}", "honey" if user < 3 else "pan", day + dt.timedelta(days=4)))
    rows += [("u4", "tea", day), ("u4", "milk", day + dt.timedelta(hours=2))]
    events = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    titles = {"kettle": "Kettle", "tea": "Green tea", "honey": "Honey", "pan": None, "milk": "Milk"}
    items = pl.DataFrame({"item_id": list(titles), "title": list(titles.values())})
    return segue.Dataset.from_frames(events, items)


def scores(model: segue.Recommender, history: list[str]) -> dict[str, float]:
    answer = model.score(histories=[history], items=["honey", "milk", "pan"])
    return dict(answer.select("item_id", "score").iter_rows())


def test_scores_are_confidences_of_all_contexts_summed(kitchen: segue.Dataset) -> None:
    model = segue.PatternRecommender(**FIXED).fit(kitchen)
    tea, kettle, both = 1.0, 0.5, 1.0  # by how far back each ends
    expected = {
        "honey": tea * 3 / 5 + kettle * 3 / 2 / 4 + both * 3 / 4,
        "pan": tea * 1 / 5 + kettle * 1 / 2 / 4 + both * 1 / 4,
        "milk": tea * 1 / 5,
    }
    assert scores(model, ["kettle", "tea"]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.filterwarnings("ignore::segue.cautions.SettingUnread")  # the short one has no longer contexts to weigh
def test_the_longer_habit_decides_where_it_speaks(kitchen: segue.Dataset) -> None:
    rows = [(f"v{n}", item, n * 10 + place) for n in range(6) for place, item in enumerate(["pan", "tea", "milk"])]
    rows += [(f"w{n}", item, n * 10 + place) for n in range(6) for place, item in enumerate(["kettle", "tea", "honey"])]
    data = segue.Dataset.from_frames(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    alone = FIXED | {"decay": 1e-9}  # the newest item alone
    short = segue.PatternRecommender(**alone, max_length=2).fit(data)
    long = segue.PatternRecommender(**alone, max_length=3).fit(data)
    assert scores(short, ["pan", "tea"])["milk"] == pytest.approx(scores(short, ["pan", "tea"])["honey"], abs=1e-5)
    assert scores(long, ["pan", "tea"])["milk"] > 1.9 * scores(long, ["pan", "tea"])["honey"]


def test_a_habit_is_found_with_other_events_between(kitchen: segue.Dataset) -> None:
    model = segue.PatternRecommender(**FIXED).fit(kitchen)
    apart = scores(model, ["kettle", "milk", "tea"])
    assert scores(model, ["milk", "tea"])["honey"] < apart["honey"] < scores(model, ["kettle", "tea"])["honey"]
    near = segue.PatternRecommender(**FIXED, window=2).fit(kitchen)
    assert scores(near, ["kettle", "milk", "tea"])["pan"] == pytest.approx(1 / 5 + 0.25 / 2 / 4, abs=1e-5)


def test_what_came_before_an_item_speaks_too_where_it_is_given_weight(kitchen: segue.Dataset) -> None:
    one_way = segue.PatternRecommender(**FIXED).fit(kitchen)
    both = segue.PatternRecommender(**FIXED | {"backward": 0.5}).fit(kitchen)
    answer = [each.score(histories=[["honey"]], items=["tea"])["score"][0] for each in (one_way, both)]
    assert answer == pytest.approx([0, 0.5 * 3 / 3], abs=1e-5)


def test_popularity_is_the_last_resort(kitchen: segue.Dataset) -> None:
    model = segue.PatternRecommender(**FIXED | {"popularity": 0.1}).fit(kitchen)
    answer = model.recommend(histories=[["milk"]], k=2)
    assert answer["item_id"].to_list() == ["tea", "kettle"]


def test_weights_given_stand_and_the_others_are_chosen(data: segue.Dataset, split: segue.Split) -> None:
    model = segue.PatternRecommender(decay=0.61, damping=0.2).fit(split.train, split.validation)
    chosen = model.report["weights"]
    assert (chosen["decay"], chosen["damping"]) == (0.61, 0.2)
    assert set(chosen) == set(FIXED)
    assert model.report["validation_ndcg@10"] > 0


def test_what_is_chosen_ranks_the_validation_events_no_worse_than_the_defaults(split: segue.Split) -> None:
    from segue.recommenders.pattern_weights import Weights

    assert split.validation is not None

    def quality(**settings: float) -> float:
        model = segue.PatternRecommender(**settings).fit(split.train, split.validation)
        known = segue.PatternRecommender(**model.report["weights"]).fit(split.train)
        return segue.evaluate(known, split.validation, progress=False)["ndcg@10"]

    assert quality() >= quality(**Weights().document())


def test_a_planted_order_is_found(split: segue.Split) -> None:
    def hits(name: str) -> float:
        model = getattr(segue, name)().fit(split.train, split.validation)
        return segue.evaluate(model, split.test, k=3, progress=False)["hit_rate@3"]

    assert hits("PatternRecommender") > 2 * hits("Popular")


def test_an_explanation_names_the_habits_in_order_of_their_share(kitchen: segue.Dataset) -> None:
    model = segue.PatternRecommender(**FIXED).fit(kitchen)
    told = model.explain(histories=[["kettle", "tea"]], items=["honey"])
    assert told["habit"].to_list() == [["kettle", "tea", "honey"], ["tea", "honey"], ["kettle", "honey"]]
    assert told.select("support", "of").rows() == [(3, 4), (3, 5), (3, 4)]
    assert told["within_days"].to_list() == pytest.approx([3, 3, 4])
    whole = scores(model, ["kettle", "tea"])["honey"]
    assert told["share"].to_list() == pytest.approx([0.75 / whole, 0.6 / whole, 0.1875 / whole], abs=1e-3)
    assert told["text"][0] == "people who took Kettle then Green tea took Honey: 3 of 4, half of them within 3 days"


def test_shares_of_an_item_never_exceed_its_score(split: segue.Split) -> None:
    model = segue.PatternRecommender().fit(split.train, split.validation)
    users = split.test.context.user_vocabulary.ids.head(20).to_list()
    told = model.explain(users, k=5, habits=1_000)
    whole = told.group_by("user_id", "item_id").agg(pl.col("share").sum())
    assert whole["share"].max() <= 1.01
    listed = model.recommend(users, k=5).select("user_id", "item_id").rows()
    assert told.select("user_id", "item_id").unique(maintain_order=True).rows() == listed


def test_a_habit_read_backwards_says_so(kitchen: segue.Dataset) -> None:
    model = segue.PatternRecommender(**FIXED | {"backward": 0.5}).fit(kitchen)
    told = model.explain(histories=[["honey"]], items=["tea"])
    assert told["habit"].to_list() == [["tea", "honey"]]
    assert told["text"][0] == "people who took Honey had taken Green tea before: 3 of 3, half of them within 3 days"


def test_an_item_without_a_habit_is_explained_by_its_popularity(kitchen: segue.Dataset) -> None:
    told = segue.PatternRecommender(**FIXED).fit(kitchen).explain(histories=[["honey"], []], items=["pan"])
    assert told["habit"].to_list() == [[], []]
    assert told["text"][0] == "no habit leads to pan; people who took it: 1 of 5"


def test_a_log_that_knows_order_alone_has_habits_without_days() -> None:
    rows = [(user, item, place) for user in range(3) for place, item in enumerate("abc")]
    data = segue.Dataset.from_frames(pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row"))
    told = segue.PatternRecommender().fit(data).explain([0], items=["c"])
    assert told["within_days"].null_count() == len(told)
    assert all("within" not in text for text in told["text"])


def test_explanations_refuse_items_that_are_unknown(kitchen: segue.Dataset) -> None:
    model = segue.PatternRecommender(**FIXED)
    with pytest.raises(errors.NotFitted):
        model.explain(["u1"])
    with pytest.raises(errors.UnknownItems, match="Honey"):
        model.fit(kitchen).explain(["u1"], items=["Honey"])


def test_new_items_join_without_changing_what_is_known(kitchen: segue.Dataset, tmp_path: Path) -> None:
    model = segue.PatternRecommender(**FIXED).fit(kitchen)
    before = scores(model, ["kettle", "tea"])
    model.add_items(pl.DataFrame({"item_id": ["jam", "cup"], "title": ["Jam", "Cup"]}))
    assert scores(model, ["kettle", "tea"]) == before
    assert model.explain(histories=[["kettle", "tea"]], items=["honey"])["support"].to_list() == [3, 3, 3]
    model.save(tmp_path / "model")
    again = segue.load(tmp_path / "model")
    assert scores(again, ["kettle", "jam", "tea"]) == scores(model, ["kettle", "jam", "tea"])
    assert model.recommend(histories=[["jam"]], k=7)["item_id"].to_list()[-1] == "cup"


# -- the counts ------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.integers(1, 4), max_size=6), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(1, 3),
)
def test_support_is_the_number_of_users_who_have_the_habit_within_the_window(
    rows: list[list[int]], window: int, min_support: int
) -> None:
    habits = count_habits(histories_of(rows), 5, max_length=4, window=window, min_support=min_support, timed=False)
    expected: dict[tuple[int, ...], set[int]] = {}
    for user, row in enumerate(rows):
        for length in (1, 2, 3, 4):
            for places in combinations(range(len(row)), length):
                if places[-1] - places[0] <= window:
                    expected.setdefault(tuple(row[place] for place in places), set()).add(user)
    frequent = {habit for habit, users in expected.items() if len(habit) == 1 or len(users) >= min_support}
    contexts = {tuple(habits.codes(context)) for context in range(5, len(habits.of))}
    # A context is walked item by item, so that what it begins with must be one as well.
    walked = {each for each in frequent if 1 < len(each) < 4 and all(each[:n] in frequent for n in range(1, len(each)))}
    assert contexts == walked
    for place, context in enumerate(habits.contexts().tolist()):
        habit = (*habits.codes(context), int(habits.items[place]))
        assert habits.support[place] == len(expected[habit])
        assert habits.of[context] == len(expected[habit[:-1]])
        assert habits.weights[place] <= habits.support[place]


def test_counting_in_parts_gives_the_same_habits(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    histories = histories_of([rng.integers(1, 9, 12).tolist() for _ in range(20)])
    whole = count_habits(histories, 9, timed=False)
    monkeypatch.setattr("segue.patterns.habits.ENTRIES", 50)
    parts = count_habits(histories, 9, timed=False)
    for name, array in whole.arrays().items():
        np.testing.assert_array_equal(array, getattr(parts, name), err_msg=name)


def test_only_the_weightiest_followers_are_kept() -> None:
    rng = np.random.default_rng(1)
    histories = histories_of([rng.integers(1, 9, 12).tolist() for _ in range(20)])
    whole, few = (count_habits(histories, 9, followers=n, timed=False) for n in (100, 3))
    assert np.diff(few.offsets).max() == 3
    for context in range(9):
        weights = np.sort(whole.weights[whole.offsets[context] : whole.offsets[context + 1]])[::-1]
        kept = np.sort(few.weights[few.offsets[context] : few.offsets[context + 1]])[::-1]
        np.testing.assert_array_equal(kept, weights[: len(kept)])


def test_a_match_leaves_room_in_the_window_for_what_is_to_come() -> None:
    habits = count_habits(histories_of([[1, 2, 3]] * 2), 4, window=2, timed=False)
    near, far = (match(habits, histories_of([row]), 10, 2, 1.0) for row in ([1, 2], [1, 3, 2]))
    assert sorted(near.contexts.tolist()) == [1, 2, 4]
    assert sorted(far.contexts.tolist()) == [1, 2, 3, 5]  # 1 then 3, but not 1 then 2


def test_habits_that_do_not_fit_their_items_are_refused() -> None:
    habits = count_habits(histories_of([[1, 2, 3]] * 2), 4, timed=False)
    with pytest.raises(ValueError, match="do not fit"):
        Habits.restored(habits.arrays(), 3)


@pytest.mark.parametrize(
    ("days", "words"),
    [(0, "1 minute"), (0.0021, "3 minutes"), (1 / 24, "60 minutes"), (0.1, "2 hours"), (1, "1 day"), (9.2, "9 days")],
)
def test_times_are_told_in_the_largest_unit_that_they_hold(days: float, words: str) -> None:
    assert pattern_reasons._span(days) == words
