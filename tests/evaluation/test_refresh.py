"""New events learnt and judged: what is held out, what worse means, and that the old model stays what it was."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import segue
from segue.data.histories import Histories
from segue.errors import ConfigUnknown, NotFitted
from segue.evaluation.refresh import RefreshConfig, judged, learn
from tests.evaluation.rings import as_stored, misleading, ring

FEW = RefreshConfig(users=20)


@pytest.fixture(scope="module")
def parts():
    """A log cut in time: what the model was trained on, and what came since, as a store gives it."""
    log = ring()
    cut = int(log.height * 0.6)
    return log.head(cut), as_stored(log.tail(log.height - cut))


@pytest.fixture(scope="module")
def old(parts, catalogue):
    return segue.FirstOrder().fit(segue.Dataset.from_frames(parts[0], catalogue))


def test_a_class_without_an_update_is_fitted_again_on_the_joined_log(parts, old, catalogue):
    before, after = parts
    learnt = learn(old, after, FEW)
    assert (learnt.way, learnt.why, learnt.foreign) == ("refit", "", 0)
    assert learnt.asked >= 20
    assert all(not each.worse for each in learnt.verdicts.values())
    both = pl.concat([as_stored(before), after]).drop("seq", "action", "value")
    whole = segue.FirstOrder().fit(segue.Dataset.from_frames(both, catalogue))
    asked = [["i3"], ["i5", "i9"], []]
    theirs, ours = (model.recommend(histories=asked, k=10) for model in (whole, learnt.recommender))
    # What is learnt in the end has learnt the held-out events too: it is the model of the whole log.
    assert ours["score"].to_list() == pytest.approx(theirs["score"].to_list())
    assert learnt.recommender.histories.lengths.sum() == whole.histories.lengths.sum()


def test_the_old_model_stays_what_it_was(parts, old):
    def state():
        return old.recommend(["u1", "u2"], k=10), len(old.histories), len(old.item_vocabulary)

    before = state()
    learn(old, parts[1].with_columns(item_id=pl.col("item_id") + "x"), FEW)
    after = state()
    assert before[0].equals(after[0])
    assert before[1:] == after[1:]


def test_a_model_that_events_lead_astray_is_refused_and_is_learnt_all_the_same_where_that_is_wished(parts, old):
    # Many others go the other way, and then people do again what they always did.
    events = pl.concat([as_stored(misleading()), parts[1]])
    config = RefreshConfig(users=20, share=0.3 * parts[1].height / events.height)
    learnt = learn(old, events, config)
    assert learnt.recommender is None
    assert "worse" in learnt.why
    assert learnt.verdicts["ndcg@10"].new < learnt.verdicts["ndcg@10"].old
    assert learnt.verdicts["ndcg@10"].p_worse < 0.05
    forced = learn(old, events, config, always=True)
    assert forced.recommender is not None
    assert forced.verdicts["ndcg@10"].worse


def test_too_few_people_to_ask_leave_the_old_model(parts, old):
    learnt = learn(old, parts[1], RefreshConfig(users=1_000))
    assert learnt.recommender is None
    assert learnt.why == "fewer than 1000 people can be asked about the newest events"
    assert not learnt.verdicts
    assert learn(old, parts[1], RefreshConfig(users=1_000), always=True).recommender is not None


def test_events_that_are_known_are_not_learnt_again(parts, old):
    learnt = learn(old, as_stored(parts[0]), FEW)
    assert (learnt.recommender, learnt.events, learnt.known) == (None, 0, parts[0].height)
    twice = learn(old, pl.concat([as_stored(parts[0]), parts[1]]), FEW)
    assert (twice.events, twice.known) == (parts[1].height, parts[0].height)


def test_ids_of_another_kind_are_left_out_and_counted(parts):
    numbered = pl.col("user_id", "item_id").str.slice(1)
    before = parts[0].with_columns(numbered.cast(pl.Int64))
    model = segue.Popular().fit(segue.Dataset.from_frames(before))
    strangers = parts[1].head(7).with_columns(user_id=pl.lit("web-guest"))
    learnt = learn(
        model, pl.concat([parts[1].with_columns(numbered), strangers.with_columns(item_id=pl.lit("1"))]), FEW
    )
    assert (learnt.foreign, learnt.events) == (7, parts[1].height)
    nobody = learn(model, strangers, FEW)
    assert (nobody.recommender, nobody.foreign) == (None, 7)


def test_new_items_and_people_join(parts, old):
    fresh = parts[1].with_columns(
        item_id=pl.when(pl.col("item_id") == "i1").then(pl.lit("new")).otherwise("item_id"),
    )
    learnt = learn(old, fresh, FEW, always=True)
    assert "new" in learnt.recommender.item_vocabulary.ids
    assert set(learnt.recommender.recommend(histories=[["new"]], k=5)["item_id"]) != set()


def test_a_class_that_cannot_take_items_is_judged_and_fitted_again_with_them(parts):
    model = segue.EASE().fit(segue.Dataset.from_frames(parts[0].filter(pl.col("item_id") != "i1")))
    learnt = learn(model, parts[1], FEW, always=True)
    assert learnt.verdicts
    assert "i1" in learnt.recommender.item_vocabulary.ids


def test_a_sequence_model_learns_on_and_keeps_its_codes(parts):
    data = segue.Dataset.from_frames(parts[0])
    model = segue.SequenceRecommender(embedding_size=8, blocks=1, epochs=2, refit=False, text=None).fit(data)
    learnt = learn(model, parts[1], FEW, always=True, epochs=1, progress=False)
    assert learnt.way == "update"
    assert learnt.events == parts[1].height
    assert learnt.recommender.weights_sha256() != model.weights_sha256()
    assert learnt.recommender.histories.lengths.sum() == parts[0].height + parts[1].height


def test_settings_of_learning_on_are_for_those_who_do(parts, old):
    with pytest.raises(ConfigUnknown, match="refit of FirstOrder"):
        learn(old, parts[1], FEW, epochs=3)
    with pytest.raises(NotFitted):
        learn(segue.Popular(), parts[1], FEW)


def test_a_log_whose_time_is_an_order_is_learnt_by_its_order():
    rng = np.random.default_rng(0)
    rows = [(f"u{n % 50}", f"i{rng.integers(20)}", n) for n in range(1_000)]
    log = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    model = segue.Popular().fit(segue.Dataset.from_frames(log.head(600)))
    learnt = learn(model, log.tail(400), FEW, always=True)
    assert (learnt.events, model.clock, learnt.recommender.clock) == (400, "order", "order")


class Fixed:
    """Lists the same item to everybody; only what ``judged`` asks of a model."""

    def __init__(self, items):
        self.item_vocabulary, self.items = range(20), items

    def recommend_codes(self, histories, k, *, exclude_seen, progress):
        assert histories.items.max() <= len(self.item_vocabulary)
        lists = np.tile(self.items[: len(histories), None], (1, 1))
        return np.pad(lists, ((0, 0), (0, 0))), None


def verdict(right_old, right_new, people=200, **config):
    """``judged`` where the old and the new model list the right item to the first so many people."""
    rows = np.arange(people)
    asked = Histories(np.arange(people + 1), np.full(people, 3))
    targets = Histories(np.arange(people + 1), np.full(people, 7))
    old, new = (Fixed(np.where(rows < right, 7, 8)) for right in (right_old, right_new))
    return judged(old, new, asked, targets, RefreshConfig(**config))["hit_rate@10"]


def test_worse_is_significantly_worse_or_worse_by_more_than_is_tolerated():
    assert not verdict(100, 100).worse
    assert not verdict(100, 140).worse
    assert verdict(100, 60).worse
    assert verdict(100, 60, tolerance=0.9).worse  # significant, however much is tolerated
    slightly = verdict(100, 97)
    assert not slightly.worse
    assert slightly.p_worse > 0.05
    assert verdict(100, 97, tolerance=0.01).worse  # not significant, and more than is tolerated


def test_the_test_is_one_sided():
    # Four of four moved the same way: 2 in 2 ** 4 by a two-sided test, half of it by a one-sided one.
    assert verdict(100, 96, tolerance=0.9).p_worse == pytest.approx(1 / 2**4, abs=0.02)
    assert verdict(96, 100, tolerance=0.9).p_worse > 0.9


def test_an_old_model_with_a_shorter_catalogue_is_asked_about_what_it_knows():
    asked = Histories(np.array([0, 2, 4]), np.array([3, 30, 4, 40]))
    targets = Histories(np.array([0, 1, 2]), np.array([7, 30]))
    old, new = Fixed(np.array([7, 7])), Fixed(np.array([7, 7]))
    new.item_vocabulary = range(50)
    assert judged(old, new, asked, targets, RefreshConfig())["hit_rate@10"].old == 0.5
