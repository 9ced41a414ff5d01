"""Questions to ranked lists."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segue
from segue.data.histories import Histories
from segue.errors import (
    ActionUnknown,
    DiversityUnavailable,
    HistoryMixed,
    MomentUnreadable,
    StoreUnavailable,
    UnknownItems,
)
from segue.recommenders.base import Recommender
from segue.serving.answers import diversity
from segue.serving.answers.answers import Answers, Ranked
from segue.serving.answers.exploration import ExploreConfig, Explorer
from segue.serving.answers.questions import Answer, Filters, Id, Question
from segue.serving.answers.settings import AnswersConfig
from tests.faults.server import rounds
from tests.serving.fakes import FakeModels, FakeServed, FakeStore, service_of


def answers_of(*models: Recommender, **options: Any) -> Answers:
    return Answers(FakeModels([FakeServed(f"model-{n}", each) for n, each in enumerate(models, 1)]), **options)


def ids(answer: Answer) -> list[Id]:
    return [each.item_id for each in answer.items]


@pytest.fixture(params=["ease", "popular", "habits"])
def model(request: pytest.FixtureRequest) -> Recommender:
    found: Recommender = request.getfixturevalue(request.param)
    return found


# -- what RELIABILITY row 12 asks ---------------------------------------------------------------------------------

KNOWN = [f"i{n}" for n in range(42)]
EVENTS = st.lists(st.one_of(st.sampled_from(KNOWN), st.integers(0, 9), st.text(max_size=3)), max_size=30)
HISTORIES = st.one_of(
    EVENTS,
    st.builds(lambda events, times: events * times, EVENTS, st.integers(2, 400)),
    st.builds(lambda item, length: [item] * length, st.sampled_from(KNOWN), st.sampled_from([1, 1_000, 10_000])),
)


def faults(model: Recommender, history: list[Id], k: int) -> list[str]:
    """What is wrong with a list."""
    answer = answers_of(model).recommend(Question(items=history, k=k))
    scores = np.array([each.score for each in answer.items])
    listed = ids(answer)
    known = [item for item in history if str(item) in KNOWN]
    left = len(KNOWN) - (len(set(map(str, known))) if model.exclude_seen else 0)
    checks = {
        "a score is no number": bool(np.isfinite(scores).all()),
        "an item comes twice": len(set(listed)) == len(listed),
        "an item is unknown": set(listed) <= set(KNOWN),
        "too short or too long": len(listed) == min(k, left),
        "not in order": bool((np.diff(scores) <= 0).all()),
        "ranks do not count": [each.rank for each in answer.items] == list(range(1, len(listed) + 1)),
        "an event was lost": answer.history_length + answer.unknown_items == len(history),
    }
    return [fault for fault, holds in checks.items() if not holds]


@settings(max_examples=rounds(200, 2_000))
@given(history=HISTORIES, k=st.integers(1, 60), which=st.integers(0, 2))
def test_any_history_is_answered_sanely(
    ease: Any, popular: Any, habits: Any, history: list[Id], k: int, which: int
) -> None:
    assert not faults((ease, popular, habits)[which], history, k)


def test_a_weight_that_is_no_number_would_be_seen(shop: segue.Dataset) -> None:
    broken = segue.EASE(regularisation=10.0).fit(shop)
    broken._weights[3, 5] = np.nan
    seen = {fault for item in KNOWN for fault in faults(broken, [item], 42)}
    assert seen == {"too short or too long"}


# -- the plain list ----------------------------------------------------------------------------------------------


@settings(max_examples=100)
@given(history=st.lists(st.sampled_from(KNOWN), max_size=40), k=st.integers(1, 45), exclude=st.booleans())
def test_without_wishes_a_list_is_bit_for_bit_that_of_the_recommender(
    ease: Any, popular: Any, habits: Any, history: list[Id], k: int, exclude: bool
) -> None:
    for model in (ease, popular, habits):
        codes = model.item_vocabulary.encode(history)
        histories = Histories(np.array([0, len(codes)]), codes)
        expected, scores = model.recommend_codes(histories, k, exclude_seen=exclude, progress=False)
        answer = answers_of(model).recommend(Question(items=history, k=k, diversity=0.0, exclude_seen=exclude))
        kept = expected[0] > 0
        assert ids(answer) == model.item_vocabulary.decode(expected[0][kept]).to_list()
        assert np.array([each.score for each in answer.items], np.float32).tobytes() == scores[0][kept].tobytes()


def test_a_history_of_items_that_nothing_was_learnt_of_is_cold(shop: segue.Dataset) -> None:
    grown = segue.EASE(regularisation=10.0).fit(shop)
    grown.add_items(pl.DataFrame({"item_id": ["i900"], "title": ["New"]}))
    answers = answers_of(grown)
    new, both = (answers.recommend(Question(items=items, k=3)) for items in (["i900"], ["i900", "i1"]))
    assert (new.cold, new.history_length, new.unknown_items) == (True, 1, 0)
    assert (both.cold, both.history_length) == (False, 2)


def test_an_empty_history_gets_what_suits_it(model: Recommender) -> None:
    answer = answers_of(model).recommend(Question(items=[], k=3))
    assert answer.cold
    assert ids(answer) == model.recommend(histories=[[]], k=3)["item_id"].to_list()


def test_unknown_items_are_skipped_and_counted(ease: segue.EASE) -> None:
    answer = answers_of(ease).recommend(Question(items=["i1", "nothing", 77, "i2"]))
    assert (answer.history_length, answer.unknown_items) == (2, 2)


def test_an_action_that_the_log_has_not_is_refused(ease: segue.EASE) -> None:
    with pytest.raises(ActionUnknown):
        answers_of(ease).recommend(Question(items=["i1"], action="purchas"))


def test_what_was_bought_is_left_out_where_purchases_are_asked_for(ease: segue.EASE) -> None:
    question = Question(
        items=["i1", "i2"], actions=["view", "purchase"], timestamps=[1_600_000_000, 1_600_000_001],
        action="purchase", exclude_seen=True, k=42,
    )  # fmt: skip
    listed = ids(answers_of(ease).recommend(question))
    assert "i1" in listed
    assert "i2" not in listed


# -- moments -----------------------------------------------------------------------------------------------------


def test_later_events_are_not_read(ease: segue.EASE) -> None:
    question = Question(items=["i1", "i2"], timestamps=["2021-01-01", "2022-01-01"], at="2021-06-01T00:00:00Z")
    answer = answers_of(ease).recommend(question)
    assert answer.history_length == 1
    assert answer.at == 1_622_505_600_000_000


def test_events_are_read_in_the_order_of_their_moments(habits: segue.PatternRecommender) -> None:
    told = Question(items=["i2", "i1"], timestamps=[1_600_000_100, 1_600_000_000])
    plain = Question(items=["i1", "i2"])
    assert ids(answers_of(habits).recommend(told)) == ids(answers_of(habits).recommend(plain))


def test_half_told_moments_are_refused(ease: segue.EASE) -> None:
    with pytest.raises(HistoryMixed):
        answers_of(ease).recommend(Question(items=["i1", "i2"], timestamps=[None, 1_600_000_000]))


@pytest.mark.parametrize("at", ["no time", "9999999-01-01", 1e300, float("nan"), True, [1]])
def test_a_moment_that_cannot_be_read_is_named(ease: segue.EASE, at: Any) -> None:
    with pytest.raises(MomentUnreadable):
        answers_of(ease).recommend(Question(items=["i1"], at=at))


def test_a_question_without_a_moment_is_about_now_or_about_none(ease: segue.EASE) -> None:
    now = answers_of(ease).recommend(Question(items=["i1"]))
    none = answers_of(ease, config=AnswersConfig(unsaid="none")).recommend(Question(items=["i1"]))
    assert now.at is not None
    assert abs(now.at - time.time() * 1e6) < 60e6
    assert none.at is None


def test_an_order_is_asked_about_by_its_numbers(shop: segue.Dataset) -> None:
    events = shop.events.select("user", "item").with_row_index("timestamp")
    named = events.with_columns(
        user_id=shop.user_vocabulary.decode(events["user"].to_numpy()),
        item_id=shop.item_vocabulary.decode(events["item"].to_numpy()),
    )
    ordered = segue.Popular().fit(segue.Dataset.from_frames(named.select("user_id", "item_id", "timestamp")))
    answer = answers_of(ordered).recommend(Question(items=["i1", "i2"], timestamps=[5, 9], at="7"))
    assert (answer.history_length, answer.at, answer.clock) == (1, 7, "order")
    with pytest.raises(MomentUnreadable):
        answers_of(ordered).recommend(Question(items=["i1"], at="2021-01-01"))


# -- diversity ---------------------------------------------------------------------------------------------------


def likeness_within(vectors: np.ndarray) -> float:
    """Mean cosine of all pairs of a list of two and more."""
    alike = diversity.unit(vectors) @ diversity.unit(vectors).T
    return float(alike[~np.eye(len(alike), dtype=bool)].mean())


@pytest.mark.parametrize("name", ["ease", "popular"])  # by item vectors, and by categories
def test_the_more_diversity_the_less_alike_are_the_items_of_a_list(request: pytest.FixtureRequest, name: str) -> None:
    model: Recommender = request.getfixturevalue(name)
    answers = answers_of(model)
    served = answers.models.choose()
    within = []
    for wanted in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        codes = []
        for number in range(0, 40, 4):
            answer = answers.recommend(Question(items=[f"i{number}"], k=8, diversity=wanted))
            codes.append(model.item_vocabulary.encode(ids(answer)))
        within.append(float(np.mean([likeness_within(answers._vectors(served, each)) for each in codes])))
    assert all(later <= earlier + 1e-6 for earlier, later in itertools.pairwise(within))
    assert within[-1] < within[0]


def test_items_at_one_place_are_spread_over_others() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 16))
    vectors = np.repeat(centres, 20, axis=0) + 0.05 * rng.normal(size=(100, 16))
    scores = np.sort(rng.random(100).astype(np.float32))[::-1]
    vectors = vectors.astype(np.float32)
    within = [
        likeness_within(vectors[diversity.spread(scores, vectors, 10, wanted)]) for wanted in np.linspace(0, 1, 11)
    ]
    assert all(later <= earlier + 1e-6 for earlier, later in itertools.pairwise(within))
    assert diversity.spread(scores, vectors, 10, 0.0).tolist() == list(range(10))
    assert sorted(diversity.spread(scores, vectors, 5, 1.0) // 20) == [0, 1, 2, 3, 4]


def test_diversity_needs_a_likeness(shop: segue.Dataset) -> None:
    bare = segue.Popular().fit(replace(shop, items=None))
    with pytest.raises(DiversityUnavailable):
        answers_of(bare).recommend(Question(items=["i1"], diversity=0.5))


# -- sequences ---------------------------------------------------------------------------------------------------


def test_a_sequence_follows_the_ring_that_people_follow(habits: segue.PatternRecommender) -> None:
    answers = answers_of(habits)
    history = ["i1"]
    for item in ids(answers.generate(Question(items=["i1"], exclude_seen=True), 4)):
        first = habits.recommend(histories=[history], k=42, exclude_seen=False)["item_id"].to_list()
        assert item == next(each for each in first if each not in history)
        history.append(str(item))


@pytest.mark.parametrize("diversity", [0.0, 0.7])
def test_a_sequence_has_no_item_twice_and_ends_with_the_catalogue(model: Recommender, diversity: float) -> None:
    answer = answers_of(model).generate(Question(items=["i1", "i2"], diversity=diversity, exclude_seen=True), 100)
    assert sorted(map(str, ids(answer))) == sorted(set(KNOWN) - {"i1", "i2"})


def test_filters_hold_at_every_step(habits: segue.PatternRecommender) -> None:
    answer = answers_of(habits).generate(Question(items=["i1"], filters=Filters(categories=("drama",))), 20)
    assert ids(answer)
    assert all(int(str(item)[1:]) % 3 == 0 for item in ids(answer))


class Recorded(segue.Popular):
    """Remembers what it was asked."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.asked: list[Histories] = []

    def _score_block(self, histories: Histories) -> np.ndarray:
        self.asked.append(histories)
        return super()._score_block(histories)


