"""Online mode: a pure function of the log, bounded, reversible, tested before it learns."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segue
from segue.data.histories import Histories
from segue.errors import NothingToUndo, OnlineUnknown, StoreUnavailable
from segue.serving.learning import online as module
from segue.serving.learning.feedback import FeedbackConfig
from segue.serving.learning.online import Acts, Online, OnlineConfig
from segue.serving.learning.steps import StepConfig
from segue.serving.store import ServedList, StoredEvent

ITEMS, USERS = 40, 30


def _event(
    seq: int,
    event_id: str,
    user: str,
    item: str,
    at: int,
    action: str | None = None,
    named: str | None = None,
    got: int = 0,
) -> StoredEvent:
    return StoredEvent(event_id, user, item, at, action, None, named, seq, got)


def _listed(items: list[str]) -> ServedList:
    return ServedList("r", None, "shop", False, None, 0, None, items, [0.0] * len(items))


@dataclass
class Model:
    name: str
    recommender: Any
    learnt_to: int = 0


class Shop(segue.Popular):
    """Popularity, and a preference for the next item, so that scores depend on the history."""

    def item_vectors(self, codes: np.ndarray) -> np.ndarray:
        angle = 2 * np.pi * np.asarray(codes) / ITEMS
        return np.stack([np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)], 1).astype(np.float32)

    def score_codes(self, histories: Histories, exact: bool = True) -> np.ndarray:
        scores = np.tile(self._item_scores, (len(histories), 1))
        for row in range(len(histories)):
            for item in histories.row(row)[-3:]:
                scores[row, item % ITEMS + 1] += 3
        return scores


@pytest.fixture(scope="module")
def model() -> Model:
    rng = np.random.default_rng(0)
    rows = [(f"u{rng.integers(USERS)}", f"i{int(rng.beta(1, 3) * ITEMS)}", n) for n in range(600)]
    rows += [("u0", f"i{n}", 1_000 + n) for n in range(ITEMS)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    return Model("shop", Shop().fit(segue.Dataset.from_frames(frame, None)))


def stream(count: int, seed: int = 1, hot: str | None = "i30") -> tuple[list[StoredEvent], dict[str, ServedList]]:
    """Events of a shop where one item has become hot; some come from lists, with impressions."""
    rng = np.random.default_rng(seed)
    events: list[StoredEvent] = []
    lists: dict[str, ServedList] = {}
    while len(events) < count:
        n = len(events) + 1
        user, item = f"u{rng.integers(USERS + 5)}", f"i{rng.integers(ITEMS + 3)}"
        item = hot if hot is not None and rng.random() < 0.4 else item
        action: str | None = "view"
        named: str | None = None
        if rng.random() < 0.4:
            named = f"r{rng.integers(max(1, n // 6), n // 6 + 3)}"
            shown = [f"i{code}" for code in rng.permutation(ITEMS)[:5]]
            lists.setdefault(named, _listed([*shown, hot] if hot is not None and hot not in shown else shown))
            item = lists[named].items[rng.integers(len(lists[named].items))] if rng.random() < 0.9 else item
            action = "impression" if rng.random() < 0.3 else "view"
        events.append(_event(n * 3, f"e{n}", user, item, 2_000 + n - int(rng.integers(0, 4)), action, named))
    return events, lists


class Stepped(Online):
    """Does in the caller's thread what its own would do."""

    def adopt(self, *given: Any, **more: Any) -> None:
        super().adopt(*given, **more)
        self.work()

    def feed(self, events: Sequence[StoredEvent]) -> None:
        super().feed(events)
        self.work()


def config(**step: Any) -> OnlineConfig:
    return OnlineConfig(on=True, step=StepConfig(**{"rank": 2, **step}), feedback=FeedbackConfig(batch=8, window=40))


def run(
    model: Model,
    events: Sequence[StoredEvent],
    lists: dict[str, ServedList],
    cuts: Sequence[int] = (),
    settings: OnlineConfig | None = None,
    acts: Acts | None = None,
) -> Online:
    online = Stepped(settings or config(), lists.get)
    online.adopt(model, acts=acts and (lambda: acts))
    edges = [0, *sorted(cuts), len(events)]
    for start, end in itertools.pairwise(edges):
        online.feed(events[start:end])
    return online


def learnt(online: Online) -> np.ndarray:
    biases = online.biases("shop")
    assert biases is not None
    return biases


def same(left: Online, right: Online) -> bool:
    def arrays(online: Online) -> list[np.ndarray]:
        weights = online._learners["shop"].weights
        parts = {**vars(weights), **vars(weights.head)}
        return [np.asarray(part) for name, part in parts.items() if name != "head"]

    pairs = zip(arrays(left), arrays(right), strict=True)
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in pairs)


EVENTS, LISTS = stream(300)


@given(st.lists(st.integers(0, len(EVENTS)), max_size=12))
@settings(max_examples=25, deadline=None)
def test_portions_of_events_change_no_bit(cuts: list[int]) -> None:
    shop = _shop()
    assert same(run(shop, EVENTS, LISTS, cuts), run(shop, EVENTS, LISTS))


_KEPT: list[Model] = []


def _shop() -> Model:
    """The fixture's model for what Hypothesis runs."""
    return _KEPT[0]


@pytest.fixture(scope="module", autouse=True)
def _keep(model: Model) -> None:
    _KEPT[:] = [model]


def test_a_learner_that_steps_at_each_portion_would_be_found_out(model: Model) -> None:
    class Hasty(Stepped):
        def feed(self, events: Sequence[Any]) -> None:
            for learner in self._learners.values():
                if events:
                    self._learn(learner, Acts(), events)

    hasty = [Hasty(config(), LISTS.get) for _ in range(2)]
    for online, size in zip(hasty, (7, 50), strict=True):
        online.adopt(model)
        for start in range(0, len(EVENTS), size):
            online.feed(EVENTS[start : start + size])
    assert not same(*hasty)


def test_a_rebuild_from_the_store_is_the_live_state_and_repeats_teach_nothing(model: Model) -> None:
    live = run(model, EVENTS, LISTS, range(0, 300, 13))
    live.feed(EVENTS[-20:])  # the follower after a fault
    again = Stepped(config(), LISTS.get)
    again.adopt(model, lambda seq: [event for event in EVENTS if event.seq > seq][:37])
    assert same(live, again)
    assert live.report("shop") == again.report("shop")


def test_only_events_after_the_models_own_are_learnt(model: Model) -> None:
    late = replace(model, learnt_to=EVENTS[99].seq)
    assert same(run(late, EVENTS, LISTS), run(late, EVENTS[100:], LISTS))


def test_an_event_waits_for_its_list_and_is_then_learnt_as_ever(model: Model) -> None:
    """Lists are written behind the answers: what is learnt must not depend on whether an event was quicker."""
    now = time.time_ns() // 1_000
    fresh = [replace(event, received=now) for event in EVENTS]
    lists: dict[str, ServedList] = {}
    online = Stepped(OnlineConfig(**{**dict(config()), "settle": 0.2}), lists.get)
    online.adopt(model)
    online.feed(fresh)
    assert not learnt(online).any()
    lists.update(LISTS)
    time.sleep(0.21)
    online.feed([])
    assert same(online, run(model, EVENTS, LISTS))
    hasty = run(model, EVENTS, {})
    assert not same(hasty, online)


def test_a_batch_whose_lists_cannot_be_looked_up_waits_and_is_then_learnt_as_ever(model: Model) -> None:
    away = False

    def find(name: str) -> ServedList | None:
        if away:
            raise StoreUnavailable(url="sqlite:///shop.db", reason="away")
        return LISTS.get(name)

    online = Stepped(config(), find)
    online.adopt(model)
    online.feed(EVENTS[:40])
    away = True
    for start in range(40, 100, 10):
        with contextlib.suppress(StoreUnavailable):
            online.feed(EVENTS[start : start + 10])
    assert online.report("shop")["batches"] < 100 // 8
    away = False
    online.feed(EVENTS[100:])
    assert same(online, run(model, EVENTS, LISTS))


def test_a_replay_shows_how_far_it_is(model: Model) -> None:
    online = Online(config(), LISTS.get)
    online.adopt(model, lambda seq: [event for event in EVENTS if event.seq > seq][:37])
    assert online.progress() == {model.name: model.learnt_to}
    assert online.level() == {model.name: False}
    online.work()
    assert online.progress() == {model.name: EVENTS[-1].seq}
    assert online.level() == {model.name: True}