def test_the_moment_moves_on_by_the_median_gap(shop: segue.Dataset) -> None:
    model = Recorded().fit(shop)
    seconds = [1_600_000_000, 1_600_000_010, 1_600_000_040, 1_600_000_050]
    question = Question(items=["i1", "i2", "i3", "i4"], timestamps=seconds, at=1_600_000_060)
    answers_of(model).generate(question, 3)
    assert [int(each.at[0]) // 1_000_000 - seconds[0] for each in model.asked if each.at is not None] == [60, 70, 80]
    stamps = model.asked[-1].timestamps
    assert stamps is not None
    assert (stamps[-2:] // 1_000_000 - seconds[0]).tolist() == [60, 70]
    assert len(model.asked[-1].items) == 6


# -- reasons -----------------------------------------------------------------------------------------------------


def test_habits_speak_where_a_model_has_them(habits: segue.PatternRecommender) -> None:
    answer = answers_of(habits).recommend(Question(items=["i1", "i2"], k=3, explain=True))
    expected = habits.explain(histories=[["i1", "i2"]], k=3)
    for each in answer.items:
        texts = expected.filter(expected["item_id"] == each.item_id)["text"].to_list()
        assert each.reasons is not None
        assert [reason.text for reason in each.reasons] == texts


def test_a_reason_is_the_item_whose_absence_lowers_the_score(ease: segue.EASE) -> None:
    answer = answers_of(ease).recommend(Question(items=["i1", "i5", "i9", "i5"], k=4, explain=True))
    found = 0
    for each in answer.items:
        assert each.reasons is not None
        for reason in each.reasons:
            left = [item for item in ["i1", "i5", "i9", "i5"] if item != reason.because]
            whole, without = ease.score(histories=[["i1", "i5", "i9", "i5"], left], items=[each.item_id])["score"]
            assert reason.drop == pytest.approx(whole - without, abs=1e-5)
            assert reason.drop is not None
            assert reason.drop > 0
            assert reason.title in reason.text
            found += 1
    assert found


def test_of_a_single_item_the_reason_is_that_item(ease: segue.EASE) -> None:
    answer = answers_of(ease).recommend(Question(items=["i1", "i1"], k=2, explain=True))
    assert [(each.because, each.drop) for item in answer.items for each in item.reasons or ()] == [("i1", None)] * 2


def test_who_has_no_history_is_told_what_really_ranks_the_list(model: Recommender) -> None:
    answer = answers_of(model).recommend(Question(items=[], k=2, explain=True))
    texts = {reason.text for each in answer.items for reason in each.reasons or ()}
    assert texts == {"no known event of who asks: ranked by popularity of all time"}
    assert all(each.reasons for each in answer.items)


def test_each_step_of_a_sequence_is_explained_by_the_history_it_was_ranked_from(model: Recommender) -> None:
    answers = answers_of(model)
    answer = answers.generate(Question(items=["i1", "i5"], k=1, explain=True, exclude_seen=True), 3)
    history: list[Id] = ["i1", "i5"]
    for each in answer.items:
        step = answers.recommend(Question(items=history, k=42, explain=True, exclude_seen=False)).items
        expected = next(one.reasons for one in step if one.item_id == each.item_id)
        assert [(one.because, one.text) for one in each.reasons or ()] == [(x.because, x.text) for x in expected or ()]
        history = [*history, each.item_id]


def test_an_item_drawn_by_chance_is_said_to_be(ease: segue.EASE, habits: segue.PatternRecommender) -> None:
    for model in (ease, habits):
        drawn = 0
        explorer = Explorer(ExploreConfig(on=True, share=0.5, few=10_000))
        answers = answers_of(model, explorer=explorer)
        for _ in range(10):
            for each in answers.recommend(Question(items=["i1", "i5", "i9"], k=5, explain=True)).items:
                texts = [reason.text for reason in each.reasons or ()]
                if texts and texts[0].startswith("drawn"):
                    drawn += 1
                    assert len(texts) == 1
                    assert texts[0].startswith("drawn by exploration (epsilon, share 0.5")
                    assert f"probability {each.propensity:.3g}" in texts[0]
                    assert each.propensity < 0.5
                else:
                    assert each.propensity >= 0.5
        assert drawn


def test_a_list_drawn_by_scores_says_so_and_what_the_scores_owe(ease: segue.EASE) -> None:
    explorer = Explorer(ExploreConfig(on=True, method="plackett_luce"))
    answer = answers_of(ease, explorer=explorer).recommend(Question(items=["i1", "i5", "i9"], k=3, explain=True))
    for each in answer.items:
        kinds = [reason.kind for reason in each.reasons or ()]
        assert kinds[0] == "exploration"
    assert any("event" in [reason.kind for reason in each.reasons or ()] for each in answer.items)


def test_what_was_learnt_online_is_in_the_reason(ease: segue.EASE) -> None:
    bias = np.zeros(len(ease.item_vocabulary) + 1, dtype=np.float32)
    bias[7] = 50.0
    online = SimpleNamespace(correction=lambda name, histories: bias)
    answer = answers_of(ease, online=online).recommend(Question(items=["i1", "i5"], k=1, explain=True))
    assert answer.items[0].item_id == ease.item_vocabulary.listed[6]
    assert answer.items[0].reasons is not None
    assert "online correction +50" in answer.items[0].reasons[-1].text


def test_reasons_come_only_where_they_are_asked_for(ease: segue.EASE) -> None:
    assert all(each.reasons is None for each in answers_of(ease).recommend(Question(items=["i1"])).items)


# -- other ways to ask -------------------------------------------------------------------------------------------


def test_similar_items_are_those_of_the_recommender(ease: segue.EASE) -> None:
    name, items = answers_of(ease).similar("i3", 5)
    assert name == "model-1"
    assert [each.item_id for each in items] == ease.similar_items(["i3"], k=5)["similar_item_id"].to_list()
    with pytest.raises(UnknownItems):
        answers_of(ease).similar("i33333", 5)


def test_what_was_learnt_online_counts(ease: segue.EASE) -> None:
    class Online:
        def correction(self, name: str, histories: Histories) -> np.ndarray:
            biases = np.zeros(len(KNOWN) + 1, dtype=np.float32)
            biases[ease.item_vocabulary.encode(["i30"])] = 100
            return biases

    answer = answers_of(ease, online=Online()).recommend(Question(items=["i1"], k=2))
    assert ids(answer)[0] == "i30"


def test_an_explorer_changes_the_list_and_tells_how_likely_it_was(ease: segue.EASE) -> None:
    class Explorer:
        def explore(self, served: Any, scores: np.ndarray, ranked: Ranked, recommendation_id: str) -> Ranked:
            assert scores[ease.item_vocabulary.encode(["i1"])] == -np.inf
            codes = ranked.codes[::-1].copy()
            return Ranked(codes, scores[codes], np.full(len(codes), 0.25))

    answers = answers_of(ease, explorer=Explorer())
    plain = answers.recommend(Question(items=["i1"], k=3, exclude_seen=True, explore=False))
    mixed = answers.recommend(Question(items=["i1"], k=3, exclude_seen=True))
    assert ids(mixed) == ids(plain)[::-1]
    assert [each.propensity for each in mixed.items] == [0.25] * 3
    assert [each.propensity for each in plain.items] == [None] * 3


# -- behind the back ---------------------------------------------------------------------------------------------


@pytest.fixture
def shadowed(ease: segue.EASE, popular: segue.Popular) -> Iterator[Any]:
    service = service_of(ease, shadows=[popular])
    service.answers.start()
    yield service
    service.answers.stop()


def test_lists_are_written_behind_the_answer(shadowed: Any) -> None:
    answer = shadowed.answers.recommend(Question(user_id="u3", k=4, action="view"))
    until = time.monotonic() + 5
    while len(shadowed.store.lists) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    shown, shadow = sorted(shadowed.store.lists, key=lambda each: each.shadow)
    assert (shown.recommendation_id, shown.items) == (answer.recommendation_id, list(map(str, ids(answer))))
    assert (shown.model, shown.shadow, shown.user_id, shown.action) == ("model-1", False, "u3", "view")
    assert shown.propensities is None
    assert (shadow.model, shadow.shadow, shadow.recommendation_id) == ("shadow-1", True, answer.recommendation_id)
    both = len(set(shown.items) & set(shadow.items))
    assert shadowed.answers.shadows.compared["shadow-1"].overlap == pytest.approx(both / 4)


def test_a_sequence_is_written_too(shadowed: Any) -> None:
    answer = shadowed.answers.generate(Question(user_id="u3"), 3)
    shadowed.answers.stop()
    told = [(each.recommendation_id, each.model, each.shadow, len(each.items)) for each in shadowed.store.lists]
    name = answer.recommendation_id
    assert sorted(told) == [(name, "model-1", False, 3), (name, "shadow-1", True, 3)]
    assert shadowed.answers.shadows.compared["shadow-1"].asked == 1


def test_similar_items_and_the_search_are_the_main_models(ease: segue.EASE, popular: segue.Popular) -> None:
    service = service_of(ease, popular)
    service.models.choose = lambda user_id=None: service.models.active[1]
    assert service.answers.similar("i1", 3)[0] == "model-1"
    assert service.answers.search("film", 3)[0] == "model-1"


def test_a_shadow_that_is_slow_or_fails_is_nobody_s_matter(ease: segue.EASE, popular: segue.Popular) -> None:
    service = service_of(ease, shadows=[popular])
    for _ in range(50):  # nobody takes them from the queue
        assert service.answers.recommend(Question(user_id="u3")).items
    assert service.answers.shadows.dropped == 50 - 16
    service.models.behind = [FakeServed("broken", None)]  # type: ignore[arg-type]
    service.answers.shadows._questions.queue.clear()
    service.answers.start()
    assert service.answers.recommend(Question(user_id="u3")).items
    service.answers.stop()
    assert service.answers.shadows.compared["broken"].failed == 1


def test_lists_wait_while_the_store_is_away(ease: segue.EASE) -> None:
    store = FakeStore(away=StoreUnavailable(url="x", reason="away"))
    answers = Answers(FakeModels([FakeServed("one", ease)]), log=store.log_served)
    for _ in range(3):
        answers.recommend(Question(items=["i1"]))
    assert answers.journal is not None
    with pytest.raises(StoreUnavailable):
        answers.journal.flush()
    store.away = None
    answers.stop()
    assert len(store.lists) == 3


def test_a_catalogue_that_grew_is_seen(shop: segue.Dataset) -> None:
    model = segue.Popular().fit(shop)
    answers = answers_of(model)
    cheap = Question(items=[], filters=Filters(price_min=1000), k=5)
    assert not answers.recommend(cheap).items
    model.add_items(pl.DataFrame({"item_id": ["i900"], "title": ["New"], "price": [2000.0]}))
    assert ids(answers.recommend(cheap)) == ["i900"]


def test_events_that_came_twice_count_once_in_a_question(habits: Recommender) -> None:
    items, stamps = ("i1", "i2", "i1"), (1_600_000_000, 1_600_000_000, 1_600_000_060)
    once = answers_of(habits).recommend(Question(items=items, timestamps=stamps))
    twice = answers_of(habits).recommend(Question(items=items * 2, timestamps=stamps * 2))
    assert twice.history_length == once.history_length == 3
    assert [(each.item_id, each.score) for each in twice.items] == [(each.item_id, each.score) for each in once.items]