def test_a_model_is_brought_level_in_the_background_and_has_no_biases_until_then(model: Model) -> None:
    go, fed = threading.Event(), threading.Event()

    def after(seq: int) -> list[StoredEvent]:
        if seq:
            fed.set()
            go.wait(20)
        return [event for event in EVENTS[:200] if event.seq > seq][:120]

    online = Online(config(), LISTS.get)
    online.start()
    try:
        began = time.monotonic()
        online.adopt(model, after)
        assert fed.wait(20)
        online.feed(EVENTS[:200])  # nobody waits for the store or for what is learnt
        assert time.monotonic() - began < 15
        assert online.biases("shop") is None
        assert list(online.names()) == ["shop"]
        with pytest.raises(OnlineUnknown, match="not level yet: shop"):
            online.reset("shop")
        go.set()
        until(lambda: online.biases("shop") is not None)
        online.feed(EVENTS[200:])
        until(lambda: online.report("shop")["batches"] == 300 // 8)
    finally:
        go.set()
        online.stop()
    assert same(online, run(model, EVENTS, LISTS))


def test_more_than_may_wait_is_read_from_the_store(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROOM", 20)
    come: list[StoredEvent] = []
    online = Online(config(), LISTS.get)
    online.adopt(model, lambda seq: [event for event in come if event.seq > seq][:50])
    online.work()
    for start in range(0, 300, 15):
        come.extend(EVENTS[start : start + 15])
        online.feed(EVENTS[start : start + 15])
    assert len(online._learners["shop"].waiting) <= 20
    online.work()
    assert same(online, run(model, EVENTS, LISTS))
    online.feed(EVENTS[-5:])
    assert not online._learners["shop"].behind


def test_feeding_does_not_wait_for_a_batch_under_way(model: Model) -> None:
    go, asked = threading.Event(), threading.Event()

    def find(name: str) -> ServedList | None:
        asked.set()
        go.wait(20)
        return LISTS.get(name)

    online = Online(config(), find)
    online.adopt(model)
    online.work()
    online.start()
    try:
        online.feed(EVENTS[:50])
        assert asked.wait(20)
        began = time.monotonic()
        online.feed(EVENTS[50:])
        assert time.monotonic() - began < 10
        go.set()
        until(lambda: online.report("shop")["batches"] == 300 // 8)
    finally:
        go.set()
        online.stop()
    assert same(online, run(model, EVENTS, LISTS))


def test_what_could_not_be_learnt_for_is_told_and_begun_anew(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str | None]] = []
    broken = True

    def find(name: str) -> ServedList | None:
        if broken:
            raise RuntimeError("no such luck")
        return LISTS.get(name)

    online = Stepped(config(), find, lambda name, text: told.append((name, text)))
    online.adopt(model, lambda seq: [event for event in EVENTS if event.seq > seq])
    assert online.biases("shop") is None
    assert told == [("online_failed", "shop: RuntimeError: no such luck")]
    broken = False
    online.work()
    assert online.biases("shop") is None  # not at once
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 31)
    online.work()
    assert told[1:] == [("online_failed", None)]
    assert same(online, run(model, EVENTS, LISTS))


def until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.01)


def test_what_is_held_of_people_and_lists_is_bounded(model: Model) -> None:
    small = FeedbackConfig(batch=8, window=8, history=10, people=12)
    lists = {f"r{n}": _listed(["i1", "i2"]) for n in range(1_000)}
    events = [_event(n + 1, f"e{n}", f"u{n % 7 * (n % 50)}", "i1", n, "view", f"r{n}") for n in range(1_000)]
    online = run(model, events, lists, settings=OnlineConfig(on=True, feedback=small))
    feedback = online._learners["shop"].feedback
    assert len(feedback._trails) == 12
    assert max(len(trail) for trail in feedback._trails.values()) == 10
    assert len(feedback._closed) <= 8 * 12
    assert len(feedback._open) <= 8 * 3
    again = run(model, events, lists, range(0, 1_000, 37), settings=OnlineConfig(on=True, feedback=small))
    assert same(online, again)


def test_a_list_is_judged_once_though_it_is_named_again_soon_after(model: Model) -> None:
    lists = {"r": _listed(["i1", "i2"])}
    once = [_event(1, "a", "u1", "i2", 1, "impression", "r")]
    idle = [_event(2 + n, f"x{n}", "u1", "unknown", 1) for n in range(60)]
    late = [_event(100, "b", "u1", "i2", 1, "impression", "r")]
    more = [_event(101 + n, f"y{n}", "u1", "unknown", 1) for n in range(60)]
    judged = run(model, [*once, *idle, *late, *more], lists).report("shop")["tested"]
    assert judged == run(model, [*once, *idle], lists).report("shop")["tested"] == 1


def test_what_has_become_popular_rises(model: Model) -> None:
    biases = learnt(run(model, EVENTS, LISTS))
    hot = model.recommender.item_vocabulary.encode(["i30"])[0]
    assert biases.argmax() == hot
    assert biases[hot] > 0


def test_what_is_shown_and_not_taken_falls_and_the_top_falls_most(model: Model) -> None:
    shown = ["i1", "i2", "i3", "i4", "i5"]
    lists = {f"r{n}": _listed(shown) for n in range(60)}
    events = [_event(n + 1, f"e{n}", f"u{n % 20}", "i5", n, "view", f"r{n}") for n in range(60)]
    events += [_event(61 + n, f"x{n}", "u1", "unknown", n) for n in range(60)]
    biases = learnt(run(model, events, lists, settings=config(caution=20, norm=5)))
    first, second, *_, taken = biases[model.recommender.item_vocabulary.encode(shown)]
    assert first < second < 0 < taken


def test_a_list_is_judged_by_what_was_shown_of_it(model: Model) -> None:
    lists = {"r": _listed(["i1", "i2"])}
    events = [_event(1, "a", "u1", "i2", 1, "impression", "r")]
    events += [_event(2 + n, f"x{n}", "u1", "unknown", 1) for n in range(60)]
    biases = learnt(run(model, events, lists))
    first, second = biases[model.recommender.item_vocabulary.encode(["i1", "i2"])]
    assert (first, second) == (0, pytest.approx(second))
    assert second < 0


def test_a_head_learns_what_follows_what_and_biases_alone_cannot(model: Model) -> None:
    """Half of the people go on at the far side of the shop, which popularity does not tell."""
    rng = np.random.default_rng(3)
    events = []
    for n in range(1_500):
        side = n % 2
        item = f"i{(20 * side + int(rng.integers(0, 4))) % ITEMS}"
        events.append(_event(n + 1, f"e{n}", f"p{n % 40}", item, n, "view"))
    gains = []
    for rank in (0, 2):
        settings = config(rank=rank, head_rate=0.05, head_norm=5)
        report = run(model, events, {}, settings=settings).report("shop")
        gains.append(report["log_loss"]["frozen"] - report["log_loss"]["online"])
    assert gains[1] > gains[0] > 0


def test_the_correction_is_the_bias_and_the_heads_part(model: Model) -> None:
    online = run(model, EVENTS, LISTS)
    histories = Histories(np.array([0, 3]), np.array([4, 5, 99]))
    whole = online.correction("shop", histories)
    assert whole is not None
    head = online._learners["shop"].weights.head
    assert head.up.any()
    assert np.abs(whole - learnt(online)).max() > 0
    assert np.sqrt((head.up**2).sum()) <= 1 + 1e-6
    plain = run(model, EVENTS, LISTS, settings=config(rank=0))
    assert plain.correction("shop", histories) is plain.biases("shop")
    online.reset("shop")
    assert not online.correction("shop", histories).any()


def test_biases_stay_within_their_bounds(model: Model) -> None:
    strict = config(rate=1.0, limit=0.3, norm=0.05)
    online = run(model, EVENTS, LISTS, settings=strict)
    bias = online._learners["shop"].weights.bias
    assert np.abs(bias).max() <= 0.3 + 1e-6
    assert np.sqrt(np.mean(bias[1:] ** 2)) <= 0.05 + 1e-6
    assert bias[0] == 0
    loose = run(model, EVENTS, LISTS, settings=config(rate=1.0, limit=9, norm=9))._learners["shop"].weights.bias
    assert np.sqrt(np.mean(loose[1:] ** 2)) > 0.05


def test_what_is_not_confirmed_fades(model: Model) -> None:
    quick = config(half_life=50)
    before = learnt(run(model, EVENTS, LISTS, settings=quick))
    idle = [_event(2_000 + n, f"z{n}", "u1", "unknown", n) for n in range(400)]
    after = learnt(run(model, [*EVENTS, *idle], LISTS, settings=quick))
    assert 0 < np.abs(after).max() < 0.1 * np.abs(before).max()


def test_reset_goes_back_to_the_frozen_model_and_learns_from_there(model: Model) -> None:
    online = run(model, EVENTS[:203], LISTS)
    online.reset("shop")
    assert not learnt(online).any()
    online.feed(EVENTS[203:])
    assert learnt(online).any()
    assert same(online, run(model, EVENTS, LISTS, acts=online.acts("shop")))


def test_undo_takes_back_the_newest_batches_and_a_rebuild_agrees(model: Model) -> None:
    online = run(model, EVENTS[:160], LISTS)
    before = run(model, EVENTS[:136], LISTS)
    online.undo("shop", 3)
    assert same(online, before)
    online.feed(EVENTS[160:])
    online.undo("shop")
    assert same(online, run(model, EVENTS, LISTS, acts=online.acts("shop")))
    assert not same(online, run(model, EVENTS, LISTS))


def test_only_the_journal_can_be_undone(model: Model) -> None:
    online = run(model, EVENTS, LISTS)
    with pytest.raises(NothingToUndo, match=r"9 batches.*8 are kept"):
        online.undo("shop", 9)
    with pytest.raises(OnlineUnknown, match=r"'bakery'.*shop"):
        online.reset("bakery")


def test_biases_are_read_only_and_swapped_not_changed(model: Model) -> None:
    online = run(model, EVENTS[:100], LISTS)
    first = learnt(online)
    kept = first.copy()
    with pytest.raises(ValueError, match="read-only"):
        first[1] = 1
    online.feed(EVENTS[100:])
    assert (first == kept).all()
    assert learnt(online) is not first
    assert first.dtype == np.float32
    assert first.shape == (ITEMS + 1,)


def test_it_is_off_by_default_and_then_adds_nothing(model: Model) -> None:
    online = run(model, EVENTS, LISTS, settings=OnlineConfig())
    assert online.biases("shop") is None


def test_where_learning_harms_it_switches_itself_off_and_says_so(model: Model) -> None:
    """Events that always deny what was just learnt: the favourite of each batch is the one nobody takes in the next."""
    told: list[tuple[str, str | None]] = []
    wild = OnlineConfig(
        on=True,
        step=StepConfig(rate=1.0, limit=20, norm=20, caution=0.01, tested=100),
        feedback=FeedbackConfig(batch=8),
    )
    online = Stepped(wild, {}.get, lambda name, text: told.append((name, text)))
    online.adopt(model)
    events = [_event(n + 1, f"e{n}", f"n{n}", f"i{(n // 8) * 7 % ITEMS}", n, "view") for n in range(800)]
    online.feed(events)
    report = online.report("shop")
    assert report["off"]
    assert report["hit_rate@10"]["online"] < report["hit_rate@10"]["frozen"]
    assert online.biases("shop") is None
    assert [name for name, _ in told] == ["online_worse"]
    online.adopt(replace(model, name="bakery"))
    online.feed([replace(event, seq=event.seq + 1_000) for event in events])
    assert online.biases("bakery") is None
    assert [name for name, _ in told] == ["online_worse"] * 2
    assert "shop, bakery" in str(told[-1])
    online.reset("shop")
    assert online.biases("shop") is not None
    assert "shop" not in str(told[-1])
    assert "bakery" in str(told[-1])
    online.drop("bakery")
    online.work()
    assert told[-1] == ("online_worse", None)


def test_where_learning_helps_it_stays_on(model: Model) -> None:
    events, lists = stream(900)
    online = run(model, events, lists, settings=config(tested=200))
    report = online.report("shop")
    assert not report["off"]
    assert report["log_loss"]["online"] < report["log_loss"]["frozen"]
    assert report["hit_rate@10"]["online"] >= report["hit_rate@10"]["frozen"]


def test_reading_while_learning_never_meets_half_a_step(model: Model) -> None:
    online = run(model, EVENTS[:8], LISTS)
    stop = threading.Event()
    wrong: list[int] = []

    def read() -> None:
        while not stop.is_set():
            biases = learnt(online)
            if biases.tobytes() != biases.copy().tobytes() or biases.shape != (ITEMS + 1,):
                wrong.append(1)

    reader = threading.Thread(target=read)
    reader.start()
    online.feed(EVENTS[8:])
    stop.set()
    reader.join()
    assert not wrong


def test_nothing_of_a_person_who_was_erased_is_held(model: Model) -> None:
    online = run(model, EVENTS[:103], LISTS)
    learner = online._learners["shop"]
    gone = learner.waiting[-1].user_id
    online.forget(gone)
    assert gone not in learner.feedback._trails
    assert all(event.user_id != gone for event in learner.waiting)
    assert len(learner.feedback._trails) > 1


def test_a_model_that_serves_no_more_is_forgotten(model: Model) -> None:
    online = run(model, EVENTS, LISTS)
    online.drop("shop")
    assert online.biases("shop") is None
    assert not list(online.names())
